"""The stream of this package."""

from nmf_nets.benchmark.base import Coder, Method, Observer, Problem
from nmf_nets.factorization import Factorization
from nmf_nets.inits.base import Init
from nmf_nets.stream import Stream


class Streaming(Method):
    """`partial_fit` with consecutive batches, again and again; one iteration is one pass.

    Every batch is coded afresh: of a start it uses W alone, and the codes of all rows are made off the clock, until a
    half-step moves one less than 1e-5 of the first. Its own start is made from the first batch, by `init`.
    memory, aging, repeats, steps, progress: of Stream.
    """

    def __init__(
        self,
        init: Init,
        batch_size: int = 256,
        memory: float = 1.0,
        aging: float = 10.0,
        repeats: int = 2,
        steps: int = 100,
        progress: float = 1e-3,
    ):
        self.init, self.batch_size, self.memory, self.aging = init, batch_size, memory, aging
        self.repeats, self.steps, self.progress = repeats, steps, progress

    def refuse(self, problem: Problem, start: Factorization | None) -> None:
        self._made(problem, start)

    def run(self, problem: Problem, start: Factorization | None, observe: Observer) -> Coder:
        X, stream = problem.X, self._made(problem, start)
        n = X.shape[0]

        def factors() -> Factorization:
            update, W = stream.update, stream.W
            assert update is not None
            assert W is not None
            return Factorization(update(X, None, W, 300, 1e-5), W)

        iteration, going = 0, True
        while going:
            for begin in range(0, n, self.batch_size):
                stream.partial_fit(X.span(begin, min(n, begin + self.batch_size)))
            iteration += 1
            going = observe(factors, iteration)

        return stream.codes

    def _made(self, problem: Problem, start: Factorization | None) -> Stream:
        return Stream(
            problem.n_components,
            problem.divergence,
            memory=self.memory,
            aging=self.aging,
            repeats=self.repeats,
            steps=self.steps,
            progress=self.progress,
            init=self.init,
            W=None if start is None else start.W,
            seed=problem.seed,
        )

"""Nested growth of this package."""

from itertools import count

from torch.nn.functional import pad

from nmf_nets.benchmark.base import Coder, Method, Observer, Problem
from nmf_nets.factorization import Factorization
from nmf_nets.refusal import Refusal
from nmf_nets.sequential import Growth
from nmf_nets.solvers import named


class Sequential(Method):
    """Growth with a solver by name, `iterations` of it at each number of components; one iteration shown is one component.

    After the last component the solver goes on with all of them. It makes its own start, one component.
    """

    plain_only = False

    def __init__(self, solver: str = "auto", iterations: int = 20, progress: float = 1e-5):
        self.solver, self.iterations, self.progress = solver, iterations, progress

    def refuse(self, problem: Problem, start: Factorization | None) -> None:
        solver = named(self.solver, problem.X, problem.divergence)
        solver.update.refuse(problem.divergence, problem.on_H)
        solver.update.refuse(problem.divergence, problem.on_W)
        if problem.X.signed:
            raise Refusal("X has negative entries, but components that grow one by one are non-negative.")
        if start is not None:
            raise Refusal("growth takes no start; give it none, and it begins with one component.")

    def run(self, problem: Problem, start: Factorization | None, observe: Observer) -> Coder:
        X, r = problem.X, problem.n_components
        solver = named(self.solver, X, problem.divergence)
        iterations, going = count(1), True
        path = Growth(solver, problem.criterion, self.iterations).path(X, r)
        while going and (factors := next(path, None)) is not None:
            grown = padded(factors, r)
            going = observe(lambda: grown, next(iterations))  # noqa: B023 - called at once
        if going:
            for grown in solver.iterates(X, grown, problem.on_H, problem.on_W):  # pyright: ignore[reportPossiblyUnboundVariable]
                if not observe(lambda: grown, next(iterations)):  # noqa: B023
                    break
        W = grown.W  # pyright: ignore[reportPossiblyUnboundVariable]
        return lambda rows: solver.update(rows, None, W, 300, self.progress, problem.on_H)


def padded(factors: Factorization, n_components: int) -> Factorization:
    """With components of zeros for those to come."""
    more = n_components - factors.n_components
    return Factorization(pad(factors.H, (0, more)), pad(factors.W, (0, 0, 0, more)))

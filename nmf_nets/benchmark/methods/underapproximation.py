"""Underapproximation of this package."""

from nmf_nets.benchmark.base import Method, Observer, Problem
from nmf_nets.benchmark.methods.sequential import padded
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.factorization import Factorization
from nmf_nets.multipliers import refuse_underapproximation
from nmf_nets.refusal import Refusal
from nmf_nets.underapproximation import Underapproximation


class NMU(Method):
    """Underapproximation, one iteration for each component; it is done after the last one, and makes its own start."""

    def __init__(self, steps: int = 200, tolerance: float | None = 0.0):
        self.underapproximation = Underapproximation(steps, tolerance)

    def refuse(self, problem: Problem, start: Factorization | None) -> None:
        refuse_underapproximation(problem.X, self.underapproximation.steps, self.underapproximation.tolerance)
        if not isinstance(problem.divergence, Frobenius):
            raise Refusal(f"underapproximation lowers squared errors alone, not β = {problem.divergence.beta:g}.")
        if start is not None:
            raise Refusal("underapproximation takes no start; give it none, and it makes its own.")

    def run(self, problem: Problem, start: Factorization | None, observe: Observer) -> None:
        r = problem.n_components
        for iteration, factors in enumerate(self.underapproximation.path(problem.X, r), 1):
            if not observe(lambda: padded(factors, problem.X, r), iteration):  # noqa: B023 - called at once
                break

"""The classical solvers of this package."""

from nmf_nets.benchmark.base import Method, Observer
from nmf_nets.divergences.base import Divergence
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.solver import solve
from nmf_nets.updates.base import Update


class Solver(Method):
    """One update, alternated."""

    def __init__(self, update: Update, repeats: int = 1):
        self.update, self.repeats = update, repeats

    def refuse(self, X: Matrix, divergence: Divergence) -> None:
        self.update.refuse(divergence)

    def run(self, X: Matrix, start: Factorization, divergence: Divergence, observe: Observer) -> None:
        for iteration, factors in enumerate(solve(self.update, X, start, self.repeats), 1):
            if not observe(lambda: factors, iteration):  # noqa: B023 - called at once
                return

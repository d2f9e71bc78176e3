"""The classical solvers of this package."""

import torch

from nmf_nets.benchmark.base import Coder, Method, Observer, Problem
from nmf_nets.factorization import Factorization
from nmf_nets.inits.base import Init
from nmf_nets.solver import Solver
from nmf_nets.solvers import named


class Classical(Method):
    """A solver, by name or made of parts. Unseen rows are coded by its half-steps, until one moves them less than
    `progress`.
    """

    def __init__(self, solver: str | Solver, init: Init, progress: float = 1e-5):
        self.solver, self.init, self.progress = solver, init, progress

    def refuse(self, problem: Problem, start: Factorization | None) -> None:
        self._made(problem).update.refuse(problem.divergence)

    def run(self, problem: Problem, start: Factorization | None, observe: Observer) -> Coder:
        if start is None:
            start = self.init(problem.X, problem.n_components, torch.Generator().manual_seed(problem.seed))
        solver, W = self._made(problem), start.W
        for iteration, factors in enumerate(solver.iterates(problem.X, start), 1):
            W = factors.W
            if not observe(lambda: factors, iteration):  # noqa: B023 - called at once
                break
        return lambda X: solver.update(X, None, W, 300, self.progress)

    def _made(self, problem: Problem) -> Solver:
        return self.solver if isinstance(self.solver, Solver) else named(self.solver, problem.X, problem.divergence)

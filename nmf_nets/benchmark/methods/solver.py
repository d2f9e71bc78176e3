"""The classical solvers of this package."""

import torch

from nmf_nets.benchmark.base import Coder, Method, Observer, Problem
from nmf_nets.factorization import Factorization
from nmf_nets.inits.base import Init
from nmf_nets.solver import solve
from nmf_nets.updates.base import Update


class Solver(Method):
    """One update, alternated. Unseen rows are coded by its half-steps, until one moves them less than `progress`."""

    def __init__(self, update: Update, init: Init, repeats: int = 1, progress: float = 1e-5):
        self.update, self.init, self.repeats, self.progress = update, init, repeats, progress

    def refuse(self, problem: Problem, start: Factorization | None) -> None:
        self.update.refuse(problem.divergence)

    def run(self, problem: Problem, start: Factorization | None, observe: Observer) -> Coder:
        if start is None:
            start = self.init(problem.X, problem.n_components, torch.Generator().manual_seed(problem.seed))
        W = start.W
        for iteration, factors in enumerate(solve(self.update, problem.X, start, self.repeats), 1):
            W = factors.W
            if not observe(lambda: factors, iteration):  # noqa: B023 - called at once
                break
        return lambda X: self.update(X, None, W, 300, self.progress)

"""The classical solvers of this package."""

import torch

from nmf_nets.benchmark.base import Coder, Method, Observer, Problem
from nmf_nets.factorization import Factorization
from nmf_nets.inits.base import Init
from nmf_nets.refusal import Refusal
from nmf_nets.solver import Solver
from nmf_nets.solvers import named


class Classical(Method):
    """A solver, by name or made of parts. Unseen rows are coded by its half-steps, until one moves them less than
    `progress`.
    """

    plain_only = False

    def __init__(self, solver: str | Solver, init: Init, progress: float = 1e-5):
        self.solver, self.init, self.progress = solver, init, progress

    def refuse(self, problem: Problem, start: Factorization | None) -> None:
        solver = self._made(problem)
        update_W = solver.update_W or solver.update
        solver.update.refuse(problem.divergence, problem.on_H)
        update_W.refuse(problem.divergence, problem.on_W)
        if solver.signed and not problem.X.signed:
            raise Refusal("semi-NMF makes W of any sign, which is no factorization of X ≥ 0; give it data of any sign.")
        if problem.X.signed and not solver.signed:
            raise Refusal(
                f"X has negative entries, which H W ≥ 0 cannot reach, but {type(update_W).__name__} keeps W ≥ 0; use "
                "experiment=semi."
            )

    def run(self, problem: Problem, start: Factorization | None, observe: Observer) -> Coder:
        if start is None:
            start = self.init(problem.X, problem.n_components, torch.Generator().manual_seed(problem.seed))
        solver, W = self._made(problem), start.W
        for iteration, factors in enumerate(solver.iterates(problem.X, start, problem.on_H, problem.on_W), 1):
            W = factors.W
            if not observe(lambda: factors, iteration):  # noqa: B023 - called at once
                break
        return lambda X: solver.update(X, None, W, 300, self.progress, problem.on_H.unseen)

    def _made(self, problem: Problem) -> Solver:
        return self.solver if isinstance(self.solver, Solver) else named(self.solver, problem.X, problem.divergence)

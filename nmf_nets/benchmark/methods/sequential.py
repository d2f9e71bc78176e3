"""Nested growth of this package."""

from collections.abc import Iterator

import torch
from torch.nn.functional import pad

from nmf_nets.benchmark.base import Coder, Method, Observer, Problem
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.refusal import Refusal
from nmf_nets.sequential import Growth
from nmf_nets.solver import Solver
from nmf_nets.solvers import named


class Sequential(Method):
    """Growth with a solver by name, `iterations` of it at each number of components; it shows one iteration for each.

    Then the solver goes on with all components. It makes its own start, one component.
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
        solver = named(self.solver, problem.X, problem.divergence)
        W = None
        for iteration, factors in enumerate(self._iterates(problem, solver), 1):
            W = factors.W
            if not observe(lambda: factors, iteration):  # noqa: B023 - called at once
                break
        assert W is not None
        return lambda X: solver.update(X, None, W, 300, self.progress, problem.on_H)

    def _iterates(self, problem: Problem, solver: Solver) -> Iterator[Factorization]:
        X, r = problem.X, problem.n_components
        for factors in Growth(solver, problem.criterion, self.iterations).path(X, r):
            yield padded(factors, X, r)
        yield from solver.iterates(X, factors, problem.on_H, problem.on_W)  # pyright: ignore[reportPossiblyUnboundVariable]


def padded(factors: Factorization, X: Matrix, n_components: int) -> Factorization:
    """With rows of X that have codes of 0 for those to come: components of zeros would pass for a stationary point."""
    more = n_components - factors.n_components
    rows = X.rows(torch.arange(more, device=X.device) * X.shape[0] // max(1, more)).dense()
    return Factorization(pad(factors.H, (0, more)), torch.cat([factors.W, rows]))

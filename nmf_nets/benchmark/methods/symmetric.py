"""Symmetric NMF."""

import torch

from nmf_nets.benchmark.base import Method, Observer, Problem
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.factorization import Factorization
from nmf_nets.inits.base import Init
from nmf_nets.refusal import Refusal
from nmf_nets.symmetric import SymmetricSolver


class Symmetric(Method):
    """SymmetricSolver, for square matrices of similarities and the Frobenius divergence; it codes no unseen rows."""

    def __init__(self, init: Init):
        self.init = init

    def refuse(self, problem: Problem, start: Factorization | None) -> None:
        if problem.X.shape[0] != problem.X.shape[1] or not isinstance(problem.divergence, Frobenius):
            raise Refusal("symmetric NMF serves square matrices and the Frobenius divergence alone.")

    def run(self, problem: Problem, start: Factorization | None, observe: Observer) -> None:
        if start is None:
            start = self.init(problem.X, problem.n_components, torch.Generator().manual_seed(problem.seed))
        for iteration, factors in enumerate(SymmetricSolver().iterates(problem.X, start), 1):
            if not observe(lambda: factors, iteration):  # noqa: B023 - called at once
                return

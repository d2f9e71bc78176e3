"""nn_fac's NMF."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from nmf_nets.benchmark.base import Method, Observer, Problem
from nmf_nets.extras import extra
from nmf_nets.factorization import Factorization
from nmf_nets.refusal import Refusal


class NNFac(Method):
    """rule `hals` (each half-step up to 100 sweeps), `hals_acc` (fewer, for Frobenius too) or `mu` (β ≥ 0).

    Its state is the factors alone, so chunks, which grow with the iterations done as each has a fixed cost, equal one
    run bitwise; `deterministic` keeps the clock out of `hals_acc`. Its own start is its default, U(0, 1) whatever
    the scale of X. It has no way to code unseen rows.
    """

    def __init__(self, rule: str):
        rules = ("hals", "hals_acc", "mu")
        if rule not in rules:
            raise Refusal(f"rule of nn_fac is {rule!r}, but must be one of {', '.join(rules)}.")
        self.rule, self.nmf = rule, extra("nn_fac.nmf", "nn-fac").nmf
        self.init = extra("nn_fac.utils.initialize_factors", "nn-fac").nmf_initialization

    def refuse(self, problem: Problem, start: Factorization | None) -> None:
        beta, most = problem.divergence.beta, min(problem.X.shape)
        if self.rule != "mu" and beta != 2:
            raise Refusal(f"nn_fac's {self.rule} serves the Frobenius divergence alone, not β = {beta:g}; use its mu.")
        if beta < 0:
            raise Refusal(f"nn_fac serves β ≥ 0, not β = {beta:g}.")
        if problem.X.is_sparse:
            raise Refusal("nn_fac takes dense data alone, but X is sparse; make it dense, or leave nn_fac out.")
        if problem.n_components > most:
            raise Refusal(
                f"nn_fac makes at most min(n_samples, n_features) = {most} of {problem.n_components} components."
            )

    def run(self, problem: Problem, start: Factorization | None, observe: Observer) -> None:
        data = problem.X.numpy()
        options = {"tol": 0, "update_rule": self.rule, "beta": problem.divergence.beta, "deterministic": True}
        with _chance_kept():
            if start is not None:
                H, W = (M.cpu().numpy() for M in (start.H, start.W))
            else:
                own = self.init(data, problem.n_components, "random", deterministic=True, seed=problem.seed)
                H, W = (M.astype(data.dtype) for M in own)  # it draws float64
            iteration, going = 0, True
            while going:
                chunk = max(1, iteration // 4)
                H, W = self.nmf(data, problem.n_components, "custom", H, W, n_iter_max=chunk, **options)
                iteration += chunk
                found = Factorization(torch.from_numpy(H), torch.from_numpy(W))
                going = observe(lambda: found, iteration)  # noqa: B023 - called at once


@contextmanager
def _chance_kept() -> Iterator[None]:
    """nn_fac seeds the generators of the process."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002

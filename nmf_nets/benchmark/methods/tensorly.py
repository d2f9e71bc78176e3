"""tensorly's non-negative CP decomposition, which is NMF for a tensor with two modes."""

from inspect import signature

import numpy as np
import torch

from nmf_nets.benchmark.base import Method, Observer, Problem
from nmf_nets.extras import extra
from nmf_nets.factorization import Factorization
from nmf_nets.refusal import Refusal


class TensorLy(Method):
    """rule `mu` (`non_negative_parafac`) or `hals` (`non_negative_parafac_hals`), Frobenius, on tensorly's numpy.

    Its state is the factors alone, so chunks, which grow with the iterations done as each has a fixed cost, equal one
    run bitwise. tol=0 spares it the error by which it would stop. Its own start is its default, NNDSVD with the zeros
    filled. It has no way to code unseen rows.
    """

    def __init__(self, rule: str):
        rules = {"mu": "non_negative_parafac", "hals": "non_negative_parafac_hals"}
        if rule not in rules:
            raise Refusal(f"rule of tensorly is {rule!r}, but must be one of {', '.join(rules)}.")
        self.decompose = getattr(extra("tensorly.decomposition", "tensorly"), rules[rule])

    def refuse(self, problem: Problem, start: Factorization | None) -> None:
        if problem.divergence.beta != 2:
            raise Refusal(f"tensorly serves the Frobenius divergence alone, not β = {problem.divergence.beta:g}.")
        if problem.X.is_sparse:
            raise Refusal("tensorly takes dense data alone, but X is sparse; make it dense, or leave tensorly out.")

    def run(self, problem: Problem, start: Factorization | None, observe: Observer) -> None:
        data = problem.X.numpy()
        options: dict = {"rank": problem.n_components, "tol": 0, "init": "svd"}
        if "random_state" in signature(self.decompose).parameters:  # hals of old versions cannot be seeded
            options["random_state"] = problem.seed
        if start is not None:
            options["init"] = (None, [np.ascontiguousarray(M.cpu().numpy()) for M in (start.H, start.W.T)])
        iteration, going = 0, True
        while going:
            chunk = max(1, iteration // 4)
            _, (H, W) = self.decompose(data, n_iter_max=chunk, **options)
            options["init"] = (None, [H, W])
            iteration += chunk
            found = Factorization(torch.from_numpy(H), torch.from_numpy(W.T))
            going = observe(lambda: found, iteration)  # noqa: B023 - called at once

"""Sums over rows for every divergence, where the model is the majoriser of the multiplicative step."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nmf_nets.objective import Objective
from nmf_nets.penalties.base import Penalty
from nmf_nets.running_sums.base import LARGE, RunningSums
from nmf_nets.shapes import Components

PRIOR = 1.0
"""What W as it was weighs where nothing was observed yet, beside the mean of P; without, features that the first batch
lacks would be zero for ever.
"""


@dataclass(frozen=True)
class MultiplicativeSums(RunningSums):
    """C ← ρ C + W^(1/γ) ∘ N and A ← ρ A + P, with ∂(D + R)/∂W = P − N of the batch and its codes; W = (C / A)^γ.

    That is the minimum of the sum of the batches' majorisers, so that `repeats` would change nothing; γ is the exponent
    of the divergence with the penalties R. A begins at the mean of P, and C at A ∘ W^(1/γ). On all rows at once, of
    which nothing else is remembered then, it is the multiplicative step. Heeds weights; where nothing was observed, W
    is left. An exact zero stays zero.
    Rows that are seen again are added once more: a majoriser is not kept for each row. From the third pass over the
    rows of a training matrix on, ρ = 1 − n / n_rows: about one pass is remembered.
    scikit-learn's MiniBatchNMF begins with A = 1 and C = W, which depends on the units of X; from these sums its
    `partial_fit` takes the same steps.
    Holds two matrices of the size of W.
    Source: Lefèvre, Bach & Févotte (2011).
    """

    replaces, takes_weights, takes = False, True, Penalty

    def fitted(self, objective: Objective, known: dict[str, Any]) -> Components:
        X, W, H = objective.X, objective.factors.W.detach().T, objective.factors.H.detach()
        terms = objective.terms_W
        exponent = terms.exponent(objective.divergence)
        if "numerator" not in known:
            known |= {"numerator": torch.zeros_like(W), "denominator": torch.zeros_like(W)}
        self.count(objective, known)
        P, N = objective.group.summed(*objective.divergence.split_gradient(X.T, W, H.T))
        P, N = terms.added_to(P, N, W)
        powers = W if exponent == 1 else W ** (1 / exponent)
        C, A, weight = known["numerator"], known["denominator"], known["weight"]
        if objective.rows is not None and objective.n_rows == objective.n_samples:
            C.copy_(weight * N * powers)
            A.copy_(weight * P)
        else:
            begun = torch.where(A > 0, 0, PRIOR * P.mean())
            C += weight * (N + begun) * powers
            A += weight * (P + begun)
        fitted = torch.where(A > 0, (C / A).clamp(max=torch.finfo(W.dtype).max) ** exponent, W)
        if weight > LARGE:
            C /= weight
            A /= weight
            known["weight"] = 1.0
        return fitted.T

    def forget_(self, known: dict[str, Any], components: Tensor) -> None:
        for name in ("numerator", "denominator"):
            if name in known:
                known[name][:, components] = 0

"""Sums over rows for the Frobenius divergence, where the model is D itself."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nmf_nets.objective import Objective
from nmf_nets.running_sums.base import LARGE, RunningSums
from nmf_nets.shapes import Components, Rows
from nmf_nets.updates.base import GramUpdate


@dataclass(frozen=True)
class GramSums(RunningSums):
    """A = Σ_i v_i h_iᵀ x_i and C = Σ_i v_i h_iᵀ h_i, with the code and the weight of each row when it was last seen:

        A ← A + (v H_new − V_old H_old)ᵀ X_batch        C ← C + v H_newᵀ H_new − H_oldᵀ V_old H_old

    Heeds l1 and l2 on W. Holds the codes of all rows, and a matrix of the size of W.
    """

    update: GramUpdate

    def fitted(self, objective: Objective, known: dict[str, Any]) -> Components:
        X, W, H = objective.X, objective.factors.W.detach(), objective.factors.H.detach()
        if "products" not in known:
            known |= {"products": torch.zeros_like(W.T), "gram": W.new_zeros(len(W), len(W))}
            known |= {"codes": W.new_zeros(0, len(W)), "weights": W.new_zeros(0), "penalty": torch.zeros(2)}
        self.count(objective, known)
        weight, rows = known["weight"], objective.rows
        if rows is None:
            added = weight * (X.T @ H), weight * (H.T @ H)
        else:
            for name in ("codes", "weights"):
                known[name] = _long_enough(known[name], rows, objective.n_rows)
            old = known["codes"][rows]
            weighted = known["weights"][rows][:, None] * old
            added = X.T @ (weight * H - weighted), weight * (H.T @ H) - weighted.T @ old
            known["codes"][rows], known["weights"][rows] = H, weight
        for name, part in zip(("products", "gram"), objective.group.summed(*added), strict=True):
            known[name] += part
        B, G = known["products"], known["gram"]
        linear, ridge = self.coefficients(objective, known)
        if linear or ridge:
            B, G = B - linear, G + ridge * torch.eye(len(W), dtype=W.dtype, device=W.device)
        fitted = self.update.solve(W.T.contiguous(), B, G, self.repeats, 0.0).T
        if weight > LARGE:
            known["weight"] = 1.0
            for name in ("products", "gram", "weights", "penalty"):
                known[name] /= weight
        return fitted

    def forget_(self, known: dict[str, Any], components: Tensor) -> None:
        if "gram" in known:
            known["gram"][components] = 0
            for name in ("gram", "products", "codes"):
                known[name][:, components] = 0


def _long_enough(of_rows: Tensor, rows: Rows, n_rows: int | None) -> Tensor:
    """Rows that never came have zeros."""
    missing = (int(rows.max()) + 1 if n_rows is None else n_rows) - len(of_rows)
    if missing <= 0:
        return of_rows
    return torch.cat([of_rows, of_rows.new_zeros(max(missing, len(of_rows)), *of_rows.shape[1:])])

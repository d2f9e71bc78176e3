"""Sums over rows for the Frobenius divergence, where the model is D itself."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nmf_nets.objective import Objective
from nmf_nets.running_sums.base import RunningSums
from nmf_nets.shapes import Components, Rows
from nmf_nets.updates.base import GramUpdate


@dataclass(frozen=True)
class GramSums(RunningSums):
    """A = HᵀX and C = HᵀH, with the codes that each row had when it was last seen:

        A ← A + (H_new − H_old)ᵀ X_batch        C ← C + H_newᵀ H_new − H_oldᵀ H_old

    Holds the codes of all rows, and a matrix of the size of W.
    """

    update: GramUpdate
    repeats: int
    memory: float

    def fitted(self, objective: Objective, known: dict[str, Any]) -> Components:
        X, W, H = objective.X, objective.factors.W.detach(), objective.factors.H.detach()
        if "products" not in known:
            known["products"], known["gram"] = torch.zeros_like(W.T), W.new_zeros(len(W), len(W))
            known["codes"] = W.new_zeros(0, len(W))
        if objective.rows is None:
            for name, part in (("products", X.T @ H), ("gram", H.T @ H)):
                known[name].mul_(self.memory).add_(part)
        else:
            known["codes"] = codes = _long_enough(known["codes"], objective.rows, objective.n_rows)
            old = codes[objective.rows]
            known["products"] += X.T @ (H - old)
            known["gram"] += H.T @ H - old.T @ old
            codes[objective.rows] = H
        return self.update.solve(W.T.contiguous(), known["products"], known["gram"], self.repeats, 0.0).T

    def forget_(self, known: dict[str, Any], components: Tensor) -> None:
        if "gram" in known:
            known["gram"][components] = 0
            for name in ("gram", "products", "codes"):
                known[name][:, components] = 0


def _long_enough(codes: Tensor, rows: Rows, n_rows: int | None) -> Tensor:
    """Rows that never came have codes of zero."""
    missing = (int(rows.max()) + 1 if n_rows is None else n_rows) - len(codes)
    return codes if missing <= 0 else torch.cat([codes, codes.new_zeros(max(missing, len(codes)), codes.shape[1])])

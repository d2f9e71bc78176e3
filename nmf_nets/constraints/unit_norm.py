"""Components in the unit ball."""

import math

import torch
from torch import Tensor

from nmf_nets.constraints.base import Constraint
from nmf_nets.division import divisor


class UnitNorm(Constraint):
    """w_k = θ_k / max(‖θ_k‖, √m), θ ≥ 0 of m entries: the projection onto {w ≥ 0, ‖w‖₂ ≤ 1}, with θ of about 1.

    It fixes the scale that a penalty on H could otherwise evade; with one, norms end at 1.
    Source: Hoyer (2002), with the sphere.
    """

    absolute = True

    def forward(self, theta: Tensor) -> Tensor:
        root = math.sqrt(theta.shape[1])
        return theta / torch.linalg.vector_norm(theta, dim=1, keepdim=True).clamp(min=root)

    def right_inverse(self, W: Tensor) -> Tensor:
        """Components that are longer become shorter."""
        return math.sqrt(W.shape[1]) * in_unit_ball(W)

    def project_(self, theta: Tensor) -> None:
        with torch.no_grad():
            theta.clamp_(min=0)
            theta.copy_(self.right_inverse(theta / math.sqrt(theta.shape[1])))


def in_unit_ball(rows: Tensor) -> Tensor:
    """Each row divided by its Euclidean norm, where that is above 1."""
    return rows / divisor(torch.linalg.vector_norm(rows, dim=1, keepdim=True)).clamp(min=1)

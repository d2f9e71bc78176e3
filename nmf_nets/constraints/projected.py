"""Projection after the step."""

import torch
from torch import Tensor

from nmf_nets.constraints.base import Constraint


class Projected(Constraint):
    """w = θ, then θ ← max(θ, 0) after every step: reaches exact zeros and leaves them again.

    Clamping inside the forward pass would not: its gradient is zero at every negative θ.
    """

    def forward(self, theta: Tensor) -> Tensor:
        return theta

    def right_inverse(self, W: Tensor) -> Tensor:
        return W

    def project_(self, theta: Tensor) -> None:
        with torch.no_grad():
            theta.clamp_(min=0)

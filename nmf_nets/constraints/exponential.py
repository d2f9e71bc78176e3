"""Exponentials."""

import torch
from torch import Tensor

from nmf_nets.constraints.base import Constraint


class Exponential(Constraint):
    """w = e^θ: gradient steps become multiplicative; zeros are never reached, and w below ε is lifted to ε."""

    def forward(self, theta: Tensor) -> Tensor:
        return theta.exp()

    def right_inverse(self, W: Tensor) -> Tensor:
        return W.clamp(min=torch.finfo(W.dtype).eps).log()

    def project_(self, theta: Tensor) -> None:
        pass

"""A smooth hinge."""

import torch
from torch import Tensor

from nmf_nets.constraints.base import Constraint


class Softplus(Constraint):
    """w = log(1 + e^θ): positive, so zeros are approached and never reached; w below ε is lifted to ε."""

    def forward(self, theta: Tensor) -> Tensor:
        return torch.nn.functional.softplus(theta, threshold=40)  # the default 20 is wrong by 2e-9

    def right_inverse(self, W: Tensor) -> Tensor:
        W = W.clamp(min=torch.finfo(W.dtype).eps)
        return W + torch.log(-torch.expm1(-W))

    def project_(self, theta: Tensor) -> None:
        pass

"""Squares."""

from torch import Tensor

from nmf_nets.constraints.base import Constraint


class Square(Constraint):
    """w = θ²: zero is a saddle, and gradient flow from a small start leans to a small L1 norm.

    Source: Chou, Maly & Verdun (2025), who solve non-negative least squares by it.
    """

    def forward(self, theta: Tensor) -> Tensor:
        return theta.square()

    def right_inverse(self, W: Tensor) -> Tensor:
        return W.sqrt()

    def project_(self, theta: Tensor) -> None:
        pass

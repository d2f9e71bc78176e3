"""No constraint."""

from torch import Tensor

from nmf_nets.constraints.base import Constraint


class Free(Constraint):
    """w = θ, of any sign: for the components of semi-NMF."""

    non_negative = False

    def forward(self, theta: Tensor) -> Tensor:
        return theta

    def right_inverse(self, W: Tensor) -> Tensor:
        return W

    def project_(self, theta: Tensor) -> None:
        pass

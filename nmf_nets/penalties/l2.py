"""½ λ ‖M‖²."""

import torch
from torch import Tensor

from nmf_nets.penalties.base import Penalty
from nmf_nets.shapes import Codes, Scalar


class L2(Penalty):
    """R = ½ λ ‖M‖²: makes a factor small.

    scikit-learn's `alpha_W · (1 − l1_ratio) · n_features` on our H, `alpha_H · (1 − l1_ratio) · n_samples` on our W.
    """

    power = 1.0

    def value(self, M: Codes) -> Scalar:
        return 0.5 * self.strength * torch.linalg.vector_norm(M, dtype=torch.float64).square()

    def gradient(self, M: Codes) -> Tensor:
        return self.strength * M

    @property
    def coefficients(self) -> tuple[float, float]:
        return 0.0, self.strength

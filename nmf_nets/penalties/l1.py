"""λ Σ m."""

import torch
from torch import Tensor

from nmf_nets.penalties.base import Penalty
from nmf_nets.shapes import Codes, Scalar


class L1(Penalty):
    """R = λ Σ m: makes a factor sparse.

    scikit-learn's `alpha_W · l1_ratio · n_features` on our H, `alpha_H · l1_ratio · n_samples` on our W.
    """

    power = 0.0

    def value(self, M: Codes) -> Scalar:
        return self.strength * M.sum(dtype=torch.float64)

    def gradient(self, M: Codes) -> Tensor:
        return torch.full_like(M, self.strength)

    @property
    def coefficients(self) -> tuple[float, float]:
        return self.strength, 0.0

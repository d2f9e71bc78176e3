"""λ Σ m."""

import torch
from torch import Tensor

from nmf_nets.penalties.base import EntryPenalty
from nmf_nets.shapes import Codes, Scalar


class L1(EntryPenalty):
    """R = λ Σ m: makes a factor sparse.

    scikit-learn's `alpha_W · l1_ratio · n_features` on our H, `alpha_H · l1_ratio · n_samples` on our W.
    """

    powers, psd, degree = (0.0, 0.0), True, 1.0

    def value(self, M: Codes) -> Scalar:
        return self.strength * M.sum(dtype=torch.float64)

    def split_gradient(self, M: Codes) -> tuple[Tensor, Tensor]:
        return torch.full_like(M, self.strength), M.new_zeros(())

    @property
    def coefficients(self) -> tuple[float, float]:
        return self.strength, 0.0

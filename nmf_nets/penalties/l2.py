"""½ λ ‖M‖²."""

import torch
from torch import Tensor

from nmf_nets.penalties.base import EntryPenalty
from nmf_nets.shapes import Codes, Scalar


class L2(EntryPenalty):
    """R = ½ λ ‖M‖²: makes a factor small.

    scikit-learn's `alpha_W · (1 − l1_ratio) · n_features` on our H, `alpha_H · (1 − l1_ratio) · n_samples` on our W.
    """

    powers, psd, degree = (1.0, 1.0), True, 2.0

    def value(self, M: Codes) -> Scalar:
        return 0.5 * self.strength * torch.linalg.vector_norm(M, dtype=torch.float64).square()

    def split_gradient(self, M: Codes) -> tuple[Tensor, Tensor]:
        return self.strength * M, M.new_zeros(())

    @property
    def coefficients(self) -> tuple[float, float]:
        return 0.0, self.strength

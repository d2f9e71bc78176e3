"""½ λ Σ_{k≠l} ⟨m_k, m_l⟩."""

import torch
from torch import Tensor

from nmf_nets.penalties.base import RowPenalty
from nmf_nets.shapes import Codes, Gram, Scalar


class Orthogonality(RowPenalty):
    """R = ½ λ Σ_{k≠l} ⟨m_k, m_l⟩ over the columns of M: on H each sample gets few components, on W each feature.

    Zero exactly where no row of M has two entries above 0. Unlike ‖MᵀM − I‖² it is quadratic, so that the exponent of a
    multiplicative step stays 1 for the Frobenius divergence; it is not convex.
    Source: Ding et al. (2006) for orthogonal NMF, which they seek by other means.
    """

    powers, psd, degree = (1.0, 0.0), False, 2.0

    def value(self, M: Codes) -> Scalar:
        M = M.double()
        return 0.5 * self.strength * (M.sum(1).square().sum() - M.square().sum())

    def split_gradient(self, M: Codes) -> tuple[Tensor, Tensor]:
        return self.strength * (M.sum(1, keepdim=True) - M).clamp(min=0), M.new_zeros(())

    def quadratic(self, M: Codes) -> tuple[float, Gram]:
        r = M.shape[1]
        return 0.0, self.strength * (1 - torch.eye(r, dtype=M.dtype, device=M.device))

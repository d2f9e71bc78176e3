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
        return 0.5 * torch.sum(self._coupling(M) * (M.T @ M))

    def split_gradient(self, M: Codes) -> tuple[Tensor, Tensor]:
        return M @ self._coupling(M), M.new_zeros(())

    def quadratic(self, M: Codes) -> tuple[float, Gram]:
        return 0.0, self._coupling(M)

    def _coupling(self, M: Codes) -> Gram:
        """λ (1 1ᵀ − I), whose products are sums of what is ≥ 0; (Σ m)² − Σ m² is rounding beside large entries."""
        r = M.shape[1]
        return self.strength * (1 - torch.eye(r, dtype=M.dtype, device=M.device))

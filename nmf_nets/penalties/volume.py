"""½ λ log det(I + MᵀM / δ)."""

import math
from typing import Any

import torch
from torch import Tensor

from nmf_nets.as_matrix import as_matrix
from nmf_nets.division import divisor
from nmf_nets.penalties.base import RowPenalty
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Codes, Gram, Scalar


class Volume(RowPenalty):
    """R = ½ λ log det(I + MᵀM / δ): the volume that columns of M span, so that components W enclose X as tightly as
    they can and are found where they are unique: where codes are zero often enough.

    It is ½ λ log det(MᵀM + δI), but for a constant that makes R 0 at M = 0. As it is concave in MᵀM, ½ λ ⟨M Q, M⟩ with
    Q = (MᵀM + δI)⁻¹ of the present M touches it from above, and R⁺ = λ M [Q]₊, R⁻ = λ M [−Q]₊.
    δ: `delta` times the square of the norm that a column of M has when H and W are balanced, n_rows mean(X) / r. Where
    components are shorter than that, R is a ridge.
    X: the data, or their transpose. Source: Leplat, Ang & Gillis (2019).
    """

    powers, psd, degree, couples_rows = (1.0, -1.0), True, 0.0, True

    def __init__(self, strength: float, X: Any, delta: float = 0.1):
        super().__init__(strength)
        if not (isinstance(delta, int | float) and math.isfinite(delta) and delta > 0):
            raise Refusal(f"delta of volume must be a finite number above 0, but is {delta!r}.")
        self.delta, self.unit = float(delta), float(divisor(as_matrix(X).mean))

    def value(self, M: Codes) -> Scalar:
        M = M.double()
        delta = self._delta_of(M)
        G = M.T @ M
        return (
            0.5 * self.strength * torch.linalg.slogdet(torch.eye(len(G), dtype=G.dtype, device=G.device) + G / delta)[1]
        )

    def split_gradient(self, M: Codes) -> tuple[Tensor, Tensor]:
        Q = self._curvature(M)
        return M @ Q.clamp(min=0), M @ (-Q).clamp(min=0)

    def quadratic(self, M: Codes) -> tuple[float, Gram]:
        return 0.0, self._curvature(M)

    def _curvature(self, M: Codes) -> Gram:
        """λ Q, inverted in float64 and without a look at the device."""
        G = M.double().T @ M.double()
        shifted = G + self._delta_of(M) * torch.eye(len(G), dtype=G.dtype, device=G.device)
        return (self.strength * torch.linalg.inv_ex(shifted)[0]).to(M.dtype)

    def _delta_of(self, M: Codes) -> float:
        return self.delta * self.unit * M.shape[0] / M.shape[1]

"""Sums for a Newton step of the Kullback–Leibler divergence."""

from dataclasses import dataclass

import torch
from torch import Tensor

from nmf_nets.criterion import PLAIN, Terms
from nmf_nets.divergences.base import floor
from nmf_nets.kernels.newton_columns import newton_columns
from nmf_nets.kernels.transposed import add_ratios_, add_transposed_product_
from nmf_nets.matrix import Matrix
from nmf_nets.row_sums.base import RowSums
from nmf_nets.row_sums.totals import Totals
from nmf_nets.shapes import Codes, Components, Scalar


@dataclass(frozen=True)
class Newton(RowSums):
    """For each feature j the second-order model of D in its column of W, and Σ v x log x̂:

        s = Σ_i v_ij h_i        p_j = Σ_i v_ij x_ij h_i / x̂_ij        Q_j = Σ_i v_ij x_ij h_iᵀh_i / x̂_ij²

    Of Q the lower half: r m (r + 3) / 2 + r + 1 numbers, without weights, as s is the same for all features then.

    least: of each feature, the least v x above 0 (newton_columns). sweeps: over each column of the model.
    """

    least: Tensor
    weighted: bool = False
    sweeps: int = 10

    def numbers(self, n_components: int, n_features: int) -> int:
        r, m = n_components, n_features
        return r * (r + 1) // 2 * m + r * m + (r * m if self.weighted else r) + 1

    def add_(self, sums: Tensor, X: Matrix, H: Codes, W: Components, valued: bool = True) -> None:
        Q, p, s, cross = self._parts(sums, W)
        cross += add_ratios_(p, Q, X, H, W, floor(X))
        if self.weighted:
            add_transposed_product_(s, X, X.given_weights, H)
        else:
            s += H.sum(0, dtype=torch.float64)

    def fitted(self, sums: Tensor, W: Components, terms: Terms = PLAIN) -> Components:
        Q, p, s, _ = self._parts(sums, W)
        linear, ridge = terms.coefficients
        moved = newton_columns(W.T.double(), s - p, Q, self.least, self.sweeps, linear, ridge, terms.frozen)
        return moved.T.to(W.dtype).contiguous()

    def value(self, sums: Tensor, W: Components, totals: Totals) -> Scalar:
        _, _, s, cross = self._parts(sums, W)
        return (totals.self_entropy - totals.sum - cross[0] + (s * W.T.double()).sum()).clamp(min=0)

    def _parts(self, sums: Tensor, W: Components) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        r, m = W.shape
        half = r * (r + 1) // 2 * m
        Q, p, s, cross = torch.split(sums, [half, r * m, len(sums) - half - r * m - 1, 1])
        return Q.view(m, -1), p.view(m, r), s.view(m, r) if self.weighted else s, cross

"""Sums for the Frobenius divergence."""

from dataclasses import dataclass

import torch
from torch import Tensor

from nmf_nets.criterion import PLAIN, Terms
from nmf_nets.half_steps.gram import solved_where_free, with_entries, with_rows
from nmf_nets.matrix import Matrix
from nmf_nets.row_sums.base import RowSums, Totals, packed
from nmf_nets.shapes import Codes, Components, Scalar
from nmf_nets.updates.base import GramUpdate


@dataclass(frozen=True)
class Gram(RowSums):
    """A = HᵀH and B = HᵀX, r² + r m numbers; of data with weights v, EM's: A · max v and Hᵀ(V ∘ (X − X̂)) + A W.

    update: finds W from them, by `repeats` steps until one moves a row of Wᵀ by at most `progress` of the first.
    """

    update: GramUpdate
    repeats: int = 1
    progress: float = 0.0

    def numbers(self, n_components: int, n_features: int) -> int:
        return n_components**2 + n_components * n_features

    def of(self, X: Matrix, H: Codes, W: Components) -> Tensor:
        return packed(H.T @ H, (X.T @ H).T)

    def fitted(self, sums: Tensor, W: Components, terms: Terms = PLAIN) -> Components:
        A, B = (part.to(W.dtype) for part in self._parts(sums, W))
        Wt = W.T.contiguous()
        B, A = with_rows(*with_entries(B.T, A, terms), terms, Wt)
        return solved_where_free(self.update.solve, Wt, B, A, terms, self.repeats, self.progress).T

    def value(self, sums: Tensor, W: Components, totals: Totals) -> Scalar:
        A, B = self._parts(sums, W)
        W = W.double()
        return (0.5 * totals.square_norm - (B * W).sum() + 0.5 * ((A @ W) * W).sum()).clamp(min=0)

    @staticmethod
    def _parts(sums: Tensor, W: Components) -> tuple[Tensor, Tensor]:
        r, m = W.shape
        A, B = torch.split(sums, [r * r, r * m])
        return A.view(r, r), B.view(r, m)

"""Sums for the multiplicative step, of any divergence."""

from dataclasses import dataclass

import torch
from torch import Tensor

from nmf_nets.criterion import PLAIN, Terms
from nmf_nets.divergences.base import Divergence
from nmf_nets.factorization import Factorization
from nmf_nets.kernels.multiplicative import multiplied
from nmf_nets.matrix import Matrix
from nmf_nets.row_sums.base import RowSums, Totals, packed
from nmf_nets.shapes import Codes, Components, Scalar


@dataclass(frozen=True)
class Majoriser(RowSums):
    """P and N with ∂D/∂W = P − N, and D itself: W ← W ∘ (N / P)^γ. For Kullback–Leibler without weights P is the sum
    of each column of H: r + r m + 1 numbers, else 2 r m + 1.
    """

    divergence: Divergence
    weighted: bool = False

    def numbers(self, n_components: int, n_features: int) -> int:
        of_P = n_components if self._flat else n_components * n_features
        return of_P + n_components * n_features + 1

    def of(self, X: Matrix, H: Codes, W: Components) -> Tensor:
        P, N = self.divergence.split_gradient(X.T, W.T, H.T)
        value = self.divergence.total(X, Factorization(H, W))
        return packed(P[0] if self._flat else P.T, N.T, value)

    def fitted(self, sums: Tensor, W: Components, terms: Terms = PLAIN) -> Components:
        P, N, _ = self._parts(sums, W)
        Wt, exponent = W.T, terms.exponent(self.divergence)
        new = multiplied(Wt, *terms.added_to(P.to(W.dtype).T, N.to(W.dtype).T, Wt), exponent)
        return (new if terms.frozen is None else torch.where(terms.frozen, Wt, new)).T

    def value(self, sums: Tensor, W: Components, totals: Totals) -> Scalar:
        return self._parts(sums, W)[2]

    @property
    def _flat(self) -> bool:
        return self.divergence.beta == 1 and not self.weighted

    def _parts(self, sums: Tensor, W: Components) -> tuple[Tensor, Tensor, Scalar]:
        r, m = W.shape
        P, N, value = torch.split(sums, [len(sums) - r * m - 1, r * m, 1])
        return P[:, None].expand(r, m) if self._flat else P.view(r, m), N.view(r, m), value[0]

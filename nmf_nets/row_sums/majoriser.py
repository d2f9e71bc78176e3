"""Sums for the multiplicative step, of any divergence."""

from dataclasses import dataclass

import torch
from torch import Tensor

from nmf_nets.criterion import PLAIN, Terms
from nmf_nets.divergences.base import Divergence, floor
from nmf_nets.factorization import Factorization
from nmf_nets.kernels.multiplicative import multiplied
from nmf_nets.kernels.transposed import add_ratios_, add_transposed_product_
from nmf_nets.matrix import Matrix
from nmf_nets.row_sums.base import RowSums
from nmf_nets.row_sums.totals import Totals
from nmf_nets.shapes import Codes, Components, Scalar


@dataclass(frozen=True)
class Majoriser(RowSums):
    """P and N with ∂D/∂W = P − N, and D itself: W ← W ∘ (N / P)^γ. For Kullback–Leibler without weights P is the sum
    of each column of H: r + r m + 1 numbers, else 2 r m + 1. D is a by-product for Kullback–Leibler alone.
    """

    divergence: Divergence
    weighted: bool = False

    def numbers(self, n_components: int, n_features: int) -> int:
        of_P = n_components if self._flat else n_components * n_features
        return of_P + n_components * n_features + 1

    def add_(self, sums: Tensor, X: Matrix, H: Codes, W: Components, valued: bool = True) -> None:
        P, N, value = self._parts(sums, W)
        if self._poisson:
            value -= add_ratios_(N, None, X, H, W, floor(X))
            if self.weighted:
                add_transposed_product_(P, X, X.given_weights, H)
            else:
                P += H.sum(0, dtype=torch.float64)
            return
        of_P, of_N = self.divergence.split_gradient(X.T, W.T, H.T)
        P += of_P
        N += of_N
        if valued:
            value += self.divergence.total(X, Factorization(H, W))

    def fitted(self, sums: Tensor, W: Components, terms: Terms = PLAIN) -> Components:
        P, N, _ = self._parts(sums, W)
        Wt, exponent = W.T, terms.exponent(self.divergence)
        P = P.to(W.dtype).expand(Wt.shape)
        new = multiplied(Wt, *terms.added_to(P, N.to(W.dtype), Wt), exponent)
        return (new if terms.frozen is None else torch.where(terms.frozen, Wt, new)).T.contiguous()

    def value(self, sums: Tensor, W: Components, totals: Totals) -> Scalar:
        P, _, value = self._parts(sums, W)
        if not self._poisson:
            return value[0]
        return (totals.self_entropy - totals.sum + value[0] + (P * W.T.double()).sum()).clamp(min=0)

    @property
    def _poisson(self) -> bool:
        return self.divergence.beta == 1

    @property
    def _flat(self) -> bool:
        return self._poisson and not self.weighted

    def _parts(self, sums: Tensor, W: Components) -> tuple[Tensor, Tensor, Tensor]:
        r, m = W.shape
        P, N, value = torch.split(sums, [len(sums) - r * m - 1, r * m, 1])
        return P if self._flat else P.view(m, r), N.view(m, r), value

"""Sums for the Frobenius divergence."""

from dataclasses import dataclass

import torch
from torch import Tensor

from nmf_nets.criterion import PLAIN, Terms
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.factorization import Factorization
from nmf_nets.half_steps.gram import solved_where_free, with_entries, with_rows
from nmf_nets.kernels.multiplicative import multiplied
from nmf_nets.kernels.transposed import add_transposed_product_
from nmf_nets.matrix import Matrix
from nmf_nets.row_sums.base import RowSums
from nmf_nets.row_sums.totals import Totals
from nmf_nets.shapes import Codes, Components, Scalar
from nmf_nets.updates.base import GramUpdate
from nmf_nets.updates.multiplicative import Multiplicative


@dataclass(frozen=True)
class Products(RowSums):
    """A = HᵀH and B = XᵀH, r² + r m numbers. Of data with weights v, those of expectation–maximisation, where
    B = (V ∘ (X − X̂))ᵀH + WᵀA and A = max v · HᵀH, and D.

    update: finds W from them, by `repeats` steps until one moves a row of Wᵀ by at most `progress` of the first.
    heaviest: max v; None for data without weights.
    """

    update: GramUpdate | Multiplicative
    repeats: int = 1
    progress: float = 0.0
    heaviest: float | None = None

    def numbers(self, n_components: int, n_features: int) -> int:
        return n_components**2 + n_components * n_features + 1

    def add_(self, sums: Tensor, X: Matrix, H: Codes, W: Components, valued: bool = True) -> None:
        A, B, value = self._parts(sums, W)
        A += H.T @ H
        if self.heaviest is None:
            add_transposed_product_(B, X, X.values, H)
            return
        add_transposed_product_(B, X, X.given_weights * (X.values - X.sample(H, W)), H)
        if valued:
            value += Frobenius().total(X, Factorization(H, W))

    def fitted(self, sums: Tensor, W: Components, terms: Terms = PLAIN) -> Components:
        A, B, _ = self._parts(sums, W)
        if self.heaviest is not None:
            A = A * self.heaviest
            B = B + W.T.double() @ A
        A, B, Wt = A.to(W.dtype), B.to(W.dtype), W.T.contiguous()
        if isinstance(self.update, Multiplicative):
            return self._multiplied(Wt, B, A, terms).T
        B, A = with_rows(*with_entries(B, A, terms), terms, Wt)
        return solved_where_free(self.update.solve, Wt, B, A, terms, self.repeats, self.progress).T

    def value(self, sums: Tensor, W: Components, totals: Totals) -> Scalar:
        A, B, value = self._parts(sums, W)
        if self.heaviest is not None:
            return value[0]
        Wt = W.T.double()
        return (0.5 * totals.square_norm - (B * Wt).sum() + 0.5 * ((Wt @ A) * Wt).sum()).clamp(min=0)

    def _multiplied(self, Wt: Tensor, B: Tensor, A: Tensor, terms: Terms) -> Tensor:
        exponent = terms.exponent(Frobenius())
        for _ in range(self.repeats):
            new = multiplied(Wt, *terms.added_to(Wt @ A, B.clamp(min=0), Wt), exponent)
            Wt = new if terms.frozen is None else torch.where(terms.frozen, Wt, new)
        return Wt

    @staticmethod
    def _parts(sums: Tensor, W: Components) -> tuple[Tensor, Tensor, Tensor]:
        r, m = W.shape
        A, B, value = torch.split(sums, [r * r, r * m, 1])
        return A.view(r, r), B.view(m, r), value

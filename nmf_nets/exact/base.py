"""What the selections of rows share."""

from collections.abc import Callable

import torch
from torch import Tensor

from nmf_nets.division import ratio
from nmf_nets.kernels.pivoting import pivoted
from nmf_nets.matrix import Matrix
from nmf_nets.refusal import Refusal, refuse_count
from nmf_nets.shapes import Codes, Gram, PerSample, Rows

Select = Callable[[Matrix, int], Rows]
"""Finds n_components rows of X that all its rows are made of: their indices, in the order of selection."""

TIED = 1e-6
"""Squared residuals that differ by no more, relatively, are equal."""

NEGLIGIBLE = 1e-7
"""A residual no longer than this part of the longest row is rounding: of squared norms that were subtracted."""


class Selection:
    """Rows of X selected one by one, all divided by their sums and in float64; zero rows stay, and are never taken.

    norms: squared, of all rows. B = X X[J]ᵀ and G = X[J] X[J]ᵀ are what codes on the selected rows J need.
    """

    def __init__(self, X: Matrix, n_components: int):
        refuse_count("n_components", n_components)
        self.X, self.n_components = unit_sum_rows(X), n_components
        self.norms = self.X.row_sum(self.X.values.square())
        self.least = max(NEGLIGIBLE, 10 * torch.finfo(X.dtype).eps) ** 2 * self.norms.max()
        self.found: list[int] = []
        self.B: Codes = self.norms.new_zeros(len(self.norms), 0)

    @property
    def complete(self) -> bool:
        return len(self.found) >= self.n_components

    @property
    def rows(self) -> Rows:
        return torch.tensor(self.found, dtype=torch.long, device=self.X.device)

    @property
    def G(self) -> Gram:
        return self.B[self.found]

    def farthest(self, residuals: PerSample) -> int:
        """The row with the largest squared residual; of those that are tied, the one with the largest norm.

        Raises Refusal where none is left.
        """
        residuals = residuals.index_fill(0, self.rows, 0)
        most = residuals.max()
        if most <= self.least:
            raise Refusal(
                f"n_components is {self.n_components}, but only {len(self.found)} rows of X can be selected: to "
                "rounding, all others are zero or made of them; lower n_components."
            )
        return int(torch.where(residuals >= (1 - TIED) * most, self.norms, -1).argmax())

    def row(self, j: int) -> Tensor:
        """Of shape (1, n_features)."""
        return self.X.rows(torch.tensor([j], device=self.X.device)).dense()

    def take(self, j: int) -> None:
        self.found.append(j)
        self.B = torch.cat([self.B, self.X @ self.row(j).T], 1)

    def residuals(self, H: Codes) -> PerSample:
        """‖x_i − h_i X[J]‖²."""
        return self.norms + ((H @ self.G - 2 * self.B) * H).sum(1)


def refuse_weights(X: Matrix) -> None:
    if X.weights is not None:
        raise Refusal("rows are selected by all of their entries, but X has weights; impute what was not observed.")


def unit_sum_rows(X: Matrix) -> Matrix:
    """In float64. Raises Refusal for weights."""
    refuse_weights(X)
    X = X.to(torch.float64)
    return X.with_values(ratio(X.values, X.of_rows(X.row_totals[:, 0])))


def exact_codes(H: Codes, B: Codes, G: Gram) -> Codes:
    """argmin_{H ≥ 0} ½⟨H G, H⟩ − ⟨B, H⟩; twice, as where G is singular the first is only a proximal step from H."""
    return pivoted(pivoted(H, B, G, 1, 0.0), B, G, 1, 0.0)


def with_one_more(H: Tensor) -> Tensor:
    """A component that no row uses yet."""
    return torch.cat([H, H.new_zeros(len(H), 1)], 1)

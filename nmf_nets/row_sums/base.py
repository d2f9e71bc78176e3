"""The interface of what a step on W needs of the rows."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from nmf_nets.criterion import PLAIN, Terms
from nmf_nets.matrix import Matrix
from nmf_nets.row_sums.totals import Totals
from nmf_nets.shapes import Codes, Components, Scalar


class RowSums(ABC):
    """Σ_i s(x_i, h_i, W) over rows, as one vector in float64, from which W is found as if all rows were at hand.

    Rows may so lie in blocks, each made and forgotten, and on other ranks, each with blocks of its own: their vectors
    are added. Sums in float64 are the same to some 1e-12 whatever the blocks.
    """

    @abstractmethod
    def numbers(self, n_components: int, n_features: int) -> int:
        """How many there are."""

    @abstractmethod
    def add_(self, sums: Tensor, X: Matrix, H: Codes, W: Components, valued: bool = True) -> None:
        """To sums, those of these rows with these codes, on W as it is.

        valued: whether D is asked for; where it is not, and is not a by-product, it is left out.
        """

    @abstractmethod
    def fitted(self, sums: Tensor, W: Components, terms: Terms = PLAIN) -> Components:
        """W after its step; the sums were made on the W that is given."""

    @abstractmethod
    def value(self, sums: Tensor, W: Components, totals: Totals) -> Scalar:
        """D(X | H W) at the codes and the W that the sums were made on, in float64."""

    def of(self, X: Matrix, H: Codes, W: Components) -> Tensor:
        """Of these rows alone."""
        sums = torch.zeros(self.numbers(*W.shape), dtype=torch.float64, device=W.device)
        self.add_(sums, X, H, W)
        return sums

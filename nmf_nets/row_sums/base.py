"""The interface of what a step on W needs of the rows."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from nmf_nets.criterion import PLAIN, Terms
from nmf_nets.matrix import Matrix
from nmf_nets.shapes import Codes, Components, Scalar


@dataclass(frozen=True)
class Totals:
    """Of all rows of X, wherever they lie: what the divergences know of X alone."""

    n_samples: int
    sum: float
    square_norm: float
    self_entropy: float
    mass: float
    """How many entries count: n m, or Σ v."""


class RowSums(ABC):
    """Σ_i s(x_i, h_i, W) over rows, as one vector in float64, from which W is found as if all rows were at hand.

    Rows may so lie in blocks, each made and forgotten, and on other ranks, each with blocks of its own: their vectors
    are added. Sums in float64 are the same to some 1e-12 whatever the blocks.
    """

    @abstractmethod
    def numbers(self, n_components: int, n_features: int) -> int:
        """How many there are."""

    @abstractmethod
    def of(self, X: Matrix, H: Codes, W: Components) -> Tensor:
        """Of these rows with these codes, on W as it is."""

    @abstractmethod
    def fitted(self, sums: Tensor, W: Components, terms: Terms = PLAIN) -> Components:
        """W after its step; the sums were made on the W that is given."""

    @abstractmethod
    def value(self, sums: Tensor, W: Components, totals: Totals) -> Scalar:
        """D(X | H W) at the codes and the W that the sums were made on, in float64."""


def packed(*parts: Tensor) -> Tensor:
    return torch.cat([part.double().flatten() for part in parts])

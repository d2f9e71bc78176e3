"""The interfaces of penalties: what a multiplicative step can heed, what HALS can as well, what every step can, what is
on both factors.
"""

import math
from abc import ABC, abstractmethod
from copy import copy
from typing import Any

import torch
from torch import Tensor

from nmf_nets.as_matrix import as_matrix
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.part import part_name
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Codes, Components, Gram, Scalar


class Penalty(ABC):
    """R(M), added to D for the factor M: H, or Wᵀ for the half-step on W. In the units of D, a sum over entries.

    X → cX leaves the solution as it is, up to scale, if λ → c^(β − degree / 2) λ (`rescaled`). A penalty on one factor
    alone can be evaded by scaling, H D and D⁻¹W: penalise, constrain or freeze the other one too.
    """

    degree: float
    """R(t M) = t^degree R(M); 0 for what has in `unit` a measure of its own."""

    unit: float = 1.0
    """Of m², for what depends on the size of M beyond its strength."""

    powers: tuple[float, float]
    """The highest power of t = m_new / m in R⁺ of the majoriser's derivative along t m, and the lowest in its R⁻."""

    psd: bool
    """Whether R, or the quadratic that touches it from above, is convex; the step of exponent 1 then never raises
    a quadratic D + R (derived: A = A⁺ − A⁻ ⪰ 0 is at most 2 diag(A⁺ m / m))."""

    couples_rows = False
    """Whether R is more than a sum over rows: all rows are then needed, in their order."""

    def __init__(self, strength: float):
        self.strength = refuse_strength(strength, type(self).__name__)

    def times(self, number: float) -> "Penalty":
        """The same penalty, so much as strong."""
        scaled = copy(self)
        scaled.strength = number * self.strength
        return scaled

    def rescaled(self, c: float, beta: float) -> "Penalty":
        """The same penalty of X → cX with the divergence of β: R(√c M) is c^β times what R(M) was, as D is."""
        scaled = self.times(c ** (beta - self.degree / 2))
        scaled.unit = c * self.unit
        return scaled

    @abstractmethod
    def value(self, M: Codes) -> Scalar:
        """R(M), in float64."""

    @abstractmethod
    def split_gradient(self, M: Codes) -> tuple[Tensor, Tensor]:
        """R⁺, R⁻ ≥ 0 with ∂R/∂M = R⁺ − R⁻."""


class RowPenalty(Penalty):
    """A penalty that a quadratic touches from above, the same for each row of M: a half-step needs no other row."""

    @abstractmethod
    def quadratic(self, M: Codes) -> tuple[float, Gram]:
        """(λ, Q): λ Σ m + ½ ⟨M Q, M⟩ + const touches R at M and lies nowhere below it."""


class EntryPenalty(RowPenalty):
    """A penalty that is a sum over the entries of M, the same for all of them."""

    @property
    @abstractmethod
    def coefficients(self) -> tuple[float, float]:
        """(λ₁, λ₂) with R = λ₁ Σ m + ½ λ₂ ‖M‖²."""

    def quadratic(self, M: Codes) -> tuple[float, Gram]:
        linear, ridge = self.coefficients
        return linear, ridge * torch.eye(M.shape[1], dtype=M.dtype, device=M.device)


class LaplacianPenalty(Penalty):
    """R = ½ λ Σ_{i<j} a_ij ‖m_i − m_j‖² = ½ λ tr(Mᵀ (Δ − A) M), Δ = diag(A 1): draws rows together that are joined.

    A: the weights of a graph of the rows of M, symmetric and ≥ 0, whatever `as_matrix` takes; best sparse.
    R⁺ = λ Δ M, R⁻ = λ A M. Refuses another number of rows than the graph has.
    """

    powers, psd, degree, couples_rows = (1.0, -1.0), True, 2.0, True

    def __init__(self, strength: float, A: Any):
        super().__init__(strength)
        self._graph = as_matrix(A, torch.float64, name="the graph")
        self._cast: dict[tuple[torch.dtype, torch.device], Matrix] = {}

    def value(self, M: Codes) -> Scalar:
        M = M.double()
        A = self._graph_of(M)
        return 0.5 * self.strength * torch.sum(M * (A.row_totals * M - A @ M))

    def split_gradient(self, M: Codes) -> tuple[Tensor, Tensor]:
        A = self._graph_of(M)
        return self.strength * A.row_totals * M, self.strength * (A @ M)

    def _graph_of(self, M: Codes) -> Matrix:
        """In the dtype and on the device of M, where it stays for the next step."""
        if len(M) != self._graph.shape[0]:
            raise Refusal(
                f"{part_name(self)} joins {self._graph.shape[0]} rows of a factor and needs all of them, but is given "
                f"{len(M)}; use data.batch_size=null, and for W a graph of the features."
            )
        place = (M.dtype, M.device)
        if place not in self._cast:
            self._cast[place] = self._graph.to(M.device, M.dtype)
        return self._cast[place]


class Priced(Penalty):
    """R = λ ⟨C, M⟩ with a price C ≥ 0 for each entry of M."""

    powers, psd, degree = (0.0, 0.0), True, 1.0

    def __init__(self, strength: float, prices: Codes):
        super().__init__(strength)
        self._prices = prices

    def value(self, M: Codes) -> Scalar:
        return self.strength * (self._prices.double() * M.double()).sum()

    def split_gradient(self, M: Codes) -> tuple[Tensor, Tensor]:
        return self.strength * self._prices, M.new_zeros(())


class PairPenalty(ABC):
    """R(H, W), linear in each of both factors, of data whose rows are coupled: to either of them it is a price.

    H: the codes as they meet W. X → cX leaves the solution as it is, up to scale, if λ → c^(β − 2) λ.
    """

    def __init__(self, strength: float):
        self.strength = refuse_strength(strength, type(self).__name__)

    @abstractmethod
    def value(self, X: Matrix, factors: Factorization) -> Scalar:
        """R(H, W), in float64."""

    @abstractmethod
    def given_W(self, X: Matrix, W: Components) -> Penalty:
        """R as a penalty on H."""

    @abstractmethod
    def given_H(self, X: Matrix, H: Codes) -> Penalty:
        """R as a penalty on Wᵀ."""


def refuse_strength(strength: Any, name: str) -> float:
    """As a number; raises Refusal for what is none of at least 0."""
    if not (isinstance(strength, int | float) and math.isfinite(strength) and strength >= 0):
        raise Refusal(f"the strength of {name} must be a finite number of at least 0, but is {strength!r}.")
    return float(strength)

"""The interfaces of penalties: what a multiplicative step can heed, what HALS can as well, and what every step can."""

import math
from abc import ABC, abstractmethod
from copy import copy
from typing import Self

import torch
from torch import Tensor

from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Codes, Gram, Scalar


class Penalty(ABC):
    """R(M), added to D for the factor M: H, or Wᵀ for the half-step on W. In the units of D, a sum over entries.

    X → cX leaves the solution as it is, up to scale, if λ₁ → c^(β − 1/2) λ₁ and λ₂ → c^(β − 1) λ₂. A penalty on one
    factor alone can be evaded by scaling, H D and D⁻¹W: penalise or freeze the other one too.
    """

    powers: tuple[float, float]
    """The highest power of t = m_new / m in R⁺ of the majoriser's derivative along t m, and the lowest in its R⁻."""

    psd: bool
    """Whether R, or the quadratic that touches it from above, is convex; the step of exponent 1 then never raises
    a quadratic D + R (derived: A = A⁺ − A⁻ ⪰ 0 is at most 2 diag(A⁺ m / m))."""

    def __init__(self, strength: float):
        if not (isinstance(strength, int | float) and math.isfinite(strength) and strength >= 0):
            name = type(self).__name__
            raise Refusal(f"the strength of {name} must be a finite number of at least 0, but is {strength!r}.")
        self.strength = float(strength)

    def times(self, number: float) -> Self:
        """The same penalty, so much as strong."""
        scaled = copy(self)
        scaled.strength = number * self.strength
        return scaled

    @abstractmethod
    def value(self, M: Codes) -> Scalar:
        """R(M), in float64."""

    @abstractmethod
    def split_gradient(self, M: Codes) -> tuple[Tensor, Tensor]:
        """R⁺, R⁻ ≥ 0 with ∂R/∂M = R⁺ − R⁻."""


class RowPenalty(Penalty):
    """A penalty that is a sum over the rows of M, so that a half-step needs no other row."""

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

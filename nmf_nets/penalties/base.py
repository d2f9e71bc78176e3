"""The interface of a penalty."""

import math
from abc import ABC, abstractmethod

from torch import Tensor

from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Codes, Scalar


class Penalty(ABC):
    """R(M) ≥ 0, added to D for the factor M: H, or Wᵀ for the half-step on W. In the units of D, a sum over entries.

    X → cX leaves the solution as it is, up to scale, if λ₁ → c^(β − 1/2) λ₁ and λ₂ → c^(β − 1) λ₂. A penalty on one
    factor alone can be evaded by scaling, H D and D⁻¹W: penalise or freeze the other one too.
    """

    power: float
    """Of t = m_new / m in the derivative of R along t m."""

    def __init__(self, strength: float):
        if not (isinstance(strength, int | float) and math.isfinite(strength) and strength >= 0):
            name = type(self).__name__
            raise Refusal(f"the strength of {name} must be a finite number of at least 0, but is {strength!r}.")
        self.strength = float(strength)

    @abstractmethod
    def value(self, M: Codes) -> Scalar:
        """R(M), in float64."""

    @abstractmethod
    def gradient(self, M: Codes) -> Tensor:
        """∂R/∂M ≥ 0."""

    @property
    @abstractmethod
    def coefficients(self) -> tuple[float, float]:
        """(λ₁, λ₂) with R = λ₁ Σ m + ½ λ₂ ‖M‖²."""

"""What a solver minimises, and what of it is not free."""

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from nmf_nets.divergences.base import Divergence
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.penalties.base import Penalty
from nmf_nets.shapes import Codes, Scalar


@dataclass(frozen=True)
class Terms:
    """What a half-step heeds beside D: the penalties on its factor, and which of its components stay as they are."""

    penalties: tuple[Penalty, ...] = ()
    frozen: Tensor | None = None
    """Boolean, one for each component; all of them for a factor that is given."""

    @cached_property
    def free(self) -> Tensor | None:
        """The indices of the components that move; None for all."""
        return None if self.frozen is None else torch.nonzero(~self.frozen).flatten()

    @cached_property
    def order(self) -> list[int] | None:
        """`free` on the host, once: asking the device in every step would make it wait."""
        return None if self.free is None else self.free.tolist()

    @cached_property
    def held(self) -> Tensor | None:
        """The indices of the components that stay."""
        return None if self.frozen is None else torch.nonzero(self.frozen).flatten()

    @cached_property
    def fixed(self) -> bool:
        """Whether nothing moves."""
        return self.order == []

    @cached_property
    def coefficients(self) -> tuple[float, float]:
        """(λ₁, λ₂) of all penalties together."""
        pairs = [penalty.coefficients for penalty in self.penalties]
        return sum(linear for linear, _ in pairs), sum(ridge for _, ridge in pairs)

    def value(self, M: Codes) -> Scalar | float:
        return sum(penalty.value(M) for penalty in self.penalties)

    def added_to(self, P: Codes, M: Codes) -> Codes:
        """P of D and penalties together."""
        for penalty in self.penalties:
            P = P + penalty.gradient(M)
        return P

    def exponent(self, divergence: Divergence) -> float:
        """1 / (p_max − q_min) over the powers of D and penalties, with which a multiplicative step never rises.

        (derived) With t = m_new / m both sums of the majoriser's derivative bracket each other.
        """
        high, low = divergence.powers
        return 1 / (max(high, *(penalty.power for penalty in self.penalties), high) - low)


PLAIN = Terms()
"""No penalty, all free."""


@dataclass(frozen=True)
class Criterion:
    """D(X | H W) + R_H(H) + R_W(Wᵀ)."""

    divergence: Divergence
    on_H: Terms = field(default=PLAIN)
    on_W: Terms = field(default=PLAIN)

    def total(self, X: Matrix, factors: Factorization) -> Scalar:
        """In float64."""
        D = self.divergence.total(X, factors)
        return D + self.on_H.value(factors.H) + self.on_W.value(factors.W.T)

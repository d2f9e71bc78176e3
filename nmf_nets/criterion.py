"""What a solver minimises, and what of it is not free."""

from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from nmf_nets.divergences.base import Divergence
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.part import part_name
from nmf_nets.penalties.base import EntryPenalty, PairPenalty, Penalty
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Codes, Components, Scalar


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
        """(λ₁, λ₂) of all penalties that are sums over entries, together."""
        pairs = [penalty.coefficients for penalty in self.penalties if isinstance(penalty, EntryPenalty)]
        return sum(linear for linear, _ in pairs), sum(ridge for _, ridge in pairs)

    @cached_property
    def beyond_entries(self) -> tuple[Penalty, ...]:
        """The other penalties."""
        return tuple(penalty for penalty in self.penalties if not isinstance(penalty, EntryPenalty))

    @cached_property
    def couples_rows(self) -> bool:
        """Whether a penalty is more than a sum over rows."""
        return any(penalty.couples_rows for penalty in self.penalties)

    @cached_property
    def unseen(self) -> "Terms":
        """For rows that were not trained on: without the penalties that couple them with others."""
        return replace(self, penalties=tuple(penalty for penalty in self.penalties if not penalty.couples_rows))

    def shared(self, part: float) -> "Terms":
        """For a batch with this part of all rows: what of a penalty on W counts beside the D of the batch."""
        if part == 1 or not self.penalties:
            return self
        return replace(self, penalties=tuple(penalty.times(part) for penalty in self.penalties))

    def beside(self, others: "Terms") -> "Terms":
        """With the penalties of others too."""
        return replace(self, penalties=self.penalties + others.penalties) if others.penalties else self

    def value(self, M: Codes) -> Scalar | float:
        return sum(penalty.value(M) for penalty in self.penalties)

    def added_to(self, P: Codes, N: Codes, M: Codes) -> tuple[Codes, Codes]:
        """P, N of D and penalties together."""
        for penalty in self.penalties:
            plus, minus = penalty.split_gradient(M)
            P, N = P + plus, N + minus
        return P, N

    def exponent(self, divergence: Divergence) -> float:
        """With which a multiplicative step never raises D + R: 1 / (p_max − q_min) over the powers of D and penalties.

        (derived) With t = m_new / m both sums of the majoriser's derivative bracket each other. Where all is quadratic
        and convex, 1 (Penalty.psd).
        """
        high, low = divergence.powers
        if divergence.beta == 2 and all(penalty.psd for penalty in self.penalties):
            return 1.0
        highs, lows = zip(*(penalty.powers for penalty in self.penalties), strict=True) if self.penalties else ((), ())
        return 1 / (max(high, *highs, high) - min(low, *lows, low))

    def refuse(self, takes: type[Penalty], who: str) -> None:
        """Raises Refusal for the first penalty that is of another kind than `who` takes."""
        for penalty in self.penalties:
            if not isinstance(penalty, takes):
                raise Refusal(
                    f"{who} cannot heed the penalty {part_name(penalty)}; update=multiplicative and "
                    "optimizer=multiplicative heed any, as does the solver mu."
                )


PLAIN = Terms()
"""No penalty, all free."""


@dataclass(frozen=True)
class Criterion:
    """D(X | H W) + R_H(H) + R_W(Wᵀ) + R(H, W)."""

    divergence: Divergence
    on_H: Terms = field(default=PLAIN)
    on_W: Terms = field(default=PLAIN)
    between: tuple[PairPenalty, ...] = ()
    """The penalties on both factors at once."""

    @property
    def penalised(self) -> bool:
        return bool(self.on_H.penalties or self.on_W.penalties or self.between)

    @property
    def unseen(self) -> "Criterion":
        """For rows that were not trained on."""
        return replace(self, on_H=self.on_H.unseen, between=())

    def given_W(self, X: Matrix, W: Components) -> Terms:
        """What H has to heed, W held."""
        return self.on_H.beside(Terms(tuple(penalty.given_W(X, W) for penalty in self.between)))

    def given_H(self, X: Matrix, H: Codes) -> Terms:
        """What W has to heed, H held."""
        return self.on_W.beside(Terms(tuple(penalty.given_H(X, H) for penalty in self.between)))

    def total(self, X: Matrix, factors: Factorization) -> Scalar:
        """In float64."""
        D = self.divergence.total(X, factors)
        between = sum(penalty.value(X, factors) for penalty in self.between)
        return D + self.on_H.value(factors.H) + self.on_W.value(factors.W.T) + between

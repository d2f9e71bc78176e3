"""The interface of a half-step."""

from abc import ABC, abstractmethod
from typing import Literal

from nmf_nets.criterion import PLAIN, Terms
from nmf_nets.divergences.base import Divergence
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.effort import ONCE, Effort
from nmf_nets.extrapolation import Extrapolation
from nmf_nets.factorization import finite
from nmf_nets.group import ALONE, Group
from nmf_nets.half_steps.base import HalfStep
from nmf_nets.half_steps.gram import gram_half_step
from nmf_nets.matrix import Matrix
from nmf_nets.part import part_name
from nmf_nets.penalties.base import EntryPenalty, Penalty
from nmf_nets.refusal import Refusal, refuse_count
from nmf_nets.shapes import Codes, Components, Gram


class Update(ABC):
    """A step towards argmin_{H ≥ 0} D(X | H W); rows of H are independent of each other."""

    in_one_call: Literal["sweeps", "multiplies"] | None = None
    """What an iteration does that is one call (kernels.alternation); None where there is none."""

    descends: bool
    """Whether no step ever raises D; of the others a solver keeps the best iterate."""

    signed = False
    """Whether what it finds may be negative."""

    takes: type[Penalty] = EntryPenalty
    """The kind of penalties that its steps can heed."""

    takes_weights = True
    """Whether X may have weights, or entries that were not observed."""

    effort = ONCE
    """How often it is best repeated, by the measurements in docs/solvers.md."""

    extrapolation: Extrapolation | None = None
    """With which its alternation is fastest; None where it is best without."""

    @abstractmethod
    def lowers(self, divergence: Divergence) -> bool:
        """Whether this step is made for that divergence."""

    @abstractmethod
    def half_step(self, X: Matrix, W: Components, terms: Terms, group: Group) -> HalfStep:
        """Its problem for this X and W."""

    def on(self, X: Matrix, W: Components, terms: Terms = PLAIN, group: Group = ALONE) -> HalfStep:
        """The same, once it is sure that it can heed the penalties, and the weights of X.

        group: the ranks that have the other columns of X and W. It finds the codes that one process would.
        """
        terms.refuse(self.takes, f"update {type(self).__name__}")
        self.refuse_data(X, terms)
        return self.half_step(X, W, terms, group)

    def __call__(
        self,
        X: Matrix,
        H: Codes | None,
        W: Components,
        repeats: int = 1,
        progress: float = 0.0,
        terms: Terms = PLAIN,
    ) -> Codes:
        """`on(X, W, terms).codes(H, repeats, progress)`. Raises Refusal where they are not finite, or H too far."""
        if H is not None:
            self.refuse_codes(X, H, W)
        return finite(self.on(X, W, terms).codes(H, repeats, progress), "the codes", X)

    def effort_of(self, repeats: int | None) -> Effort:
        """So many repeats, or where that is None its own effort."""
        if repeats is None:
            return self.effort
        refuse_count("repeats", repeats)
        return Effort(repeats)

    def refuse_data(self, X: Matrix, terms: Terms = PLAIN) -> None:
        """Raises Refusal for weights that it cannot heed, or cannot heed beside these penalties."""
        if X.weights is not None and not self.takes_weights:
            raise Refusal(
                f"update={part_name(self)} takes no weights; use hals or pivoting, or multiplicative, which do."
            )

    def refuse_codes(self, X: Matrix, H: Codes, W: Components) -> None:  # noqa: B027 - most find back from anywhere
        """Raises Refusal for codes from which its dtype does not let it find back; this waits for the device."""

    def refuse(self, divergence: Divergence, terms: Terms = PLAIN) -> None:
        """Raises Refusal unless this step lowers that divergence with these penalties."""
        terms.refuse(self.takes, f"update {type(self).__name__}")
        if not self.lowers(divergence):
            raise Refusal(
                f"update {type(self).__name__} does not minimise divergence {type(divergence).__name__}; "
                "choose update=multiplicative, which minimises any, or leave `update` to follow the divergence."
            )


class GramUpdate(Update):
    """Towards min_{H ≥ 0} ½ ⟨H G, H⟩ − ⟨B, H⟩, B = X Wᵀ, G = W Wᵀ; with weights, what was not observed is imputed."""

    descends = True

    def lowers(self, divergence: Divergence) -> bool:
        return isinstance(divergence, Frobenius)

    def half_step(self, X: Matrix, W: Components, terms: Terms, group: Group) -> HalfStep:
        return gram_half_step(self.solve, X, W, terms, group)

    @staticmethod
    @abstractmethod
    def solve(H: Codes, B: Codes, G: Gram, repeats: int, progress: float) -> Codes:
        """`repeats` steps from H at most; rows that move by at most `progress` times what their first did are left."""

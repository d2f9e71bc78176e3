"""The interface of the problem that a half-step works on."""

from abc import ABC, abstractmethod

from nmf_nets.shapes import Codes, Scalar


class HalfStep(ABC):
    """min_{H ≥ 0} D(X | H W) + R(H) for one X and W, with what its steps share: products with X, sums of W."""

    @abstractmethod
    def codes(self, H: Codes | None, repeats: int = 1, progress: float = 0.0) -> Codes:
        """The codes after at most `repeats` steps from H, or from the update's own cold start where H is None.

        progress: rows that a step moves by at most this part of what the first one did are left as they are.
        """

    @abstractmethod
    def value(self, H: Codes) -> Scalar:
        """D(X | H W) + R(H) from what is at hand: to the rounding of the products, enough to compare iterates."""

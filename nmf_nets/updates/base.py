"""The interface of a half-step."""

from abc import ABC, abstractmethod

from nmf_nets.divergences.base import Divergence
from nmf_nets.matrix import Matrix
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Codes, Components


class Update(ABC):
    """A step towards argmin_{H ≥ 0} D(X | H W); rows of H are independent of each other."""

    @abstractmethod
    def lowers(self, divergence: Divergence) -> bool:
        """Whether this step is made for that divergence."""

    @abstractmethod
    def __call__(self, X: Matrix, H: Codes | None, W: Components, repeats: int = 1, progress: float = 0.0) -> Codes:
        """The codes after at most `repeats` steps from H, or from the update's own cold start where H is None.

        progress: rows that a step moves by at most this part of what the first one did are left as they are.
        """

    def refuse(self, divergence: Divergence) -> None:
        """Raises Refusal unless this step lowers that divergence."""
        if not self.lowers(divergence):
            raise Refusal(
                f"update {type(self).__name__} does not minimise divergence {type(divergence).__name__}; "
                "choose update=multiplicative, which minimises any, or leave `update` to follow the divergence."
            )

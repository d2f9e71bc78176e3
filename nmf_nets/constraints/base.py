"""The interface of a constraint: torch's parametrization protocol plus a projection."""

from abc import ABC, abstractmethod

from torch import Tensor


class Constraint(ABC):
    """A map from free parameters θ, one row a component, to the weights of a decoder or an encoder; stateless."""

    non_negative = True
    """Whether forward(θ) ≥ 0; all but `free` are."""

    absolute = False
    """Whether forward(θ) are the weights themselves; if not, in units of the mean of their start."""

    @abstractmethod
    def forward(self, theta: Tensor) -> Tensor: ...

    @abstractmethod
    def right_inverse(self, W: Tensor) -> Tensor:
        """Some θ with forward(θ) = W, or nearest to it where W lies on a boundary that θ cannot reach."""

    @abstractmethod
    def project_(self, theta: Tensor) -> None:
        """What has to be done to θ after a gradient step, in place."""

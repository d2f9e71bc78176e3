"""The interface of a decoder."""

from abc import ABC, abstractmethod

from torch import nn

from nmf_nets.shapes import Codes, Components, Data


class Decoder(nn.Module, ABC):
    """The only keeper of W. Constructed from the factorization that training starts from."""

    @property
    @abstractmethod
    def W(self) -> Components: ...

    @abstractmethod
    def forward(self, H: Codes) -> Data:
        """X̂."""

    @abstractmethod
    def assign_(self, W: Components) -> None:
        """Makes these the components, or the nearest that the constraint can reach."""

    @abstractmethod
    def project_(self) -> None:
        """What has to be done to the weights after a gradient step."""

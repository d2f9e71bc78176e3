"""The interface of a preprocessing step."""

from abc import ABC, abstractmethod
from collections.abc import Callable

from nmf_nets.matrix import Matrix


class Preprocessing(ABC):
    """Learns from the training rows, and then serves all."""

    @abstractmethod
    def fit(self, X: Matrix) -> Callable[[Matrix], Matrix]:
        """The function that prepares training and held-out rows alike."""

"""The interface of a preprocessing step."""

from abc import ABC, abstractmethod

from torch import nn

from nmf_nets.matrix import Matrix


class Preprocessing(nn.Module, ABC):
    """Learns buffers from the training rows, and then serves all rows; the buffers are saved with the model.

    How many numbers it learns may depend on n_features, but not on the rows: a saved one is fitted to any row of the
    same length and then given what was saved.
    """

    @abstractmethod
    def fit(self, X: Matrix) -> None:
        """Learns from the training rows."""

    @abstractmethod
    def forward(self, X: Matrix) -> Matrix:
        """The prepared rows; sparse ones stay sparse."""

"""The interface of codes that are asked for a block of rows at a time."""

from abc import ABC, abstractmethod

from nmf_nets.shapes import Codes


class KeptCodes(ABC):
    """H of some rows of X, by their numbers in X."""

    @abstractmethod
    def rows(self, start: int, stop: int) -> Codes | None:
        """Of rows start … stop − 1; None where an update is to make them from nothing."""


class WritableCodes(KeptCodes):
    """H that each pass makes anew, its rows in order."""

    @abstractmethod
    def begin(self) -> None:
        """Before the first row of a pass."""

    @abstractmethod
    def put(self, start: int, H: Codes) -> None:
        """The codes of the rows that begin with `start`."""

"""A matrix in memory."""

from nmf_nets.matrix import Matrix
from nmf_nets.sources.base import Source


class Resident(Source):
    """The rows of a Matrix, with its weights; nothing is copied."""

    def __init__(self, X: Matrix, name: str = "X"):
        super().__init__(X.shape, X.dtype, X.is_sparse, name)
        self.X = X
        self._ends = [0, *X.row_lengths.cumsum(0).tolist()] if X.is_sparse else None

    def read(self, start: int, stop: int) -> Matrix:
        return self.X.span(start, stop)

    def values_in(self, start: int, stop: int) -> int:
        if self._ends is None:
            return (stop - start) * self.shape[1]
        return self._ends[stop] - self._ends[start]

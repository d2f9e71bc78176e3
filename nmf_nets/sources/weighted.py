"""Weights beside a matrix."""

from nmf_nets.as_matrix import as_matrix
from nmf_nets.matrix import Matrix
from nmf_nets.refusal import Refusal
from nmf_nets.sources.base import Source


class Weighted(Source):
    """X with weights v ≥ 0, or a mask, from a second source: where v = 0, X may hold anything.

    Raises Refusal where the shapes differ.
    """

    def __init__(self, X: Source, V: Source):
        if X.shape != V.shape:
            raise Refusal(f"weights must have the shape of {X.name}, {X.shape}, but {V.name} has {V.shape}.")
        super().__init__(X.shape, X.dtype, V.is_sparse, X.name, X.feature_names)
        self.X, self.V = X, V

    def read(self, start: int, stop: int) -> Matrix:
        return as_matrix(self.X.read(start, stop), self.dtype, self.V.read(start, stop), first_row=start)

    def values_in(self, start: int, stop: int) -> int:
        return self.V.values_in(start, stop)

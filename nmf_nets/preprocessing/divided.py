"""Another unit."""

from math import isfinite

from nmf_nets.matrix import Matrix
from nmf_nets.preprocessing.base import Preprocessing
from nmf_nets.refusal import Refusal


class Divided(Preprocessing):
    """X / by: grey values by 255, say."""

    def __init__(self, by: float):
        super().__init__()
        if not (by > 0 and isfinite(by)):
            raise Refusal(f"preprocessing=divided divides by a positive number, but `by` is {by}.")
        self.by = by

    def fit(self, X: Matrix) -> None:
        """Nothing is learned."""

    def forward(self, X: Matrix) -> Matrix:
        return X.divided(self.by)

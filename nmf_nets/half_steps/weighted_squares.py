"""Half-steps on the entries of X that are stored."""

from nmf_nets.cold_start import flat_codes
from nmf_nets.criterion import Terms
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.factorization import Factorization
from nmf_nets.group import ALONE, Group
from nmf_nets.half_steps.base import HalfStep
from nmf_nets.kernels.entries import Sweeps, squares_sweeps
from nmf_nets.matrix import Matrix
from nmf_nets.shapes import Codes, Components, Scalar


class WeightedSquares(HalfStep):
    """Coordinate steps of ½ Σ v (x − x̂)² + R(H)."""

    def __init__(self, X: Matrix, W: Components, terms: Terms, group: Group = ALONE):
        self.X, self.W, self.terms, self.group = X, W, terms, group

    def codes(self, H: Codes | None, repeats: int = 1, progress: float = 0.0) -> Codes:
        H = flat_codes(self.X, self.W) if H is None else H
        return squares_sweeps(self.X, H, self.W, Sweeps(repeats, progress), self.terms, self.group)

    def value(self, H: Codes) -> Scalar:
        (value,) = self.group.summed(Frobenius().total(self.X, Factorization(H, self.W)))
        return value + self.terms.value(H)

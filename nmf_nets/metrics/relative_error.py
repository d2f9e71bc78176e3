"""The Frobenius error, relative to the data."""

from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix


def relative_error(X: Matrix, factors: Factorization) -> float:
    """‖X − H W‖ / ‖X‖; 0 for X = 0 reconstructed as 0. With weights ‖M‖² = Σ v m²: of what was observed alone.

    Infinite where float64 does not hold ‖H W‖².
    """
    residual = 2 * Frobenius().total(X, factors)
    return float(residual.sqrt() / X.square_norm.sqrt()) if residual > 0 else 0.0

"""The Frobenius error beside the best that any matrix of that rank can do."""

import math

from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.metrics.relative_error import relative_error
from nmf_nets.refusal import Refusal
from nmf_nets.spectrum import truncated_svd


def svd_error(X: Matrix, n_components: int) -> float:
    """(Σ_{k>r} σ_k²)^½ / ‖X‖, below which no H W with r components comes (Eckart & Young).

    Raises Refusal for weights, with which the truncated SVD is not the best.
    """
    if X.weights is not None:
        raise Refusal(
            "the truncated SVD bounds errors of whole matrices, but X has weights; take relative_error alone."
        )
    kept = float(truncated_svd(X, n_components)[1].square().sum())
    total = float(X.square_norm)
    return math.sqrt(max(0.0, 1 - kept / total)) if total > 0 else 0.0


def svd_excess(X: Matrix, factors: Factorization) -> float:
    """Relative error minus that of the truncated SVD: what non-negativity and the method cost."""
    return relative_error(X, factors) - svd_error(X, factors.n_components)

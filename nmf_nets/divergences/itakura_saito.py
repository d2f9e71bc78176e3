"""The Itakura–Saito divergence."""

from nmf_nets.divergences.base import Divergence, blockwise_total, floored, power_split
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.shapes import Codes, Components, Data, PerSample, Scalar


class ItakuraSaito(Divergence):
    """d₀(x | x̂) = x / x̂ − log(x / x̂) − 1: the same for every scale of x; X must be positive.

    x̂ is floored at ε² mean(X).

    Source: Févotte, Bertin & Durrieu (2009).
    """

    beta = 0.0

    def __call__(self, X: Data, X_hat: Data) -> PerSample:
        """Σ_j x_j / x̂_j − log(x_j / x̂_j) − 1 of each sample."""
        ratio = X / floored(X, X_hat)
        return (ratio - ratio.log() - 1).sum(1)

    def total(self, X: Matrix, factors: Factorization) -> Scalar:
        return blockwise_total(self, X, factors)

    def split_gradient(self, X: Matrix, H: Codes, W: Components) -> tuple[Codes, Codes]:
        """P = (1 / X̂) Wᵀ, N = (X / X̂²) Wᵀ."""
        return power_split(self.beta, X, H, W)

"""The Itakura–Saito divergence."""

from torch import Tensor

from nmf_nets.divergences.base import Divergence, blockwise_total, power_split
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.shapes import Codes, Components, Scalar


class ItakuraSaito(Divergence):
    """d₀(x | x̂) = x / x̂ − log(x / x̂) − 1: the same for every scale of x; X must be positive.

    x̂ is floored at ε² mean(X).

    Source: Févotte, Bertin & Durrieu (2009).
    """

    beta = 0.0

    def entries(self, x: Tensor, x_hat: Tensor, least: Scalar) -> Tensor:
        ratio = x / x_hat.clamp(min=least)
        return ratio - ratio.log() - 1

    def unweighted_total(self, X: Matrix, factors: Factorization) -> Scalar:
        return blockwise_total(self, X, factors)

    def unweighted_split(self, X: Matrix, H: Codes, W: Components) -> tuple[Codes, Codes]:
        """P = (1 / X̂) Wᵀ, N = (X / X̂²) Wᵀ."""
        return power_split(self.beta, X, H, W)

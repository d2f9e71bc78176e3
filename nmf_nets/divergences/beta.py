"""The β-divergence between and beyond its three famous members."""

import torch

from nmf_nets.divergences.base import Divergence, blockwise_total, floored, power_split
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.divergences.itakura_saito import ItakuraSaito
from nmf_nets.divergences.kullback_leibler import KullbackLeibler
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.shapes import Codes, Components, Data, PerSample, Scalar


class Beta(Divergence):
    """d_β(x | x̂) = (x^β + (β−1) x̂^β − β x x̂^(β−1)) / (β (β−1)), β not 0 and not 1; convex in x̂ iff 1 ≤ β ≤ 2.

    x̂ is floored at ε² mean(X) where it is divided by.
    Source: Févotte & Idier (2011).
    """

    def __init__(self, beta: float | int):
        self.beta = float(beta)

    def __call__(self, X: Data, X_hat: Data) -> PerSample:
        b = self.beta
        y = floored(X, X_hat)
        power = torch.where(X_hat > 0, y**b, 0) if b > 0 else y**b
        return ((X**b + (b - 1) * power - b * X * y ** (b - 1)) / (b * (b - 1))).sum(1)

    def total(self, X: Matrix, factors: Factorization) -> Scalar:
        return blockwise_total(self, X, factors)

    def split_gradient(self, X: Matrix, H: Codes, W: Components) -> tuple[Codes, Codes]:
        return power_split(self.beta, X, H, W)


def beta_divergence(beta: float | int) -> Divergence:
    """The divergence of this β: the three members with forms of their own for 0, 1 and 2."""
    members = {0.0: ItakuraSaito, 1.0: KullbackLeibler, 2.0: Frobenius}
    return members[beta]() if beta in members else Beta(beta)

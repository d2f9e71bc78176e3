"""The β-divergence between and beyond its three famous members."""

import torch
from torch import Tensor

from nmf_nets.divergences.base import Divergence, blockwise_total, power_split
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.divergences.itakura_saito import ItakuraSaito
from nmf_nets.divergences.kullback_leibler import KullbackLeibler
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.shapes import Codes, Components, Scalar


class Beta(Divergence):
    """d_β(x | x̂) = (x^β + (β−1) x̂^β − β x x̂^(β−1)) / (β (β−1)), β not 0 and not 1; convex in x̂ iff 1 ≤ β ≤ 2.

    x̂ is floored at ε² mean(X) where it is divided by.
    Source: Févotte & Idier (2011).
    """

    def __init__(self, beta: float | int):
        self.beta = float(beta)

    def entries(self, x: Tensor, x_hat: Tensor, least: Scalar) -> Tensor:
        b = self.beta
        y = x_hat.clamp(min=least)
        power = torch.where(x_hat > 0, y**b, 0) if b > 0 else y**b
        return (x**b + (b - 1) * power - b * x * y ** (b - 1)) / (b * (b - 1))

    def unweighted_total(self, X: Matrix, factors: Factorization) -> Scalar:
        return blockwise_total(self, X, factors)

    def unweighted_split(self, X: Matrix, H: Codes, W: Components) -> tuple[Codes, Codes]:
        return power_split(self.beta, X, H, W)


def beta_divergence(beta: float | int) -> Divergence:
    """The divergence of this β: the three members with forms of their own for 0, 1 and 2."""
    members = {0.0: ItakuraSaito, 1.0: KullbackLeibler, 2.0: Frobenius}
    return members[beta]() if beta in members else Beta(beta)

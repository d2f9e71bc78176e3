"""The generalised Kullback–Leibler divergence."""

import torch
from torch import Tensor

from nmf_nets.divergences.base import Divergence, floor, xlogy_ratio
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.shapes import Codes, Components, Scalar


class KullbackLeibler(Divergence):
    """d₁(x | x̂) = x log(x / x̂) − x + x̂, with 0 log 0 = 0; Poisson's log-likelihood up to a constant.

    x̂ is floored at ε² mean(X) where it is divided by or logged.
    Source: Lee & Seung (2001).
    """

    beta = 1.0

    def entries(self, x: Tensor, x_hat: Tensor, least: Scalar) -> Tensor:
        return xlogy_ratio(x, x_hat.clamp(min=least)) - x + x_hat

    def unweighted_total(self, X: Matrix, factors: Factorization) -> Scalar:
        """Logarithms at the stored entries alone; Σ x̂ = ⟨Hᵀ1, W1⟩."""
        H, W = factors.H.double(), factors.W.double()
        least = floor(X).double()
        parts = [
            xlogy_ratio(block.values, block.sample(H[rows], W).clamp(min=least)).sum()
            for rows, block in ((rows, block.to(torch.float64)) for rows, block in X.blocks())
        ]
        return (torch.stack(parts).sum() - X.sum + H.sum(0) @ W.sum(1)).clamp(min=0)

    def unweighted_split(self, X: Matrix, H: Codes, W: Components) -> tuple[Codes, Codes]:
        """P_ik = Σ_j w_kj, N = (X / X̂) Wᵀ."""
        least = floor(X)
        # what dense blocks need stays in the cache; sparse data have one temporary of their own size
        blocks = [(slice(None), X)] if X.is_sparse else X.blocks(2**20)
        parts = [
            block.with_values(block.values / block.sample(H[rows], W).clamp_(min=least)) @ W.T for rows, block in blocks
        ]
        return W.sum(1).expand(H.shape), torch.cat(parts) if len(parts) > 1 else parts[0]

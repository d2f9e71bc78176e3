"""½ ‖X − H W‖²."""

import torch
from torch import Tensor

from nmf_nets.divergences.base import Divergence, blockwise_total
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.shapes import Codes, Components, Scalar

CANCELLED = 1e-12
"""Where the Gram form has lost its digits: relative error 1e-6, squared."""


class Frobenius(Divergence):
    """d₂(x | x̂) = ½ (x − x̂)²."""

    beta = 2.0

    def entries(self, x: Tensor, x_hat: Tensor, least: Scalar) -> Tensor:
        return 0.5 * (x - x_hat).square()

    def unweighted_total(self, X: Matrix, factors: Factorization) -> Scalar:
        """½ (‖X‖² − 2 ⟨X Wᵀ, H⟩ + ⟨HᵀH, W Wᵀ⟩); below relative error 1e-6, where that cancels, from the residual."""
        H, W = factors.H.double(), factors.W.double()
        cross = torch.stack([((block.to(torch.float64) @ W.T) * H[rows]).sum() for rows, block in X.blocks()]).sum()
        value = 0.5 * (X.square_norm - 2 * cross + ((H.T @ H) * (W @ W.T)).sum())
        return value if value > 0.5 * CANCELLED * X.square_norm else blockwise_total(self, X, factors)

    def unweighted_split(self, X: Matrix, H: Codes, W: Components) -> tuple[Codes, Codes]:
        """P = H G, N = B with G = W Wᵀ, B = X Wᵀ; where X may be negative, P = H G⁺ + B⁻, N = B⁺ + H G⁻."""
        G, B = W @ W.T, X @ W.T
        if X.signed:
            return H @ G.clamp(min=0) + (-B).clamp(min=0), B.clamp(min=0) + H @ (-G).clamp(min=0)
        return H @ G, B

"""The codes that an update begins with where it is given none."""

import torch

from nmf_nets.matrix import Matrix
from nmf_nets.shapes import Codes, Components, Gram

DAMPING = 1e-4
"""Relative to the mean diagonal of the Gram matrix: enough for float32 where components are nearly dependent."""


def damped_least_squares(B: Codes, G: Gram) -> Codes:
    """B (G + δI)⁻¹ with B = X Wᵀ, G = W Wᵀ and δ a small part of tr(G) / r; any sign."""
    delta = DAMPING * G.diagonal().mean()
    delta = torch.where(delta > 0, delta, 1)
    damped = G + delta * torch.eye(len(G), dtype=G.dtype, device=G.device)
    return torch.linalg.solve(damped, B.T).T


def least_squares_codes(B: Codes, G: Gram) -> Codes:
    """[B (G + δI)⁻¹]₊."""
    return damped_least_squares(B, G).clamp(min=0)


def lifted_codes(X: Matrix, W: Components) -> Codes:
    """Least-squares codes, lifted off zero so that ratios can move them, each row then scaled to Σ_j x̂_ij = Σ_j x_ij.

    The lift is 1e-3 of the row's flat code. A row of zeros keeps codes of zero.
    """
    total, s = X @ W.new_ones(X.shape[1], 1), W.sum(1)
    flat = total / torch.where(s > 0, s, 1) / len(s)
    H = torch.maximum(least_squares_codes(X @ W.T, W @ W.T), 1e-3 * flat)
    reached = H @ s[:, None]
    return H * torch.where(reached > 0, total / reached, 0)


def flat_codes(X: Matrix, W: Components) -> Codes:
    """For weighted data: every component alike, each row with Σ_j v_ij x̂_ij = Σ_j v_ij x_ij."""
    total = X.row_sum(X.given_weights * X.values)
    reached = X.row_sum(X.given_weights * X.columns(W.sum(0)))
    return torch.where(reached > 0, total / reached, 0)[:, None].repeat(1, W.shape[0])

"""The codes that an update, or an encoder made of projections, begins with."""

import torch
from torch import Tensor

from nmf_nets.division import divisor, ratio
from nmf_nets.lags import delayed, gathered
from nmf_nets.matrix import Matrix
from nmf_nets.shapes import Codes, Components, Gram, Scalar

DAMPING = 1e-4
"""Relative to the mean diagonal of the Gram matrix: enough for float32 where components are nearly dependent."""


def damped_least_squares(B: Codes, G: Gram) -> Codes:
    """B (G + δI)⁻¹ with B = X Wᵀ, G = W Wᵀ and δ a small part of tr(G) / r; any sign."""
    delta = DAMPING * G.diagonal().mean()
    damped = G + divisor(delta) * torch.eye(len(G), dtype=G.dtype, device=G.device)
    return torch.linalg.solve(damped, B.T).T


def least_squares_codes(B: Codes, G: Gram) -> Codes:
    """[B (G + δI)⁻¹]₊."""
    return damped_least_squares(B, G).clamp(min=0)


def lifted_codes(X: Matrix, W: Components) -> Codes:
    """Least-squares codes, lifted off zero so that ratios can move them, each row then scaled to Σ_j x̂_ij = Σ_j x_ij.

    The lift is 1e-3 of the row's flat code. A row of zeros keeps codes of zero, and so does a component of zeros.
    """
    s = W.sum(1)
    flat = ratio(X.row_totals, s) / len(s)
    H = torch.maximum(least_squares_codes(X @ W.T, W @ W.T), 1e-3 * flat)
    return H * ratio(X.row_totals, H @ s[:, None])


def flat_codes(X: Matrix, W: Components) -> Codes:
    """For weighted data: every component alike that is not zero, each row with Σ_j v_ij x̂_ij = Σ_j v_ij x_ij."""
    total = X.row_sum(X.given_weights * X.values)
    reached = X.row_sum(X.given_weights * X.columns(W.sum(0)))
    return torch.where(W.sum(1) > 0, ratio(total, reached)[:, None], 0)


def projection_scale(W: Components) -> Scalar:
    """r / Σ_kl (W Wᵀ)_kl: with codes of so many times X Wᵀ, H W has the size of X."""
    return len(W) / (W @ W.T).sum()


def correlated_codes(X: Matrix, W: Components, lags: int) -> Tensor:
    """Σ_τ S_−τ X W_τᵀ, how well each row begins a motif, times the number with which Σ v x̂ = Σ v x.

    Zero exactly where no step could make it anything else: where nothing that W_τ could explain follows.
    """
    v = X.weights
    H = gathered(X @ W.T if v is None else X.product_of(v * X.values, W.T), lags)
    spread = delayed(H, lags)
    reached = (spread.sum(0) * W.sum(1)).sum() if v is None else (v * X.sample(spread, W)).sum()
    return H * ratio(X.sum.to(H.dtype), reached)

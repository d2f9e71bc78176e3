"""Damped Newton steps of the Kullback–Leibler divergence, a column of W at a time."""

from typing import no_type_check

import numba
import numpy as np
import torch
from torch import Tensor

from nmf_nets.threads import use_threads

BLOCK = 64
"""Columns that a thread takes at a time."""


def newton_columns(
    Wt: Tensor,
    gradient: Tensor,
    halves: Tensor,
    least: Tensor,
    sweeps: int,
    linear: float = 0.0,
    ridge: float = 0.0,
    frozen: Tensor | None = None,
) -> Tensor:
    """A step of each column w of W that never raises f(w) = Σ_i (h_i w − x_i log h_i w) + λ₁ Σ w + ½ λ₂ ‖w‖².

        d = argmin_{w + d ≥ 0} gᵀd + ½ dᵀ(Q + λ₂) d, by `sweeps` coordinate sweeps        w ← w + t d
        t = 2 η / (b + √(b² − 4 κ α η)), 1 at most;  η = −gᵀd,  δ² = dᵀQ d,  κ = λ₂ ‖d‖²,  b = α η + κ + δ²
        α = min(max_{d_k < 0} −d_k / w_k, δ / √(min_{x_i > 0} x_i))

    (derived) With a_i = h_i d / x̂_i and ω(τ) = −τ − log(1 − τ), −log(1 + t a_i) ≤ −t a_i + ω(t |a_i|), where for
    a_i > 0 already τ² / 2 ≤ ω(τ) will do. As ω(τ) / τ² grows, Σ x_i ω(t |a_i|) over a_i < 0 is at most δ² ω(t α) / α²
    for any α ≥ max_i −a_i, and so is τ² / 2 over the rest: f(w + t d) ≤ f(w) − t η + δ² ω(t α) / α² + ½ t² κ, least at
    t. Both numbers in α bound −a_i: −h_i d / x̂_i is a mean of −d_k / w_k with the weights h_ik w_k, and
    x_i a_i² ≤ δ². The first is never above 1, so that t ≥ 1/3; near the optimum the second leaves t = 1, with which w
    reaches zeros.

    Wt, gradient: (m, r), of f without penalties; halves: (m, r (r + 1) / 2), of Q row by row; least: (m,), all in
    float64. Where Q_kk = 0, no x_i meets w_k, and 0 is best if it costs anything.
    Source: for t, the damped step of self-concordant functions, Tran-Dinh, Kyrillidis & Cevher (2015), here with α.
    """
    W, g = Wt.contiguous(), (gradient + linear + ridge * Wt).contiguous()
    free = torch.ones(W.shape[1], dtype=torch.bool) if frozen is None else ~frozen.cpu()
    if W.device.type != "cpu":
        return newton_columns_torch(W, g, halves, least.to(W.device), sweeps, ridge, free)
    moved = torch.empty_like(W)
    blocks = -(-len(W) // BLOCK)
    use_threads(W.numel() * W.shape[1] * sweeps)
    arrays = [part.numpy() for part in (W, g, halves, least, moved, free)]
    _step(blocks, *arrays, sweeps, float(ridge))  # type: ignore
    return moved


@numba.njit(parallel=True, nogil=True, cache=True, error_model="numpy")
@no_type_check
def _step(blocks, W, g, halves, least, moved, free, sweeps, ridge):
    m, r = W.shape
    for block in numba.prange(blocks):
        Q, d, slope = np.empty((r, r)), np.empty(r), np.empty(r)
        for j in range(block * BLOCK, min(m, block * BLOCK + BLOCK)):
            at = 0
            for k in range(r):
                for l in range(k + 1):
                    Q[k, l] = Q[l, k] = halves[j, at + l]
                at += k + 1
            _model_minimum(Q, g[j], W[j], free, d, slope, sweeps, ridge)
            t = _damping(Q, g[j], W[j], d, least[j], ridge)
            for k in range(r):
                gone = free[k] and Q[k, k] <= 0 and g[j, k] > 0
                moved[j, k] = 0.0 if gone else max(W[j, k] + t * d[k], 0.0)


@numba.njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def _model_minimum(Q, g, w, free, d, slope, sweeps, ridge):
    r = len(w)
    for k in range(r):
        d[k], slope[k] = 0.0, g[k]
    for _ in range(sweeps):
        moved, most = 0.0, 0.0
        for k in range(r):
            if free[k] and Q[k, k] > 0:
                new = max(d[k] - (slope[k] + ridge * d[k]) / (Q[k, k] + ridge), -w[k])
                step = new - d[k]
                if step != 0:
                    d[k] = new
                    for l in range(r):
                        slope[l] += step * Q[k, l]
                moved = max(moved, abs(step) * np.sqrt(Q[k, k]))
                most = max(most, abs(d[k]) * np.sqrt(Q[k, k]))
        if moved <= 1e-3 * most:
            break


@numba.njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def _damping(Q, g, w, d, least, ridge):
    eta, square, kappa, back = 0.0, 0.0, 0.0, 0.0
    for k in range(len(w)):
        eta -= g[k] * d[k]
        kappa += ridge * d[k] * d[k]
        if d[k] < 0:
            back = max(back, -d[k] / w[k])
        for l in range(len(w)):
            square += d[k] * Q[k, l] * d[l]
    if eta <= 0:
        return 0.0
    square = max(square, 0.0)
    alpha = min(back, np.sqrt(square / least))
    b = alpha * eta + kappa + square
    return min(2 * eta / (b + np.sqrt(max(b * b - 4 * kappa * alpha * eta, 0.0))), 1.0)


def newton_columns_torch(
    W: Tensor, g: Tensor, halves: Tensor, least: Tensor, sweeps: int, ridge: float, free: Tensor
) -> Tensor:
    """The same, vectorised over columns."""
    r = W.shape[1]
    k, l = torch.tril_indices(r, r, device=W.device)
    Q = W.new_zeros(len(W), r, r)
    Q[:, k, l] = Q[:, l, k] = halves
    curvature = Q.diagonal(dim1=1, dim2=2)
    d, going = torch.zeros_like(W), torch.ones_like(W[:, 0], dtype=torch.bool)
    for _ in range(sweeps):
        moved, most = torch.zeros_like(W[:, 0]), torch.zeros_like(W[:, 0])
        for a in range(r):
            moves = going & (curvature[:, a] > 0) & bool(free[a])
            slope = g[:, a] + (Q[:, a] * d).sum(1) + ridge * d[:, a]
            new = torch.maximum(d[:, a] - slope / (curvature[:, a] + ridge), -W[:, a])
            step = torch.where(moves, new - d[:, a], 0)
            d[:, a] += step
            moved = torch.maximum(moved, step.abs() * curvature[:, a].sqrt())
            most = torch.maximum(most, d[:, a].abs() * curvature[:, a].sqrt())
        going = going & (moved > 1e-3 * most)
    eta, square, kappa = (
        -(g * d).sum(1),
        (d * (Q @ d[:, :, None])[:, :, 0]).sum(1).clamp(min=0),
        ridge * d.square().sum(1),
    )
    back = torch.where(d < 0, -d / W, 0).amax(1)
    alpha = torch.minimum(back, (square / least).sqrt())
    b = alpha * eta + kappa + square
    t = (2 * eta / (b + (b * b - 4 * kappa * alpha * eta).clamp(min=0).sqrt())).clamp(max=1)
    moved = (W + torch.where(eta > 0, t, 0)[:, None] * d).clamp(min=0)
    return torch.where((curvature <= 0) & (g > 0) & free.to(W.device), 0, moved)

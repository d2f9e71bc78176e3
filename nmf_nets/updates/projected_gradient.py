"""Alternating non-negative least squares by projected gradients."""

import torch

from nmf_nets.kernels.curvature import curvature_bound, zero_where_nothing_pulls
from nmf_nets.shapes import Codes, Gram, PerSample
from nmf_nets.updates.base import GramUpdate

STRICTNESS = 0.99
"""Of the decrease that the slope promises, what a step may miss: Lin's 1 − σ."""


def _steps(H: Codes, B: Codes, G: Gram, repeats: int, progress: float) -> Codes:
    safe, alive = 1 / curvature_bound(G), G.diagonal() > 0
    H = zero_where_nothing_pulls(H, B, G)
    alpha = safe.expand(len(H))
    first = torch.zeros_like(alpha)
    going = torch.ones_like(alpha, dtype=torch.bool)
    for repeat in range(repeats):
        if repeat % 20 == 19 and not bool(going.any()):  # seldom, as it waits for the device
            break
        slope = (H @ G - B) * alive
        far, near = _moved(H, G, slope, 10 * alpha), _moved(H, G, slope, alpha)
        step = torch.where(near[1], near[0].T, (H - safe * slope).clamp(min=0).T - H.T)
        step = torch.where(far[1], far[0].T, step).T * going[:, None]
        alpha = torch.where(far[1], 10 * alpha, torch.where(near[1], alpha, torch.maximum(alpha / 10, safe)))
        H = (H + step).clamp(min=0)
        moved = torch.linalg.vector_norm(step, dim=1)
        first = moved if repeat == 0 else first
        going = moved > progress * first
    return H


def _moved(H: Codes, G: Gram, slope: Codes, alpha: PerSample) -> tuple[Codes, torch.Tensor]:
    """The step of that length, and whether it lowers D enough."""
    d = (H - alpha[:, None] * slope).clamp(min=0) - H
    lower = STRICTNESS * (slope * d).sum(1) + 0.5 * ((d @ G) * d).sum(1) <= 0
    return d, lower & (d != 0).any(1)  # or the step length of a row at rest would grow for ever


class ProjectedGradient(GramUpdate):
    """h ← [h − α ∇]₊, ∇ = h G − b, with the longest α of tenfold, the last and the safe 1/λ that lowers D enough:
    0.99 ⟨∇, d⟩ + ½ ⟨d G, d⟩ ≤ 0, d = h_new − h; each row has its own.

    Source: Lin (2007).
    """

    solve = staticmethod(_steps)

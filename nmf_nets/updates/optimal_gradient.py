"""Alternating non-negative least squares by Nesterov's optimal gradient."""

import torch

from nmf_nets.kernels.curvature import curvature_bound, zero_where_nothing_pulls
from nmf_nets.shapes import Codes, Gram
from nmf_nets.updates.base import GramUpdate


def _steps(H: Codes, B: Codes, G: Gram, repeats: int, progress: float) -> Codes:
    length, alive = 1 / curvature_bound(G), G.diagonal() > 0
    H = zero_where_nothing_pulls(H, B, G)
    start, Y = H, H
    a = torch.ones_like(H[:, :1])
    first, going = torch.zeros_like(a), torch.ones_like(a, dtype=torch.bool)
    for repeat in range(repeats):
        if repeat % 20 == 19 and not bool(going.any()):  # seldom, as it waits for the device
            break
        new = torch.where(going, (Y - length * alive * (Y @ G - B)).clamp(min=0), H)
        turned = ((Y - new) * (new - H)).sum(1, keepdim=True) > 0
        a_new = torch.where(turned, 1, 0.5 * (1 + (1 + 4 * a * a).sqrt()))
        Y = torch.where(turned, new, new + (a - 1) / a_new * (new - H))
        moved = torch.linalg.vector_norm(new - H, dim=1, keepdim=True)
        first = moved if repeat == 0 else first
        going = moved > progress * first
        H, a = new, a_new
    d = H - start
    fell = ((start @ G - B) * d).sum(1, keepdim=True) + 0.5 * ((d @ G) * d).sum(1, keepdim=True) <= 0
    return torch.where(fell, H, start)


class OptimalGradient(GramUpdate):
    """h_new = [y − (y G − b) / λ]₊, y = h_new + (a − 1) / a_new (h_new − h), a_new = ½ (1 + √(1 + 4 a²)), λ ≥ λ_max(G).

    A row whose step turns against its momentum starts anew. Steps on the way may raise D; a row that ends higher than
    it began is left as it was. `repeats` in turn are not repeats at once, as momentum starts with each call.
    Source: Guan, Tao, Luo & Yuan (2012); the restart is O'Donoghue & Candès' (2015).
    """

    solve = staticmethod(_steps)

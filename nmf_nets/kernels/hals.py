"""Coordinate sweeps of ½⟨H G, H⟩ − ⟨B, H⟩ over H ≥ 0."""

from typing import no_type_check

import numba
import numpy as np
import torch

from nmf_nets.kernels.blocks import ROWS, UNROLLED, add_product, load, some_go_on, store
from nmf_nets.shapes import Codes, Gram
from nmf_nets.threads import use_threads


def hals_sweeps(H: Codes, B: Codes, G: Gram, repeats: int, progress: float) -> Codes:
    """h_k ← [h_k + (B_k − H G_k) / G_kk]₊ for k = 1 … r, cyclically; with G_kk = 0, which has no curvature, 0 where
    B_k − H G_k < 0, as a penalty makes it, and else what it was.

    Each row is swept `repeats` times at most, until one moves it by at most `progress` times what the first did.
    Rows are independent, so threads do not change a bit.
    """
    if H.device.type != "cpu":
        return hals_sweeps_torch(H, B, G, repeats, progress)
    use_threads(H.numel() * H.shape[1] * min(repeats, 10))
    swept = torch.empty(H.shape, dtype=H.dtype)
    H, B, G = H.contiguous(), B.contiguous(), G.contiguous()  # one compiled form
    _sweep_blocks(H.numpy(), B.numpy(), G.numpy(), swept.numpy(), repeats, progress * progress)
    return swept


@numba.njit(parallel=True, nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
@no_type_check
def _sweep_blocks(H, B, G, swept, repeats, progress):
    n, r = H.shape
    padded = -(-r // UNROLLED) * UNROLLED
    minus_G = np.zeros((r, padded), G.dtype)
    minus_G[:, :r] = -G
    for block in numba.prange(-(-n // ROWS)):
        start = block * ROWS
        h, b = np.zeros((padded, ROWS), H.dtype), np.zeros((r, ROWS), H.dtype)
        load(H, start, h)
        load(B, start, b)
        sweep_block(h, b, minus_G, repeats, progress)
        store(h, start, swept)


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
@no_type_check
def sweep_block(h, b, minus_G, repeats, progress):
    g = np.empty(ROWS, h.dtype)  # B − H G, of one component
    moved, first, going = np.empty(ROWS, h.dtype), np.empty(ROWS, h.dtype), np.ones(ROWS, np.bool_)
    for sweep in range(repeats):
        moved[:] = 0
        for k in range(len(b)):
            curvature = -minus_G[k, k]
            for i in range(ROWS):
                g[i] = b[k, i]
            add_product(minus_G[k], h, g)
            if curvature <= 0:
                for i in range(ROWS):
                    if g[i] < 0 and going[i]:
                        moved[i] += h[k, i] * h[k, i]
                        h[k, i] = 0
            else:
                for i in range(ROWS):
                    step = max(h[k, i] + g[i] / curvature, 0 * curvature) - h[k, i]
                    step = step if going[i] else 0 * curvature
                    h[k, i] += step
                    moved[i] += step * step
        if repeats > 1 and not some_go_on(sweep, moved, progress, first, going):
            break


def hals_sweeps_torch(H: Codes, B: Codes, G: Gram, repeats: int, progress: float) -> Codes:
    """The same sweeps, vectorised over rows, without a synchronisation of the device."""
    H = H.clone()
    going = torch.ones_like(H[:, 0])
    first = torch.zeros_like(going)
    curvature = G.diagonal()
    for sweep in range(repeats):
        moved = torch.zeros_like(going)
        for k in range(H.shape[1]):
            slope = B[:, k] - H @ G[:, k]
            step = (H[:, k] + slope / curvature[k]).clamp(min=0) - H[:, k]
            step = torch.where(curvature[k] > 0, step, torch.where(slope < 0, -H[:, k], 0)) * going
            H[:, k] += step
            moved += step.square()
        first = moved if sweep == 0 else first
        going = going * (moved > progress * progress * first)
    return H

"""Coordinate sweeps of ½⟨H G, H⟩ − ⟨B, H⟩ over H ≥ 0."""

from typing import no_type_check

import numba
import torch

from nmf_nets.kernels.threads import use_threads
from nmf_nets.shapes import Codes, Gram


def hals_sweeps(H: Codes, B: Codes, G: Gram, repeats: int, progress: float) -> Codes:
    """h_k ← [h_k + (B_k − H G_k) / G_kk]₊ for k = 1 … r, cyclically; a component with G_kk = 0 is left alone.

    Each row is swept `repeats` times at most, until one moves it by at most `progress` times what the first did.
    Rows are independent, so threads do not change a bit.
    """
    if H.device.type != "cpu":
        return hals_sweeps_torch(H, B, G, repeats, progress)
    use_threads(H.numel() * H.shape[1] * min(repeats, 10))
    H = H.clone(memory_format=torch.contiguous_format)
    _sweep_rows(H.numpy(), B.contiguous().numpy(), G.contiguous().numpy(), repeats, progress * progress)
    return H


@numba.njit(parallel=True, nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
@no_type_check
def _sweep_rows(H, B, G, repeats, progress):
    n, r = H.shape
    for i in numba.prange(n):
        h = H[i]
        g = B[i].copy()  # B − h G, kept current
        for k in range(r):
            if h[k] != 0:
                for l in range(r):
                    g[l] -= h[k] * G[k, l]
        first = 0.0
        for sweep in range(repeats):
            moved = 0.0
            for k in range(r):
                if G[k, k] > 0:
                    step = max(h[k] + g[k] / G[k, k], 0 * h[k]) - h[k]
                    if step != 0:
                        h[k] += step
                        moved += step * step
                        for l in range(r):
                            g[l] -= step * G[k, l]
            if sweep == 0:
                first = moved
            if moved <= progress * first:
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
            step = (H[:, k] + (B[:, k] - H @ G[:, k]) / curvature[k]).clamp(min=0) - H[:, k]
            step = torch.where(curvature[k] > 0, step, 0) * going
            H[:, k] += step
            moved += step.square()
        first = moved if sweep == 0 else first
        going = going * (moved > progress * progress * first)
    return H

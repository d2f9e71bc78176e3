"""The active-set method of Lawson and Hanson."""

from typing import no_type_check

import numba
import numpy as np
import torch

from nmf_nets.kernels import exact
from nmf_nets.kernels.cholesky import descend, gradient, solve_on
from nmf_nets.kernels.exact import (
    ROWS,
    SWEEPS,
    TOLERANCE,
    UnitDiagonal,
    in_blocks,
    load_row,
    solved_on,
    solved_once,
    swept_where,
    tolerance,
)
from nmf_nets.shapes import Codes, Gram


def active_set(H: Codes, B: Codes, G: Gram, repeats: int, progress: float) -> Codes:
    """argmin_{H ≥ 0} ½⟨H G, H⟩ − ⟨B, H⟩, once and for all if repeats > 0; progress does not matter.

    Of each row the passive set F is at first its support, and z_F = b_F G_FF⁻¹. Where some z_k ≤ 0, h goes towards z
    while it is ≥ 0, and what became 0 leaves F; else h = z, and the k with the least y_k < 0 joins F, y = h G − b.
    No step raises the value. After 5 r of them coordinate descent.
    """
    return solved_once(_exchange_blocks, active_set_torch, H, B, G, repeats)


@numba.njit(parallel=True, nogil=True, cache=True, error_model="numpy")
@no_type_check
def _exchange_blocks(H, B, C, scale, shift, exchanges, codes):
    n, r = H.shape
    for block in numba.prange(-(-n // ROWS)):
        F, L = np.full(r, -1), np.empty((r, r))
        b, h, z, y = np.empty(r), np.empty(r), np.empty(r), np.empty(r)
        for i in range(block * ROWS, min(n, (block + 1) * ROWS)):
            if not load_row(H, B, i, scale, shift, h, b):
                h[:] = 0
            elif not _exchange(h > 0, C, b, F, L, h, z, y, exchanges):
                descend(C, b, h, SWEEPS)
            for k in range(r):
                codes[i, k] = h[k] / scale[k]


@numba.njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def _exchange(passive, C, b, F, L, h, z, y, exchanges):
    r = len(b)
    tolerance = TOLERANCE * np.abs(b).max()
    for _ in range(exchanges):
        solve_on(passive, C, b, F, L, z)
        part = np.inf
        for k in range(r):
            if passive[k] and z[k] <= 0:
                part = min(part, h[k] / (h[k] - z[k]) if h[k] > 0 else 0.0)
        if part < np.inf:
            for k in range(r):
                if passive[k]:
                    leaves = z[k] <= 0 and (h[k] <= 0 or h[k] / (h[k] - z[k]) <= part)
                    h[k] = 0.0 if leaves else max(h[k] + part * (z[k] - h[k]), 0.0)
                    passive[k] = h[k] > 0
            continue
        h[:] = z
        gradient(C, b, h, y)
        least, joins = -tolerance, -1
        for k in range(r):
            if not passive[k] and y[k] < least:
                least, joins = y[k], k
        if joins < 0:
            return True
        passive[joins] = True
    return False


def active_set_torch(H: Codes, B: Codes, G: Gram) -> Codes:
    """The same exchanges, all rows at once."""
    return in_blocks(_exchange_torch, H, B, G)


def _exchange_torch(problem: UnitDiagonal, h: Codes, b: Codes) -> Codes:
    C, r = problem.C, b.shape[1]
    passive, below = h > 0, -tolerance(b)
    index = torch.arange(r, device=b.device)
    unsolved = torch.ones_like(passive[:, 0])
    for _ in range(exact.EXCHANGES * r):
        z = solved_on(passive, C, b)
        falls = passive & (z <= 0)
        ratio = torch.where(falls, torch.where(h > 0, h / (h - z), 0), torch.inf)
        part = ratio.amin(1, keepdim=True)
        stuck = falls.any(1, keepdim=True)
        towards = torch.where(falls & (ratio <= part), 0, (h + part * (z - h)).clamp(min=0))
        h = torch.where(stuck, torch.where(passive, towards, 0), z)
        slope, k = torch.where(passive, torch.inf, h @ C - b).min(1, keepdim=True)
        joins = ~stuck & (slope < below)
        passive = torch.where(stuck, passive & (h > 0), passive | (joins & (index == k)))
        unsolved = (stuck | joins)[:, 0]
        if not bool(unsolved.any()):
            break
    return swept_where(unsolved, h, b, C, h)

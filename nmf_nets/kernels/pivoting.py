"""Block principal pivoting."""

from typing import no_type_check

import numba
import numpy as np
import torch
from torch import Tensor

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

FULL = 3
"""Exchanges of all infeasible components that may fail to lessen them, before one at a time."""


def pivoted(H: Codes, B: Codes, G: Gram, repeats: int, progress: float) -> Codes:
    """argmin_{H ≥ 0} ½⟨H G, H⟩ − ⟨B, H⟩, once and for all if repeats > 0; progress does not matter.

    Of each row the passive set F is at first its support; h_F = b_F G_FF⁻¹, h = 0 elsewhere, and y = h G − b.
    All of J = {k ∈ F: h_k < 0} ∪ {k ∉ F: y_k < 0} change sides, or, where that has not helped for three times,
    the last of them. After 5 r exchanges coordinate descent.
    """
    return solved_once(_pivot_blocks, pivoted_torch, H, B, G, repeats)


@numba.njit(parallel=True, nogil=True, cache=True, error_model="numpy")
@no_type_check
def _pivot_blocks(H, B, C, scale, shift, exchanges, codes):
    n, r = H.shape
    for block in numba.prange(-(-n // ROWS)):
        F, L = np.full(r, -1), np.empty((r, r))
        start, b, h, y = np.empty(r), np.empty(r), np.empty(r), np.empty(r)
        for i in range(block * ROWS, min(n, (block + 1) * ROWS)):
            if not load_row(H, B, i, scale, shift, start, b):
                h[:] = 0
            elif not _pivot(start > 0, C, b, F, L, h, y, exchanges):
                _take_better(C, b, start, h, y)
                descend(C, b, h, SWEEPS)
            for k in range(r):
                codes[i, k] = max(h[k], 0.0) / scale[k]


@numba.njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def _pivot(passive, C, b, F, L, h, y, exchanges):
    r = len(b)
    most, tries = r + 1, FULL
    tolerance = TOLERANCE * np.abs(b).max()
    for _ in range(exchanges):
        solve_on(passive, C, b, F, L, h)
        gradient(C, b, h, y)
        count, last = 0, 0
        for k in range(r):
            if (h[k] if passive[k] else y[k]) < -tolerance:
                count, last = count + 1, k
        if count == 0:
            return True
        full = count < most or tries > 0
        tries = FULL if count < most else max(tries - 1, 0)
        most = min(most, count)
        for k in range(0 if full else last, last + 1):
            if (h[k] if passive[k] else y[k]) < -tolerance:
                passive[k] = not passive[k]
    return False


@numba.njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def _take_better(C, b, start, h, y):
    """h ← the lower of [h]₊ and the start; y is overwritten."""
    gradient(C, b, start, y)
    d = np.maximum(h, 0) - start
    rise = 0.0
    for k in range(len(b)):
        rise += d[k] * y[k]
        for l in range(len(b)):
            rise += 0.5 * d[k] * d[l] * C[k, l]
    for k in range(len(b)):
        h[k] = start[k] if rise > 0 else start[k] + d[k]


def pivoted_torch(H: Codes, B: Codes, G: Gram) -> Codes:
    """The same exchanges, all rows at once."""
    return in_blocks(_pivot_torch, H, B, G)


def _pivot_torch(problem: UnitDiagonal, start: Codes, b: Codes) -> Codes:
    C, r = problem.C, b.shape[1]
    passive, below = start > 0, -tolerance(b)
    most, tries = torch.full_like(b[:, :1], r + 1), torch.full_like(b[:, :1], FULL)
    h, infeasible = b, torch.ones_like(passive)
    for _ in range(exact.EXCHANGES * r):
        h = solved_on(passive, C, b)
        infeasible = torch.where(passive, h, h @ C - b) < below
        count = infeasible.sum(1, keepdim=True)
        if not bool(count.any()):
            break
        better = count < most
        moves = torch.where(better | (tries > 0), infeasible, _last(infeasible))
        tries = torch.where(better, FULL, (tries - 1).clamp(min=0))
        most = torch.minimum(most, count)
        passive = passive ^ moves
    h = h.clamp(min=0)
    d = h - start
    rise = (d * (start @ C - b + 0.5 * (d @ C))).sum(1, keepdim=True)
    return swept_where(infeasible.any(1), torch.where(rise > 0, start, h), b, C, h)


def _last(chosen: Tensor) -> Tensor:
    """Of the chosen of each row the last alone."""
    return chosen & (chosen.flip(1).cumsum(1).flip(1) == 1)

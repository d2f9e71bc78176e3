"""Solving on a part of the components at a time, row by row."""

from typing import no_type_check

import numba
import numpy as np

LEAST = 1e-16
"""A pivot is at least this; the diagonal is about one."""


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
@no_type_check
def factorise(C, F, kept, size, L):
    """L Lᵀ = C_FF for the first `size` of F, of which the first `kept` rows of L are there; the least new pivot."""
    least = np.inf
    for i in range(kept, size):
        for j in range(i + 1):
            total = C[F[i], F[j]]
            for k in range(j):
                total -= L[i, k] * L[j, k]
            if j < i:
                L[i, j] = total / L[j, j]
            else:
                least = min(least, total)
                L[i, i] = np.sqrt(max(total, LEAST))
    return least


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
@no_type_check
def solve_on(passive, C, b, F, L, x):
    """x_F = C_FF⁻¹ b_F and 0 elsewhere, F the passive ones in order, filled up with −1.

    L is that of the F before: a row of it depends on those above alone, so it holds up to where the two part. Rows of
    equal F thus share one factorisation, and an exchange costs what comes after it.
    """
    size, kept, same = 0, 0, True
    for k in range(len(F)):
        if passive[k]:
            same = same and F[size] == k
            kept += same
            F[size] = k
            size += 1
    F[size:] = -1
    factorise(C, F, kept, size, L)
    z = np.empty(size)
    for i in range(size):
        total = b[F[i]]
        for j in range(i):
            total -= L[i, j] * z[j]
        z[i] = total / L[i, i]
    x[:] = 0
    for i in range(size - 1, -1, -1):
        z[i] /= L[i, i]
        for j in range(i):
            z[j] -= L[i, j] * z[i]
        x[F[i]] = z[i]


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
@no_type_check
def gradient(C, b, h, y):
    """y = h C − b."""
    for k in range(len(b)):
        y[k] = -b[k]
    for l in range(len(b)):
        if h[l] != 0:
            for k in range(len(b)):
                y[k] += h[l] * C[l, k]


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
@no_type_check
def descend(C, b, h, sweeps):
    """h_k ← [h_k + (b_k − h C_k) / C_kk]₊, cyclically."""
    for _ in range(sweeps):
        for k in range(len(b)):
            pull = b[k]
            for l in range(len(b)):
                pull -= h[l] * C[l, k]
            h[k] = max(h[k] + pull / C[k, k], 0.0)

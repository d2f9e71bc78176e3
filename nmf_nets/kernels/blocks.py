"""Rows in blocks, a component after the other, so that every inner loop runs over rows."""

from typing import no_type_check

import numba

ROWS = 128
"""In a block: its codes stay in the first cache for tens of components."""

UNROLLED = 4
"""Components that are summed at once, so that sums are loaded and stored once for so many."""


@numba.njit(nogil=True, cache=True)
@no_type_check
def load(M, start, block):
    """block[k, i] ← M[start + i, k]; rows beyond the last are left as they are."""
    for i in range(min(ROWS, M.shape[0] - start)):
        for k in range(M.shape[1]):
            block[k, i] = M[start + i, k]


@numba.njit(nogil=True, cache=True)
@no_type_check
def store(block, start, M):
    for i in range(min(ROWS, M.shape[0] - start)):
        for k in range(M.shape[1]):
            M[start + i, k] = block[k, i]


@numba.njit(nogil=True, cache=True)
@no_type_check
def some_go_on(step, moved, progress, first, going):
    """Whether any row has moved by more than `progress` of what it did at step 0, both squared; sets first, going."""
    some = False
    for i in range(ROWS):
        if step == 0:
            first[i] = moved[i]
        going[i] = moved[i] > progress * first[i]
        some |= going[i]
    return some


@numba.njit(nogil=True, cache=True, fastmath={"contract"})
@no_type_check
def add_product(coefficients, h, total):
    """total[i] += Σ_l coefficients[l] h[l, i]; the number of l is a multiple of UNROLLED."""
    for l in range(0, len(coefficients), UNROLLED):
        a, b, c, d = coefficients[l], coefficients[l + 1], coefficients[l + 2], coefficients[l + 3]
        for i in range(ROWS):
            total[i] = total[i] + a * h[l, i] + b * h[l + 1, i] + c * h[l + 2, i] + d * h[l + 3, i]

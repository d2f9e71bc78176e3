"""Steps of many starts of one X at once: a start has k of the K rows of H (K × n) and of W (K × m), from `first`.

Each start has its own k, so that nothing is padded. Starts are independent: threads do not change a bit.
"""

from typing import no_type_check

import numba
import numpy as np

from nmf_nets.kernels.blocks import ROWS, UNROLLED
from nmf_nets.kernels.entries import LANES, row_cross_entropy
from nmf_nets.kernels.hals import sweep_block

WIDTH = 1024
"""Features that are passed over at a time: their part of W stays in the first cache for several components."""

FAR = 16.0
"""Steps by larger factors are taken as they are."""


@numba.njit(parallel=True, nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
@no_type_check
def sweep_starts(H, B, W, first):
    """One sweep of HALS over each start's H, in place, B = W Xᵀ."""
    for start in numba.prange(len(first) - 1):
        one, stop = first[start], first[start + 1]
        r = stop - one
        minus_G = np.zeros((r, -(-r // UNROLLED) * UNROLLED), H.dtype)
        minus_G[:, :r] = -_gram(W[one:stop])
        h, b = np.zeros((minus_G.shape[1], ROWS), H.dtype), np.zeros((r, ROWS), H.dtype)
        for left in range(0, H.shape[1], ROWS):
            width = min(ROWS, H.shape[1] - left)
            for k in range(r):
                for i in range(width):
                    h[k, i], b[k, i] = H[one + k, left + i], B[one + k, left + i]
            sweep_block(h, b, minus_G, 1, 0 * minus_G[0, 0])
            for k in range(r):
                for i in range(width):
                    H[one + k, left + i] = h[k, i]


@numba.njit(parallel=True, nogil=True, cache=True, error_model="numpy")
@no_type_check
def squares_of_starts(H, W, first, squares):
    """‖H W‖² of each start."""
    for start in numba.prange(len(first) - 1):
        part = slice(first[start], first[start + 1])
        squares[start] = np.sum(_gram(H[part]) * _gram(W[part]))


@numba.njit(nogil=True, cache=True, fastmath={"contract", "reassoc"})
@no_type_check
def _gram(M):
    r = len(M)
    gram = np.empty((r, r), M.dtype)
    for k in range(r):
        for l in range(k + 1):
            total = M.dtype.type(0)
            for j in range(M.shape[1]):
                total += M[k, j] * M[l, j]
            gram[k, l] = gram[l, k] = total
    return gram


@numba.njit(parallel=True, nogil=True, cache=True, error_model="numpy")
@no_type_check
def multiply_starts(X, H, W, first, relaxed, floor, iterations):
    """So many multiplicative steps of the Kullback–Leibler divergence on each start's H, and then W, in place.

    relaxed: of which starts the factors of steps, up to FAR of them, are taken to the power of 1.75: near a minimum any
    power below 2 leads to it, and this one in half the steps, but D may rise on the way.
    Source: Salakhutdinov & Roweis (2003).
    """
    for start in numba.prange(len(first) - 1):
        part = slice(first[start], first[start + 1])
        for _ in range(iterations):
            _multiply(X, H[part], W[part], relaxed[start], floor)


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz", "arcp"})
@no_type_check
def _multiply(X, H, W, relaxed, floor):
    (n, m), r, zero = X.shape, len(H), X.dtype.type(0)
    sums, pushes = np.zeros(r, X.dtype), np.zeros((r, n), X.dtype)
    ratio, N, h = np.empty(WIDTH, X.dtype), np.empty((r, WIDTH), X.dtype), np.empty(r, X.dtype)
    for left in range(0, m, WIDTH):  # what all rows need of W is read once
        width = min(WIDTH, m - left)
        for k in range(r):
            for j in range(width):
                sums[k] += W[k, left + j]
        for i in range(n):
            h[:] = H[:, i]
            _ratios(X[i, left : left + width], W, left, h, floor, ratio)
            for k in range(r):
                w, push = W[k, left : left + width], zero
                for j in range(width):
                    push += ratio[j] * w[j]
                pushes[k, i] += push
    for k in range(r):
        _step(H[k], pushes[k], sums[k], relaxed)
        sums[k] = 0
        for i in range(n):
            sums[k] += H[k, i]
    for left in range(0, m, WIDTH):
        width = min(WIDTH, m - left)
        N[:] = 0
        for i in range(n):
            h[:] = H[:, i]
            _ratios(X[i, left : left + width], W, left, h, floor, ratio)
            for k in range(r):
                push, code = N[k], h[k]
                for j in range(width):
                    push[j] += code * ratio[j]
        for k in range(r):
            _step(W[k, left : left + width], N[k], sums[k], relaxed)


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz", "arcp"})
@no_type_check
def _step(h, N, P, relaxed):
    """h ← h ∘ N / P, where P > 0."""
    if P <= 0:
        return
    most, far = np.finfo(h.dtype).max, h.dtype.type(FAR)
    if relaxed:
        for i in range(len(h)):
            q = min(N[i] / P, most)
            near = q if q < far else far
            h[i] *= q * np.sqrt(near * np.sqrt(near)) if q < far else q
    else:
        for i in range(len(h)):
            h[i] *= min(N[i] / P, most)


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz", "arcp"})
@no_type_check
def _ratios(x, W, left, h, floor, ratio):
    """x / x̂ with x̂ = h W, of the features from `left`, four components at a time."""
    width, r = len(x), len(h)
    alone = r % 4
    ratio[:] = 0
    for k in range(alone):
        w, a = W[k, left : left + width], h[k]
        for j in range(width):
            ratio[j] += a * w[j]
    for k in range(alone, r, 4):
        a, b, c, d = h[k], h[k + 1], h[k + 2], h[k + 3]
        one, two = W[k, left : left + width], W[k + 1, left : left + width]
        three, four = W[k + 2, left : left + width], W[k + 3, left : left + width]
        for j in range(width):
            ratio[j] += a * one[j] + b * two[j] + c * three[j] + d * four[j]
    for j in range(width):
        ratio[j] = x[j] / (ratio[j] if ratio[j] > floor else floor)


@numba.njit(parallel=True, nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
@no_type_check
def cross_entropies_of_starts(X, H, W, first, floor, totals):
    """Σ x log x̂ − Σ x̂ of each start."""
    n, m = X.shape
    padded = -(-m // LANES) * LANES
    for start in numba.prange(len(first) - 1):
        x, x_hat, z = np.zeros(padded, X.dtype), np.ones(padded, X.dtype), np.empty(padded, X.dtype)
        total = 0.0
        for i in range(n):
            x[:m], x_hat[:m] = X[i], 0
            for k in range(first[start], first[start + 1]):
                for j in range(m):
                    x_hat[j] += H[k, i] * W[k, j]
            for j in range(m):
                total -= x_hat[j]
                x_hat[j] = x_hat[j] if x_hat[j] > floor else floor
            total += row_cross_entropy(x, x_hat, z)
        totals[start] = total

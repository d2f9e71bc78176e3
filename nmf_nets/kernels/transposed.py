"""Xᵀ H and the like of a block that is read once."""

from typing import no_type_check

import numba
import numpy as np
import torch
from torch import Tensor

from nmf_nets.matrix import Matrix, SparseMatrix
from nmf_nets.shapes import Codes, Components, Scalar
from nmf_nets.threads import use_threads

HEIGHT = 2**20
"""Numbers of dense rows that are worked on at a time: they stay in the cache."""

SQUARES = 2**25
"""Products of codes, twice the number of them, that are held at a time."""


def add_transposed_product_(total: Tensor, X: Matrix, values: Tensor, H: Codes) -> None:
    """total += Vᵀ H, (m, r) in float64, of numbers V that lie where the values of X are."""
    if not isinstance(X, SparseMatrix) or H.device.type != "cpu":
        total += X.with_values(values).T @ H
        return
    threads = use_threads(values.numel() * H.shape[1])
    crow, columns, H_rows, numbers = _rows(X, H, values)
    _add_products(threads, crow, columns, numbers, H_rows, total.numpy())


def add_ratios_(N: Tensor, Q: Tensor | None, X: Matrix, H: Codes, W: Components, floor: Scalar) -> Scalar:
    """N_j += Σ_i v_ij x_ij h_i / x̂_ij and Q_j += Σ_i v_ij x_ij (h_iᵀ h_i) / x̂_ij² of each feature j, Q_j its lower half
    row by row, (m, r) and (m, r (r + 1) / 2) in float64. Returns Σ v x log x̂.

    By products with transposes: a compiled loop over the values took as long, for Q longer.
    """
    (n, m), r = X.shape, H.shape[1]
    height = n if Q is None else SQUARES // (r * (r + 1))
    if not X.is_sparse:
        height = min(height, HEIGHT // m)
    height = max(1, height)
    spans = [slice(start, min(n, start + height)) for start in range(0, n, height)]
    parts = [_ratios_of(N, Q, _part(X, rows), H[rows], W, floor) for rows in spans]
    return torch.stack(parts).sum()


def _part(X: Matrix, rows: slice) -> Matrix:
    return X if (rows.start, rows.stop) == (0, X.shape[0]) else X.span(rows.start, rows.stop)


def _ratios_of(N: Tensor, Q: Tensor | None, X: Matrix, H: Codes, W: Components, floor: Scalar) -> Scalar:
    x, x_hat = X.values if X.weights is None else X.weights * X.values, X.sample(H, W).clamp(min=floor)
    ratio = x / x_hat
    N += X.with_values(ratio).T @ H
    if Q is not None:
        k, l = torch.tril_indices(H.shape[1], H.shape[1], device=H.device)
        Q += X.with_values(ratio / x_hat).T @ (H[:, k] * H[:, l])
    return torch.xlogy(x, x_hat).sum(dtype=torch.float64)


def _rows(X: SparseMatrix, H: Codes, values: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    parts = (X.csr.crow_indices(), X.csr.col_indices(), H.contiguous(), values.contiguous())
    return parts[0].numpy(), parts[1].numpy(), parts[2].numpy(), parts[3].numpy()


@numba.njit(nogil=True, cache=True)
@no_type_check
def _shares(columns, m, threads):
    """The first feature of each thread, so that all have about as many values: no two then add to one place."""
    bounds = np.full(threads + 1, m)
    bounds[0] = 0
    if threads > 1:
        counts = np.zeros(m, np.int64)
        for column in columns:
            counts[column] += 1
        seen, thread = 0, 1
        for j in range(m):
            seen += counts[j]
            while thread < threads and seen * threads >= thread * len(columns):
                bounds[thread] = j + 1
                thread += 1
    return bounds


@numba.njit(parallel=True, nogil=True, cache=True, fastmath={"contract"})
@no_type_check
def _add_products(threads, crow, columns, values, H, total):
    n, r = H.shape
    bounds = _shares(columns, len(total), threads)
    for thread in numba.prange(threads):
        first, last = bounds[thread], bounds[thread + 1]
        for i in range(n):
            for e in range(crow[i], crow[i + 1]):
                j = columns[e]
                if first <= j < last:
                    x = values[e]
                    for k in range(r):
                        total[j, k] += x * H[i, k]

"""Damped Newton steps on one entry of H at a time, for the Kullback–Leibler divergence."""

from typing import no_type_check

import numba
import numpy as np
import torch

from nmf_nets.kernels.threads import use_threads
from nmf_nets.matrix import Matrix, SparseMatrix
from nmf_nets.shapes import Codes, Components, Scalar

FAR = 0.683802
"""The root of t² + t + log(1 − t) = 0: up to here the undamped step lowers D."""


def newton_sweeps(X: Matrix, H: Codes, W: Components, floor: Scalar, repeats: int, progress: float) -> Codes:
    """h_ik ← h_ik + a for k = 1 … r, cyclically, with z_j = w_kj / x̂_ij over x_ij > 0:

        g = Σ_j w_kj − Σ_j x_ij z_j    q = Σ_j x_ij z_j²    μ = max_j z_j
        a = max(−g / q, −h_ik);   if g > 0 and μ |a| > 0.683802:  a ← a / (1 + μ |a|)

    D never rises: its third derivative is at most 2 μ times its second. Each row is swept until a sweep moves its
    reconstruction Σ_k |a| Σ_j w_kj by at most `progress` times what the first did, `repeats` times at most.
    Source: Hsieh & Dhillon (2011), Hien & Gillis (2021), with a sharper damping.
    """
    if H.device.type != "cpu":
        return newton_sweeps_torch(X, H, W, floor, repeats, progress)
    use_threads(3 * X.values.numel() * H.shape[1] * min(repeats, 10))
    H = H.clone(memory_format=torch.contiguous_format)
    s = W.sum(1, dtype=torch.float64).numpy()
    if isinstance(X, SparseMatrix):
        crow, columns = X.csr.crow_indices().numpy(), X.csr.col_indices().numpy()
        Wt = W.T.contiguous().numpy()
        _sweep_sparse(crow, columns, X.values.numpy(), H.numpy(), Wt, s, float(floor), repeats, progress)
    else:
        values = X.values.contiguous().numpy()
        _sweep_dense(values, H.numpy(), W.contiguous().numpy(), s, float(floor), repeats, progress)
    return H


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz", "arcp"})
@no_type_check
def _newton_row(x, w, s, h, floor, repeats, progress):
    """The new code of one row: x has p entries, w is (r, p), s holds the sums of whole components.

    All but the data in float64: in float32 the rounding of g moves h for ever, and x_hat drifts away from h W.
    """
    r, p = w.shape
    h, x_hat = h.astype(np.float64), np.zeros(p)
    for k in range(r):
        if h[k] > 0:
            for j in range(p):
                x_hat[j] += h[k] * w[k, j]
    first = 0.0
    for sweep in range(repeats):
        moved = 0.0
        for k in range(r):
            g, q, mu = s[k], 0.0, 0.0
            for j in range(p):
                z = w[k, j] / max(x_hat[j], floor)
                xz = x[j] * z
                g -= xz
                q += xz * z
                mu = max(mu, z if x[j] > 0 else 0.0)
            a = 0.0
            if q > 0:
                a = max(-g / q, -h[k])
            elif g > 0:
                a = -h[k]
            if g > 0 and mu * abs(a) > FAR:
                a = a / (1 + mu * abs(a))
            if a != 0:
                h[k] = max(h[k] + a, 0.0)
                moved += abs(a) * s[k]
                for j in range(p):
                    x_hat[j] += a * w[k, j]
        if sweep == 0:
            first = moved
        if moved <= progress * first:
            break
    return h


@numba.njit(parallel=True, nogil=True, cache=True, error_model="numpy")
@no_type_check
def _sweep_dense(X, H, W, s, floor, repeats, progress):
    for i in numba.prange(X.shape[0]):
        H[i] = _newton_row(X[i], W, s, H[i], floor, repeats, progress)


@numba.njit(parallel=True, nogil=True, cache=True, error_model="numpy")
@no_type_check
def _sweep_sparse(crow, columns, values, H, Wt, s, floor, repeats, progress):
    n, r = H.shape
    for i in numba.prange(n):
        start, stop = crow[i], crow[i + 1]
        w = np.empty((r, stop - start), values.dtype)
        for p in range(stop - start):
            j = columns[start + p]
            for k in range(r):
                w[k, p] = Wt[j, k]
        H[i] = _newton_row(values[start:stop], w, s, H[i], floor, repeats, progress)


def newton_sweeps_torch(X: Matrix, H: Codes, W: Components, floor: Scalar, repeats: int, progress: float) -> Codes:
    """The same sweeps, vectorised over rows, without a synchronisation of the device."""
    H = H.clone()
    s = W.sum(1)
    x, x_hat = X.values, X.sample(H, W)
    going = torch.ones_like(H[:, 0])
    first = torch.zeros_like(going)
    for sweep in range(repeats):
        moved = torch.zeros_like(going)
        for k in range(H.shape[1]):
            w = X.columns(W[k])
            z = w / x_hat.clamp(min=floor)
            g = s[k] - X.row_sum(x * z)
            q = X.row_sum(x * z * z)
            mu = X.row_max(torch.where(x > 0, z, 0))
            a = torch.where(q > 0, torch.maximum(-g / q, -H[:, k]), torch.where(g > 0, -H[:, k], 0))
            a = torch.where((g > 0) & (mu * a.abs() > FAR), a / (1 + mu * a.abs()), a) * going
            H[:, k] = (H[:, k] + a).clamp(min=0)
            x_hat = x_hat + X.of_rows(a) * w
            moved += a.abs() * s[k]
        first = moved if sweep == 0 else first
        going = going * (moved > progress * first)
    return H

"""Second-order models of the Kullback–Leibler divergence in a column of W: summed over rows, and minimised."""

from typing import NamedTuple, no_type_check

import numba
import numpy as np
import torch
from torch import Tensor

from nmf_nets.matrix import Matrix, SparseMatrix
from nmf_nets.shapes import Codes, Components, PerComponent, PerSample
from nmf_nets.threads import use_threads

LEAST_PART = 0.25
"""Of an entry of W that a step leaves: the model is Newton's, which goes too far from above the optimum."""

LEAST_RATIO = 1e-5
"""x̂ is taken as this part of x at least, so that one entry that nothing explains yet does not rule its column."""

BLOCK = 64
"""Columns that a thread takes at a time, in turn with the others."""


class Rows(NamedTuple):
    """Rows of X as they were seen: the codes, x̂ where the values of X are, and what each row weighs."""

    H: Codes
    x_hat: Tensor
    weights: PerSample


class Sums(NamedTuple):
    """Over rows, for each of m columns: Q (m × r × r), p (m × r) and how many entries (m)."""

    Q: Tensor
    p: Tensor
    entries: Tensor


def fit_columns(
    X: Matrix,
    H: Codes,
    weights: PerSample,
    W: Components,
    s: PerComponent,
    old: Rows | None,
    before: Sums,
    sums: Sums,
    repeats: int,
    all_columns: bool,
    ridge: float = 0.0,
) -> tuple[Components, Rows]:
    """Takes the `old` rows, where they were seen, out of what is summed in `before`, and adds the new to `sums`, all
    with their weights. Then

        w_kj ← max(w_kj − (Σ_l G_jkl w_lj − p_jk + s_k) / G_jkk, w_kj / 4)        G, p of both sums, ridge on G_jkk

    `repeats` times for the columns that X has entries in, or for all. Where G_jkk = 0, w_kj is left, or 0 if rows were
    seen before.
    """
    if H.device.type != "cpu":
        return fit_columns_torch(X, H, weights, W, s, old, before, sums, repeats, all_columns, ridge)
    (n, m), r = X.shape, H.shape[1]
    if isinstance(X, SparseMatrix):
        place = torch.arange(len(X.values), dtype=torch.int32)
        T = X.with_values(place).numpy().T.tocsr()
        crow, index, place = T.indptr, T.indices, T.data
    else:
        crow, index = np.arange(m + 1) * n, np.tile(np.arange(n), m)
        place = (np.arange(n) * m + np.arange(m)[:, None]).reshape(-1)
    values = X.values.reshape(-1).contiguous()
    threads = use_threads(2 * len(values) * r * r)
    fitted, x_hat = W.T.clone(memory_format=torch.contiguous_format), torch.empty_like(values)
    given = old or Rows(H[:0], values[:0], weights[:0])
    arrays = [part.contiguous().numpy() for part in (values, H, weights, fitted, s, *given, x_hat, *before, *sums)]
    eps = np.finfo(values.numpy().dtype).eps
    _fit(threads, crow, index, place, *arrays, repeats, eps, all_columns, old is not None, eps.dtype.type(ridge))  # type: ignore
    return fitted.T, Rows(H, x_hat, weights)


@numba.njit(parallel=True, nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
@no_type_check
def _fit(
    threads, crow, rows, place, values, H, weights, W, s, old_H, old_x_hat, old_weights, x_hat,
    Q_before, p_before, entries_before, Q, p, entries, repeats, eps, all_columns, seen, ridge,
):  # fmt: skip
    m, r = W.shape
    number = W.dtype.type
    blocks = -(-m // BLOCK)
    for thread in numba.prange(threads):
        G, b = np.empty((r, r), W.dtype), np.empty(r, W.dtype)
        for block in range(thread, blocks, threads):
            for j in range(block * BLOCK, min(m, block * BLOCK + BLOCK)):
                met = all_columns
                for e in range(crow[j], crow[j + 1]):
                    i, at = rows[e], place[e]
                    x = values[at]
                    if x == 0:
                        continue
                    met = True
                    if seen:
                        least = max(old_x_hat[at], number(LEAST_RATIO) * x)
                        _add(-old_weights[i] * x, old_H[i], least, Q_before[j], p_before[j])
                        entries_before[j] -= 1
                    reached = number(0)
                    for k in range(r):
                        reached += H[i, k] * W[j, k]
                    x_hat[at] = reached
                    _add(weights[i] * x, H[i], max(reached, number(LEAST_RATIO) * x), Q[j], p[j])
                    entries[j] += 1
                if not met:
                    continue
                rest = number(entries_before[j] > 0)  # or what rounding has left of them
                for k in range(r):
                    b[k] = p[j, k] + rest * p_before[j, k] - s[k]
                    for l in range(r):
                        G[k, l] = Q[j, k, l] + rest * Q_before[j, k, l]
                    G[k, k] += ridge
                _descend(G, b, W[j], repeats, eps, seen)


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
@no_type_check
def _add(x, h, x_hat, Q, p):
    """The part of an entry."""
    ratio = x / x_hat
    curvature = ratio / x_hat
    for k in range(len(h)):
        p[k] += 2 * ratio * h[k]
        pull = curvature * h[k]
        if pull != 0:
            for l in range(len(h)):
                Q[k, l] += pull * h[l]


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
@no_type_check
def _descend(G, b, w, repeats, eps, forget):
    r = len(w)
    for _ in range(repeats):
        total = w.sum()
        for k in range(r):
            if G[k, k] > 0:
                pull = b[k]
                for l in range(r):
                    pull -= G[k, l] * w[l]
                new = max(w[k] + pull / G[k, k], w.dtype.type(LEAST_PART) * w[k])
                w[k] = new if new > eps * total else w.dtype.type(0)
            elif forget:
                w[k] = 0


def fit_columns_torch(
    X: Matrix,
    H: Codes,
    weights: PerSample,
    W: Components,
    s: PerComponent,
    old: Rows | None,
    before: Sums,
    sums: Sums,
    repeats: int,
    all_columns: bool,
    ridge: float = 0.0,
) -> tuple[Components, Rows]:
    """fit_columns in plain torch."""
    eps = torch.finfo(W.dtype).eps
    new = Rows(H, X.sample(H, W).reshape(-1), weights)
    _add_torch(X, new, sums, 1)
    if old is not None:
        _add_torch(X, old, before, -1)
    rest = (before.entries > 0).to(W.dtype)
    b, G = sums.p + rest[:, None] * before.p - s, sums.Q + rest[:, None, None] * before.Q
    G.diagonal(dim1=1, dim2=2).add_(ridge)
    w = W.T.clone()
    for _ in range(repeats):
        total = w.sum(1)
        for k in range(len(W)):
            diagonal = G[:, k, k]
            step = (b[:, k] - (G[:, k] * w).sum(1)) / torch.where(diagonal > 0, diagonal, 1)
            moved = torch.maximum(w[:, k] + step, LEAST_PART * w[:, k])
            kept = w[:, k] if old is None else torch.zeros_like(moved)
            w[:, k] = torch.where(diagonal > 0, torch.where(moved > eps * total, moved, 0), kept)
    here = X.with_values((X.values > 0).to(W.dtype)).T @ W.new_ones(len(H), 1) > 0
    return (w if all_columns else torch.where(here, w, W.T)).T, new


def _add_torch(X: Matrix, rows: Rows, sums: Sums, sign: int) -> None:
    x, H = X.values, rows.H
    x_hat = torch.maximum(rows.x_hat.view_as(x), LEAST_RATIO * x)
    ratio = torch.where(x > 0, sign * X.of_rows(rows.weights) * x / x_hat, 0)
    squares = (H[:, :, None] * H[:, None, :]).flatten(1)
    sums.p.add_(2 * (X.with_values(ratio).T @ H))
    sums.Q.add_((X.with_values(torch.where(x > 0, ratio / x_hat, 0)).T @ squares).view_as(sums.Q))
    counted = X.with_values((x > 0).to(x.dtype)).T @ H.new_ones(len(H), 1)
    sums.entries.add_(sign * counted[:, 0].to(sums.entries.dtype))

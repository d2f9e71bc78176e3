"""Coordinate steps on the stored entries of X, one row after the other.

The part of W that a row needs is gathered once, a component after the other, and padded, so that every inner loop runs
over entries in whole vectors. The state of a row has the dtype of X and is made anew from H W before each sweep.
"""

from dataclasses import dataclass
from typing import no_type_check

import numba
import numpy as np
import torch
from torch import Tensor

from nmf_nets.criterion import PLAIN, Terms
from nmf_nets.group import ALONE, Group
from nmf_nets.matrix import Matrix, SparseMatrix
from nmf_nets.shapes import Codes, Components, PerSample, Scalar
from nmf_nets.threads import use_threads

LANES = 16
"""Entries are padded to a multiple of it, with x = v = w = 0 and x̂ = 1."""

BLOCK = 64
"""Rows that a thread takes at a time, in turn with the others: long rows stand together in some data."""

FAR = 0.683802
"""The root of t² + t + log(1 − t) = 0: up to here the undamped Newton step lowers D."""

NEAR_DOUBLE = 0.9
"""A Newton step from next to nothing doubles it at most: from such a part of it on the step is not left to Newton."""

NEWTON, SQUARES, CROSS = 0, 1, 2

LOG_2 = np.float32(np.log(2))


@dataclass(frozen=True)
class Sweeps:
    """How a row is swept: as often as `repeats`, until a sweep moves its reconstruction by at most `progress` times
    what the first did, or by no more than rounding."""

    repeats: int = 1
    progress: float = 0.0
    damped: bool = True


def newton_sweeps(
    X: Matrix,
    H: Codes,
    W: Components,
    floor: Scalar,
    sweeps: Sweeps = Sweeps(),
    terms: Terms = PLAIN,
    group: Group = ALONE,
) -> tuple[Codes, Scalar]:
    """The new codes, and Σ v x log x̂ with them; of the columns at hand, where ranks have others.

        h_ik ← h_ik + a for k = 1 … r, cyclically, with z_j = w_kj / x̂_ij over x_ij > 0
        g = Σ_j v_j w_kj − Σ_j v_j x_j z_j + λ₁ + λ₂ h_ik    q = Σ_j v_j x_j z_j² + λ₂    μ = max_j z_j
        a = max(−g / q, −h_ik);   if g > 0 and μ |a| > 0.683802:  a ← a / (1 + μ |a|)

    Damped so, D never rises: its third derivative is at most 2 μ times its second. Where g < 0 and a doubles h_ik at
    least nearly, a is no less than the root of g with one entry's pull alone, for each entry: Newton would double it.
    Components that are zero and have g ≥ 0 where a sweep begins are passed over in it.
    Source: Hsieh & Dhillon (2011), Hien & Gillis (2021), with a sharper damping.
    """
    if H.device.type != "cpu" or group.size > 1:
        H = newton_sweeps_torch(X, H, W, floor, sweeps, terms, group)
        return H, cross_entropy(X, H, W, floor)
    H, sums = _swept(NEWTON, X, H, W, float(floor), sweeps, terms)
    return H, sums.sum()


def squares_sweeps(
    X: Matrix,
    H: Codes,
    W: Components,
    sweeps: Sweeps = Sweeps(),
    terms: Terms = PLAIN,
    group: Group = ALONE,
) -> Codes:
    """h_ik ← [h_ik + (Σ_j v_j (x_j − x̂_j) w_kj − λ₁ − λ₂ h_ik) / (Σ_j v_j w_kj² + λ₂)]₊ for k = 1 … r, cyclically.

    Source: Ho (2008), weighted HALS.
    """
    if H.device.type != "cpu" or group.size > 1:
        return squares_sweeps_torch(X, H, W, sweeps, terms, group)
    return _swept(SQUARES, X, H, W, 0.0, sweeps, terms)[0]


def cross_entropy(X: Matrix, H: Codes, W: Components, floor: Scalar) -> Scalar:
    """Σ v x log x̂, the sums in float64, x̂ in the dtype of X."""
    if H.device.type != "cpu":
        x = X.values if X.weights is None else X.weights * X.values
        return torch.xlogy(x, X.sample(H, W).clamp(min=floor)).sum(dtype=torch.float64)
    return _swept(CROSS, X, H, W, float(floor), Sweeps(), PLAIN)[1].sum()


def _swept(
    kind: int, X: Matrix, H: Codes, W: Components, floor: float, sweeps: Sweeps, terms: Terms
) -> tuple[Codes, Tensor]:
    n, r = H.shape
    threads = use_threads(3 * X.values.numel() * r * min(sweeps.repeats, 10))
    H = H.clone(memory_format=torch.contiguous_format)
    sums = torch.zeros(n, dtype=torch.float64)
    values = X.values.contiguous().numpy()
    weights = values if X.weights is None else X.weights.contiguous().numpy()
    free = (torch.arange(r) if terms.free is None else terms.free).numpy()
    s = W.sum(1, dtype=torch.float64).to(W.dtype).numpy()
    linear, ridge = terms.coefficients
    number = values.dtype.type
    rule = (
        *(number(each) for each in (floor, linear, ridge, sweeps.progress, FAR, np.finfo(number).eps)),
        sweeps.repeats,
        sweeps.damped,
    )
    weighted = X.weights is not None
    if isinstance(X, SparseMatrix):
        crow, columns = X.csr.crow_indices().numpy(), X.csr.col_indices().numpy()
        Wt = W.T.contiguous().numpy()
        _sparse_rows(
            threads, kind, crow, columns, values, weights, weighted, H.numpy(), Wt, s, free, rule, sums.numpy()
        )
    else:
        padded = torch.nn.functional.pad(W, (0, -W.shape[1] % LANES)).contiguous().numpy()
        _dense_rows(threads, kind, values, weights, weighted, H.numpy(), padded, s, free, rule, sums.numpy())
    return H, sums


@numba.njit(parallel=True, nogil=True, cache=True, error_model="numpy")
@no_type_check
def _sparse_rows(threads, kind, crow, columns, values, weights, weighted, H, Wt, s, free, rule, sums):
    n, r = H.shape
    longest = 0
    for i in range(n):
        longest = max(longest, crow[i + 1] - crow[i])
    longest = -(-longest // LANES) * LANES
    blocks = -(-n // BLOCK)
    for thread in numba.prange(threads):
        vectors = np.empty((4, longest), values.dtype)
        entries = np.empty(r * longest, values.dtype)
        active, own_s = np.empty(r, np.int64), s.copy()
        for block in range(thread, blocks, threads):
            for i in range(block * BLOCK, min(n, block * BLOCK + BLOCK)):
                start = crow[i]
                p = crow[i + 1] - start
                padded = -(-p // LANES) * LANES
                w = entries[: r * padded].reshape(r, padded)
                x, v = vectors[0, :padded], vectors[1, :padded]
                for j in range(p):
                    x[j], v[j] = values[start + j], weights[start + j] if weighted else 1
                    column = columns[start + j]
                    for k in range(r):
                        w[k, j] = Wt[column, k]
                x[p:], v[p:], w[:, p:] = 0, 0, 0
                sums[i] = _row(kind, x, v, weighted, w, own_s, H[i], vectors, active, free, rule)


@numba.njit(parallel=True, nogil=True, cache=True, error_model="numpy")
@no_type_check
def _dense_rows(threads, kind, values, weights, weighted, H, w, s, free, rule, sums):
    n, r = H.shape
    p, padded = values.shape[1], w.shape[1]
    blocks = -(-n // BLOCK)
    for thread in numba.prange(threads):
        vectors = np.empty((4, padded), values.dtype)
        active, own_s = np.empty(r, np.int64), s.copy()
        x, v = vectors[0], vectors[1]
        x[p:], v[p:] = 0, 0
        for block in range(thread, blocks, threads):
            for i in range(block * BLOCK, min(n, block * BLOCK + BLOCK)):
                for j in range(p):
                    x[j], v[j] = values[i, j], weights[i, j] if weighted else 1
                sums[i] = _row(kind, x, v, weighted, w, own_s, H[i], vectors, active, free, rule)


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
@no_type_check
def _row(kind, x, v, weighted, w, s, h, vectors, active, free, rule):
    """Sweeps h, and returns Σ v x log x̂ where that is asked."""
    x_hat, z = vectors[2, : len(x)], vectors[3, : len(x)]
    if kind == SQUARES:
        _squares_row(x, v, w, h, x_hat, s, free, rule)
        return 0.0
    if weighted:
        for k in range(len(h)):
            s[k] = 0
            for j in range(len(x)):
                s[k] += v[j] * w[k, j]
        for j in range(len(x)):
            x[j] *= v[j]
    if kind == NEWTON:
        _newton_row(x, w, s, h, x_hat, z, active, free, rule)
    else:
        _reconstruct(w, h, rule[0], x_hat)
    return row_cross_entropy(x, x_hat, z)


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"})
@no_type_check
def row_cross_entropy(x, x_hat, z):
    """Σ x log x̂ with 0 log x̂ = 0."""
    total = 0.0
    if x.itemsize == 4:  # the logarithm of the library is not vectorised
        bits, mantissa = x_hat.view(np.int32), z.view(np.int32)
        for j in range(len(x)):
            mantissa[j] = (bits[j] & 0x7FFFFF) | 0x3F800000
        for j in range(len(x)):
            t = (z[j] - np.float32(1)) / (z[j] + np.float32(1))
            u = t * t
            series = u * np.float32(2 / 11) + np.float32(2 / 9)
            series = u * (u * (u * (u * series + np.float32(2 / 7)) + np.float32(2 / 5)) + np.float32(2 / 3))
            exponent = np.float32((bits[j] >> 23) - 127)
            total += x[j] * (exponent * LOG_2 + t * (series + np.float32(2)))
    else:
        for j in range(len(x)):
            if x[j] > 0:
                total += x[j] * np.log(x_hat[j])
    return total


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"})
@no_type_check
def _reconstruct(w, h, floor, x_hat):
    x_hat[:] = 0
    for k in range(len(h)):
        if h[k] > 0:
            for j in range(len(x_hat)):
                x_hat[j] += h[k] * w[k, j]
    for j in range(len(x_hat)):
        x_hat[j] = max(x_hat[j], floor)


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz", "nnan"})
@no_type_check
def _largest_ratio(x, w, x_hat):
    """max_j w_j / x̂_j over x_j > 0: without NaN, a maximum is found in whole vectors."""
    most = 0 * w[0]
    for j in range(len(x)):
        ratio = w[j] / x_hat[j] if x[j] > 0 else 0 * w[0]
        most = ratio if ratio > most else most
    return most


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz", "nnan"})
@no_type_check
def _furthest_alone(x, w, x_hat, slope, ridge):
    """max_j of the root a > 0 of slope + ridge a = x_j w_j / (x̂_j + a w_j), numerator and denominator times w_j."""
    most = 0 * slope
    for j in range(len(x)):
        d = x[j] * w[j] - slope * x_hat[j]
        pulls = d > 0
        d = d if pulls else 0 * slope
        t = slope * w[j] + ridge * x_hat[j]
        below = t + np.sqrt(t * t + 4 * ridge * w[j] * d)
        step = 2 * d / (below if pulls else 1 + 0 * slope)
        most = step if step > most else most
    return most


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz", "arcp"})
@no_type_check
def _newton_row(x, w, s, h, x_hat, z, active, free, rule):
    floor, linear, ridge, progress, far, rounding, repeats, damped = rule
    p, zero = len(x), 0 * floor
    first, least = zero, np.finfo(x.dtype).max  # of the positive entries
    for j in range(p):
        least = min(least, x[j] if x[j] > 0 else least)
    for sweep in range(repeats):
        _reconstruct(w, h, floor, x_hat)
        for j in range(p):
            z[j] = x[j] / x_hat[j]
        count = 0
        for k in free:
            g = s[k] + linear
            if h[k] == 0:
                for j in range(p):
                    g -= z[j] * w[k, j]
            if h[k] > 0 or g < 0:
                active[count] = k
                count += 1
        moved, total = zero, zero
        for a in range(count):
            k = active[a]
            pulls, q = zero, zero
            for j in range(p):
                ratio = w[k, j] / x_hat[j]
                pull = x[j] * ratio
                pulls += pull
                q += pull * ratio
            g = s[k] + linear + ridge * h[k] - pulls
            bound = np.sqrt(q / least)  # of mu: q ≥ least · mu²
            q += ridge
            step = zero
            if q > 0:
                step = max(-g / q, -h[k])
            elif g > 0:
                step = -h[k]
            if g < 0 and step >= NEAR_DOUBLE * h[k]:
                step = max(step, _furthest_alone(x, w[k], x_hat, s[k] + linear + ridge * h[k], ridge))
            if damped and g > 0 and bound * abs(step) > far:
                mu = _largest_ratio(x, w[k], x_hat)
                if mu * abs(step) > far:
                    step = step / (1 + mu * abs(step))
            if step != 0:
                h[k] = max(h[k] + step, zero)
                moved += abs(step) * s[k]
                for j in range(p):
                    x_hat[j] = max(x_hat[j] + step * w[k, j], floor)
            total += h[k] * s[k]
        if sweep == 0:
            first = moved
        if moved <= progress * first or moved <= rounding * total:
            break


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
@no_type_check
def _squares_row(x, v, w, h, residual, q, free, rule):
    floor, linear, ridge, progress, _, rounding, repeats, _ = rule
    p, zero = len(x), 0 * floor
    first = zero
    for k in range(len(h)):
        q[k] = ridge
        for j in range(p):
            q[k] += v[j] * w[k, j] * w[k, j]
    for sweep in range(repeats):
        for j in range(p):
            residual[j] = x[j]
        for k in range(len(h)):
            if h[k] > 0:
                for j in range(p):
                    residual[j] -= h[k] * w[k, j]
        moved, total = zero, zero
        for k in free:
            g = -linear - ridge * h[k]
            for j in range(p):
                g += v[j] * residual[j] * w[k, j]
            if q[k] > 0:
                step = max(h[k] + g / q[k], zero) - h[k]
                if step != 0:
                    h[k] += step
                    moved += step * step
                    for j in range(p):
                        residual[j] -= step * w[k, j]
            total += h[k] * h[k]
        if sweep == 0:
            first = moved
        if moved <= progress * progress * first or moved <= rounding * rounding * total:
            break


def newton_sweeps_torch(
    X: Matrix, H: Codes, W: Components, floor: Scalar, sweeps: Sweeps, terms: Terms, group: Group = ALONE
) -> Codes:
    """The same sweeps, vectorised over rows, without a synchronisation of the device.

    Over ranks with a part of the columns each, two messages of two numbers a row for every component.
    """
    linear, ridge = terms.coefficients
    v = torch.ones_like(X.values) if X.weights is None else X.weights
    x = v * X.values
    (sums,) = group.summed(W.sum(1).expand(H.shape) if X.weights is None else X.with_values(v) @ W.T)

    def step_of(k: int, h: PerSample, x_hat: Tensor) -> PerSample:
        w = X.columns(W[k])
        z = w / x_hat.clamp(min=floor)
        pulls, q = group.summed(X.row_sum(x * z), X.row_sum(x * z * z))
        g, q = sums[:, k] - pulls + linear + ridge * h, q + ridge
        mu = X.row_max(torch.where(x > 0, z, 0))
        a = torch.where(q > 0, torch.maximum(-g / q, -h), torch.where(g > 0, -h, 0))
        slope, other = X.of_rows(sums[:, k] + linear + ridge * h), x_hat.clamp(min=floor) / w
        t, d = slope + ridge * other, (x - slope * other).clamp(min=0)
        alone = X.row_max(torch.where((w > 0) & (d > 0), 2 * d / (t + (t * t + 4 * ridge * d).sqrt()), 0))
        group.max_(mu, alone)
        a = torch.where((g < 0) & (a >= NEAR_DOUBLE * h), torch.maximum(a, alone), a)
        damp = (g > 0) & (mu * a.abs() > FAR) if sweeps.damped else torch.zeros_like(g, dtype=torch.bool)
        return torch.where(damp, a / (1 + mu * a.abs()), a)

    def idle(H: Codes, x_hat: Tensor) -> Tensor:
        (pulls,) = group.summed(X.with_values(x / x_hat.clamp(min=floor)) @ W.T)
        return (H == 0) & (sums + linear - pulls >= 0)

    return _sweeps_torch(X, H, W, sweeps, terms, step_of, idle, lambda k, a: a.abs() * sums[:, k], 1)


def squares_sweeps_torch(
    X: Matrix, H: Codes, W: Components, sweeps: Sweeps, terms: Terms, group: Group = ALONE
) -> Codes:
    """The same sweeps, vectorised over rows, without a synchronisation of the device.

    Over ranks with a part of the columns each, one message of a number a row for every component.
    """
    linear, ridge = terms.coefficients
    v = torch.ones_like(X.values) if X.weights is None else X.weights
    q = group.summed(X.with_values(v) @ W.T.square())[0] + ridge

    def step_of(k: int, h: PerSample, x_hat: Tensor) -> PerSample:
        g = group.summed(X.row_sum(v * (X.values - x_hat) * X.columns(W[k])))[0] - linear - ridge * h
        return torch.where(q[:, k] > 0, (h + g / q[:, k]).clamp(min=0) - h, 0)

    def idle(H: Codes, x_hat: Tensor) -> Tensor:
        return torch.zeros_like(H, dtype=torch.bool)

    return _sweeps_torch(X, H, W, sweeps, terms, step_of, idle, lambda k, a: a.square(), 2)


def _sweeps_torch(X, H, W, sweeps, terms, step_of, idle, size, power) -> Codes:  # type: ignore[no-untyped-def]
    H = H.clone()
    going = torch.ones_like(H[:, 0])
    first = torch.zeros_like(going)
    for sweep in range(sweeps.repeats):
        moved = torch.zeros_like(going)
        x_hat = X.sample(H, W)
        passed_over = idle(H, x_hat)
        for k in range(H.shape[1]) if terms.order is None else terms.order:
            a = step_of(k, H[:, k], x_hat) * going * ~passed_over[:, k]
            H[:, k] = (H[:, k] + a).clamp(min=0)
            x_hat = x_hat + X.of_rows(a) * X.columns(W[k])
            moved += size(k, a)
        first = moved if sweep == 0 else first
        going = going * (moved > sweeps.progress**power * first)
    return H

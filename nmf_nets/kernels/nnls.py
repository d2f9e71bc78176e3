"""Exact minimisers of ½ h G hᵀ − h bᵀ over h ≥ 0, a row after the other, in float64 whatever the data are."""

from typing import no_type_check

import numba
import numpy as np
import torch
from torch import Tensor

from nmf_nets.kernels.hals import hals_sweeps_torch
from nmf_nets.kernels.threads import use_threads
from nmf_nets.shapes import Codes, Gram

EXCHANGES = 5
"""Of components, by their number; a row that is not solved then is swept by coordinates instead."""

SWEEPS = 200
"""Of such a row, from where it was."""

PATIENCE = 3
"""How often block pivoting exchanges all that is infeasible without getting nearer."""

ROUNDING = 1e-12
"""Relative to the largest of a row, what counts as zero."""


def pivoted(H: Codes, B: Codes, G: Gram, repeats: int = 1, progress: float = 0.0) -> Codes:
    """By block principal pivoting from the support of H. `repeats` and `progress` say nothing: it is exact.

    Source: Kim & Park (2011).
    """
    return _solved(True, H, B, G)


def by_active_set(H: Codes, B: Codes, G: Gram, repeats: int = 1, progress: float = 0.0) -> Codes:
    """One component after the other, from the support of H if that is feasible. It is exact, too.

    Source: Lawson & Hanson (1974).
    """
    return _solved(False, H, B, G)


def _solved(pivots: bool, H: Codes, B: Codes, G: Gram) -> Codes:
    if H.device.type != "cpu":
        return pivoted_torch(H, B, G)
    use_threads(H.numel() * H.shape[1] * H.shape[1])
    solved = H.double().clone(memory_format=torch.contiguous_format)
    exact = G.double().contiguous()
    _solve_rows(pivots, solved.numpy(), B.double().contiguous().numpy(), exact.numpy(), _lifted(exact, G).numpy())
    return solved.to(H.dtype)


def _lifted(exact: Gram, G: Gram) -> Gram:
    """The Gram matrix with a diagonal that rounding cannot make singular."""
    lift = max(1e-10, 10 * torch.finfo(G.dtype).eps) * exact.diagonal().mean()
    return exact + lift * torch.eye(len(G), dtype=exact.dtype, device=G.device)


@numba.njit(parallel=True, nogil=True, cache=True, error_model="numpy")
@no_type_check
def _solve_rows(pivots, H, B, G, lifted):
    n, r = H.shape
    blocks = -(-n // 32)
    for block in numba.prange(blocks):
        L, z, before = np.empty((r, r)), np.empty(r), np.empty(r)
        passive, members = np.empty(r, np.bool_), np.empty(r, np.int64)
        for i in range(block * 32, min(n, block * 32 + 32)):
            h, b = H[i], B[i]
            before[:] = h
            for attempt in range(2):
                gram = G if attempt == 0 else lifted
                if pivots:
                    done = _pivot(h, b, gram, passive, members, L, z)
                else:
                    done = _active_set(h, b, gram, passive, members, L, z)
                if done:
                    break
                h[:] = before
            if not done:
                _sweep(h, b, G)
            for k in range(r):
                if G[k, k] <= 0:
                    h[k] = before[k]


@numba.njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def _solve(G, b, members, count, L, z):
    """z ← G_FF⁻¹ b_F by Cholesky for the first `count` members; False where G_FF is singular."""
    for i in range(count):
        p = members[i]
        for j in range(i + 1):
            total = G[p, members[j]]
            for l in range(j):
                total -= L[i, l] * L[j, l]
            if i == j:
                if total <= ROUNDING * G[p, p]:
                    return False
                L[i, i] = np.sqrt(total)
            else:
                L[i, j] = total / L[j, j]
    for i in range(count):
        total = b[members[i]]
        for l in range(i):
            total -= L[i, l] * z[l]
        z[i] = total / L[i, i]
    for i in range(count - 1, -1, -1):
        total = z[i]
        for l in range(i + 1, count):
            total -= L[l, i] * z[l]
        z[i] = total / L[i, i]
    return True


@numba.njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def _pivot(h, b, G, passive, members, L, z):
    r = len(h)
    for k in range(r):
        passive[k] = h[k] > 0 and G[k, k] > 0
    least_infeasible, patience = r + 1, PATIENCE
    small = ROUNDING * np.abs(b).max()
    for _ in range(EXCHANGES * r + 1):
        count = 0
        for k in range(r):
            h[k] = 0
            if passive[k]:
                members[count] = k
                count += 1
        if not _solve(G, b, members, count, L, z):
            return False
        size = 0.0
        for f in range(count):
            h[members[f]] = z[f]
            size = max(size, abs(z[f]))
        infeasible, last = 0, -1
        for k in range(r):
            if passive[k]:
                wrong = h[k] < -ROUNDING * size
            else:
                y = -b[k]
                for f in range(count):
                    y += h[members[f]] * G[members[f], k]
                wrong = y < -small and G[k, k] > 0
            z[k] = 1.0 if wrong else 0.0
            if wrong:
                infeasible, last = infeasible + 1, k
        if infeasible == 0:
            for k in range(r):
                h[k] = max(h[k], 0.0)
            return True
        if infeasible < least_infeasible:
            least_infeasible, patience = infeasible, PATIENCE
        else:
            patience -= 1
        for k in range(r):
            if z[k] > 0 and (patience >= 0 or k == last):
                passive[k] = not passive[k]
    return False


@numba.njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def _active_set(h, b, G, passive, members, L, z):
    r = len(h)
    count = 0
    for k in range(r):
        passive[k] = h[k] > 0 and G[k, k] > 0
        if passive[k]:
            members[count] = k
            count += 1
        h[k] = 0
    feasible = _solve(G, b, members, count, L, z)
    for f in range(count):
        feasible = feasible and z[f] > 0
    for f in range(count):
        h[members[f]] = z[f] if feasible else 0.0
        passive[members[f]] = feasible
    small = ROUNDING * np.abs(b).max()
    for _ in range(EXCHANGES * r + 1):
        entering, steepest = -1, small
        for k in range(r):
            if not passive[k] and G[k, k] > 0:
                y = b[k]
                for l in range(r):
                    y -= h[l] * G[l, k]
                if y > steepest:
                    entering, steepest = k, y
        if entering < 0:
            return True
        passive[entering] = True
        for _ in range(r + 1):
            count = 0
            for k in range(r):
                if passive[k]:
                    members[count] = k
                    count += 1
            if not _solve(G, b, members, count, L, z):
                return False
            way = 1.0
            for f in range(count):
                if z[f] <= 0:
                    here = h[members[f]]
                    way = min(way, here / (here - z[f]) if here > z[f] else 0.0)
            for f in range(count):
                k = members[f]
                h[k] += way * (z[f] - h[k])
                if way < 1 and z[f] <= 0 and h[k] <= ROUNDING * abs(z[f]):
                    h[k] = 0
                    passive[k] = False
            if way == 1:
                break
    return False


@numba.njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def _sweep(h, b, G):
    for _ in range(SWEEPS):
        for k in range(len(h)):
            if G[k, k] > 0:
                g = b[k]
                for l in range(len(h)):
                    g -= h[l] * G[l, k]
                h[k] = max(h[k] + g / G[k, k], 0.0)


def pivoted_torch(H: Codes, B: Codes, G: Gram) -> Codes:
    """Block pivoting of many rows at once, on any device."""
    rows = max(1, 2**24 // G.numel())
    return torch.cat([_pivoted_block(h, b, G) for h, b in zip(H.split(rows), B.split(rows), strict=True)])


def _pivoted_block(H: Codes, B: Codes, G: Gram) -> Codes:
    b, exact = B.double(), G.double()
    lifted, alive = _lifted(exact, G), exact.diagonal() > 0
    r = len(G)
    passive = (H > 0) & alive
    least = torch.full_like(b[:, 0], r + 1)
    patience = torch.full_like(least, PATIENCE)
    small = ROUNDING * b.abs().amax(1, keepdim=True)
    h, infeasible = torch.zeros_like(b), torch.ones_like(passive)
    for exchange in range(EXCHANGES * r + 1):
        if exchange % 10 == 9 and not bool(infeasible.any()):  # seldom, as it waits for the device
            break
        both = passive[:, :, None] & passive[:, None, :]
        system = lifted * both + torch.diag_embed((~passive).double())
        h = torch.linalg.solve_ex(system, (b * passive)[:, :, None])[0][:, :, 0] * passive
        below = h < -ROUNDING * h.abs().amax(1, keepdim=True)
        infeasible = torch.where(passive, below, (h @ exact - b < -small) & alive)
        count = infeasible.sum(1).double()
        patience = torch.where(count < least, PATIENCE, patience - 1)
        least = torch.minimum(least, count)
        last = infeasible * torch.arange(1, r + 1, device=H.device)
        only_last = infeasible & (last == last.amax(1, keepdim=True))
        passive = passive ^ torch.where(patience[:, None] >= 0, infeasible, only_last)
    swept = hals_sweeps_torch(H.double(), b, exact, SWEEPS if bool(infeasible.any()) else 0, 0.0)
    solved = torch.where(infeasible.any(1, keepdim=True), swept, h.clamp(min=0))
    return torch.where(alive, solved, H).to(H.dtype)


def bound_of_eigenvalues(G: Gram, rounds: int = 20) -> Tensor:
    """max_i (G v)_i / v_i ≥ λ_max(G) for any v > 0 and G ≥ 0 (Collatz, Wielandt), near it after some power steps."""
    v = torch.ones_like(G[0])
    for _ in range(rounds):
        v = G @ v
        v = v / v.max().clamp(min=torch.finfo(G.dtype).tiny)
    return torch.where(v > 0, (G @ v) / v, 0).max()

"""Multiplicative steps."""

from typing import no_type_check

import numba
import numpy as np
import torch
from torch import Tensor

from nmf_nets.kernels.blocks import ROWS, UNROLLED, add_product, load, some_go_on, store
from nmf_nets.shapes import Codes, Gram
from nmf_nets.threads import use_threads


def multiplied(M: Tensor, P: Tensor, N: Tensor, exponent: float = 1.0) -> Tensor:
    """M ∘ (N / P)^exponent; where P = 0 nothing pulls, and M is left as it is.

    Where M is nearly nothing P is too, and the ratio overflows; a smaller one is still on the way to the minimum.
    """
    ratio = torch.where(P > 0, N / P, 1).clamp(max=torch.finfo(M.dtype).max)
    return M * (ratio if exponent == 1 else ratio**exponent)


def gram_steps(H: Codes, B: Codes, G: Gram, linear: float, repeats: int, progress: float) -> Codes:
    """H ← H ∘ B / (H G + linear), `repeats` times at most: a row until a step moves it by at most `progress` times what
    the first did.
    """
    if H.device.type != "cpu":
        return gram_steps_torch(H, B, G, linear, repeats, progress)
    use_threads(H.numel() * H.shape[1] * min(repeats, 10))
    stepped = torch.empty(H.shape, dtype=H.dtype)
    H, B, G = H.contiguous(), B.contiguous(), G.contiguous()
    _step_blocks(H.numpy(), B.numpy(), G.numpy(), linear, stepped.numpy(), repeats, progress * progress)
    return stepped


@numba.njit(parallel=True, nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
@no_type_check
def _step_blocks(H, B, G, linear, stepped, repeats, progress):
    n, r = H.shape
    padded = -(-r // UNROLLED) * UNROLLED
    gram = np.zeros((r, padded), G.dtype)
    gram[:, :r] = G
    for block in numba.prange(-(-n // ROWS)):
        start = block * ROWS
        h, b = np.zeros((padded, ROWS), H.dtype), np.zeros((r, ROWS), H.dtype)
        load(H, start, h)
        load(B, start, b)
        step_block(h, b, gram, G.dtype.type(linear), repeats, progress)
        store(h, start, stepped)


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
@no_type_check
def step_block(h, b, gram, linear, repeats, progress):
    r, most = len(b), np.finfo(h.dtype).max
    new = np.zeros_like(h)
    P = np.empty(ROWS, h.dtype)
    moved, first, going = np.empty(ROWS, h.dtype), np.empty(ROWS, h.dtype), np.ones(ROWS, np.bool_)
    for repeat in range(repeats):
        moved[:] = 0
        for k in range(r):
            P[:] = linear
            add_product(gram[k], h, P)
            for i in range(ROWS):
                ratio = min(b[k, i] / P[i], most) if P[i] > 0 else most / most
                step = h[k, i] * ratio - h[k, i]
                step = step if going[i] else 0 * linear
                new[k, i] = h[k, i] * ratio if going[i] else h[k, i]
                moved[i] += step * step
        h[:r] = new[:r]
        if repeats > 1 and not some_go_on(repeat, moved, progress, first, going):
            break


def gram_steps_torch(H: Codes, B: Codes, G: Gram, linear: float, repeats: int, progress: float) -> Codes:
    """The same steps, without a synchronisation of the device."""
    going = torch.ones_like(H[:, :1], dtype=torch.bool)
    first: Tensor | None = None
    for _ in range(repeats):
        new = torch.where(going, multiplied(H, H @ G + linear, B), H)
        moved = torch.linalg.vector_norm(new - H, dim=1, keepdim=True)
        first = moved if first is None else first
        going, H = moved > progress * first, new
    return H

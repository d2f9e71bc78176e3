"""A whole iteration, H and W, in one call: for data so small that calls cost more than the arithmetic."""

from typing import Literal, no_type_check

import numba
import numpy as np
import torch
from torch import Tensor

from nmf_nets.criterion import Terms
from nmf_nets.kernels.blocks import ROWS, UNROLLED, load, store
from nmf_nets.kernels.hals import sweep_block
from nmf_nets.kernels.multiplicative import step_block
from nmf_nets.matrix import DenseMatrix, Matrix

SMALL = 2**18
"""n m r of data for which one thread, without a library, is faster."""


def takes_one_call(X: Matrix, n_components: int, *terms: Terms) -> bool:
    small = isinstance(X, DenseMatrix) and X.device.type == "cpu" and X.weights is None
    return (
        small
        and X.values.numel() * n_components <= SMALL
        and all(each.free is None and not each.beyond_entries for each in terms)
    )


class Alternation:
    """Steps on H, then on W, of the Frobenius divergence: HALS `sweeps`, or it `multiplies`."""

    def __init__(
        self,
        step: Literal["sweeps", "multiplies"],
        X: Matrix,
        on_H: Terms,
        on_W: Terms,
        repeats_H: int,
        repeats_W: int,
        progress: float,
    ):
        self.X, self.Xt = X.values.contiguous().numpy(), X.T.values.contiguous().numpy()
        self.multiplies = step == "multiplies"
        number = self.X.dtype.type
        square = number(progress) * number(progress)
        self.rules = [
            (*map(number, terms.coefficients), repeats, square)
            for terms, repeats in ((on_H, repeats_H), (on_W, repeats_W))
        ]

    def __call__(self, H: Tensor, Wt: Tensor) -> tuple[Tensor, Tensor]:
        """The new H, and the new Wᵀ from it."""
        new_H, new_Wt = torch.empty_like(H), torch.empty_like(Wt)
        _alternate(self.multiplies, self.X, self.Xt, H.numpy(), Wt.numpy(), new_H.numpy(), new_Wt.numpy(), *self.rules)
        return new_H, new_Wt


@numba.njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def _alternate(multiplies, X, Xt, H, Wt, new_H, new_Wt, rule_H, rule_W):
    _half_step(multiplies, Xt, H, Wt, new_H, rule_H)
    _half_step(multiplies, X, Wt, new_H, new_Wt, rule_W)


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
@no_type_check
def _half_step(multiplies, Xt, H, Wt, new, rule):
    linear, ridge, repeats, progress = rule
    m, r = Wt.shape
    n, padded = len(H), -(-r // UNROLLED) * UNROLLED
    gram, W = np.zeros((r, padded), H.dtype), np.empty((r, m), H.dtype)
    for k in range(r):
        for j in range(m):
            W[k, j] = Wt[j, k]
        for l in range(k + 1):
            total = 0 * linear
            for j in range(m):
                total += W[k, j] * W[l, j]
            gram[k, l] = gram[l, k] = total
        gram[k, k] += ridge
    products = np.zeros((r, n), H.dtype)
    for k in range(r):
        for j in range(0, m - 1, 2):
            one, two = W[k, j], W[k, j + 1]
            for i in range(n):
                products[k, i] += one * Xt[j, i] + two * Xt[j + 1, i]
        if m % 2:
            for i in range(n):
                products[k, i] += W[k, m - 1] * Xt[m - 1, i]
    h, b = np.zeros((padded, ROWS), H.dtype), np.zeros((r, ROWS), H.dtype)
    for start in range(0, n, ROWS):
        load(H, start, h)
        width = min(ROWS, n - start)
        for k in range(r):
            for i in range(width):
                b[k, i] = products[k, start + i] - (0 * linear if multiplies else linear)
        if multiplies:
            step_block(h, b, gram, linear, repeats, progress)
        else:
            sweep_block(h, b, -gram, repeats, progress)
        store(h, start, new)

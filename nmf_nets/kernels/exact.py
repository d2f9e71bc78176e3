"""What the exact solutions of min_{H ≥ 0} ½⟨H G, H⟩ − ⟨B, H⟩ share.

They are found in s_k h_k, s_k = √G_kk, whose matrix C has a diagonal of one: no scale of a component is then another's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import no_type_check

import numba
import numpy as np
import torch
from torch import Tensor

from nmf_nets.kernels.cholesky import factorise
from nmf_nets.kernels.hals import hals_sweeps
from nmf_nets.shapes import Codes, Gram
from nmf_nets.threads import use_threads

ROWS = 32
"""In a block of the compiled loops, which follow each other on one thread."""

EXCHANGES = 5
"""Times r: that many a row at most."""

SWEEPS = 200
"""Of coordinate descent over a row that so many exchanges have not solved."""

TOLERANCE = 1e-12
"""Of a code or a slope that counts as zero, relative to the largest |b| of the row."""

SHIFT = 1e-10
"""Of the diagonal of a singular C."""


@dataclass(frozen=True)
class UnitDiagonal:
    """C = G / (s sᵀ) + ρ I with s = √diag G, in float64; ρ = 0 unless G is singular.

    ρ comes with b + ρ h, which makes it ½ ρ ‖h_new − h‖², a proximal step: it still descends, and an optimum stays.
    """

    scale: Tensor
    C: Gram
    shift: float

    def block(self, H: Codes, B: Codes) -> tuple[Codes, Codes]:
        """Rows of H and B in these units."""
        h = H.double() * self.scale
        return h, B.double() / self.scale + self.shift * h


def unit_diagonal(G: Gram) -> UnitDiagonal:
    scale = G.double().diagonal().sqrt()
    C = G.double() / (scale[:, None] * scale)
    shift = float(_shift(C.cpu().numpy(), SHIFT, 10 * torch.finfo(G.dtype).eps))
    return UnitDiagonal(scale, (C + shift * torch.eye(len(C), dtype=C.dtype, device=C.device)).contiguous(), shift)


@numba.njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def _shift(C, least, precision):
    """0, or the first of so much and ten times more that makes C positive; the precision is that of its entries.

    Pivots of a part of C, in the same order, are no smaller than those of the whole.
    """
    r = len(C)
    F, L = np.arange(r), np.empty((r, r))
    if factorise(C, F, 0, r, L) > precision * r:
        return 0.0
    shift = max(least, precision * r)
    while factorise(C + shift * np.eye(r), F, 0, r, L) <= precision * r:
        shift *= 10
    return shift


def where_alive(solve: Callable[[Codes, Codes, Gram], Codes], H: Codes, B: Codes, G: Gram) -> Codes:
    """The problem of the components with G_kk > 0, given the others, which stay."""
    alive = G.diagonal() > 0
    if bool(alive.all()):
        return solve(H, B, G)
    if not bool(alive.any()):
        return H.clone()
    live, dead = torch.nonzero(alive).flatten(), torch.nonzero(~alive).flatten()
    return H.index_copy(1, live, solve(H[:, live], B[:, live] - H[:, dead] @ G[dead][:, live], G[live][:, live]))


def solved_once(
    blocks: Callable[..., None],
    twin: Callable[[Codes, Codes, Gram], Codes],
    H: Codes,
    B: Codes,
    G: Gram,
    repeats: int,
) -> Codes:
    """By the compiled loop over blocks of rows, by its twin on other devices; not at all for no repeats."""

    def compiled(H: Codes, B: Codes, G: Gram) -> Codes:
        use_threads(H.numel() * len(G) ** 2)
        problem, most = unit_diagonal(G), EXCHANGES * len(G)
        codes = torch.empty(H.shape, dtype=H.dtype)
        H, B = H.contiguous(), B.contiguous()  # one compiled form
        blocks(H.numpy(), B.numpy(), problem.C.numpy(), problem.scale.numpy(), problem.shift, most, codes.numpy())
        return codes

    return H.clone() if repeats == 0 else where_alive(compiled if H.device.type == "cpu" else twin, H, B, G)


@numba.njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def load_row(H, B, i, scale, shift, h, b):
    """Row i in units of C; whether any b is positive: otherwise, as C ≥ 0, the solution is 0."""
    pulled = False
    for k in range(len(h)):
        pulled |= B[i, k] > 0
        h[k] = H[i, k] * scale[k]
        b[k] = B[i, k] / scale[k] + shift * h[k]
    return pulled


# The torch twins take rows in blocks, with a matrix for each row.


def in_blocks(
    solve: Callable[[UnitDiagonal, Codes, Codes], Codes], H: Codes, B: Codes, G: Gram, entries: int = 2**22
) -> Codes:
    """Blocks of rows with so many entries of r × r matrices; rows without a positive b become 0."""
    problem = unit_diagonal(G)
    height = max(1, entries // len(G) ** 2)
    parts = []
    for rows, products in zip(H.split(height), B.split(height), strict=True):
        h, b = problem.block(rows, products)
        solved = torch.where((products > 0).any(1, keepdim=True), solve(problem, h, b), 0)
        parts.append((solved / problem.scale).to(H.dtype))
    return torch.cat(parts)


def solved_on(passive: Tensor, C: Gram, b: Codes) -> Codes:
    """h_F = C_FF⁻¹ b_F and 0 elsewhere, F the passive ones of each row."""
    mask = passive.to(C.dtype)
    return torch.linalg.solve(mask[:, :, None] * mask[:, None, :] * C + torch.diag_embed(1 - mask), mask * b)


def tolerance(b: Codes) -> Tensor:
    """Of shape (n_samples, 1)."""
    return TOLERANCE * b.abs().amax(1, keepdim=True)


def swept_where(unsolved: Tensor, start: Codes, b: Codes, C: Gram, h: Codes) -> Codes:
    """h, and coordinate descent from `start` in the rows that are not solved."""
    if not bool(unsolved.any()):
        return h
    return torch.where(unsolved[:, None], hals_sweeps(start, b, C, SWEEPS, 0.0), h)

"""Hierarchical alternating least squares: coordinate descent on the Gram matrices."""

from nmf_nets.cold_start import least_squares_codes
from nmf_nets.divergences.base import Divergence
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.kernels.hals import hals_sweeps
from nmf_nets.matrix import Matrix
from nmf_nets.shapes import Codes, Components
from nmf_nets.updates.base import Update


class HALS(Update):
    """h_k ← [h_k + (B_k − H G_k) / G_kk]₊ for every k, B = X Wᵀ, G = W Wᵀ; monotone, and it revives zeros.

    Cold start: damped least squares, cut at zero.
    Source: Cichocki & Phan (2009).
    """

    def lowers(self, divergence: Divergence) -> bool:
        return isinstance(divergence, Frobenius)

    def __call__(self, X: Matrix, H: Codes | None, W: Components, repeats: int = 1, progress: float = 0.0) -> Codes:
        B, G = X @ W.T, W @ W.T
        return hals_sweeps(least_squares_codes(B, G) if H is None else H, B, G, repeats, progress)

"""Damped Newton steps for the Kullback–Leibler divergence."""

from nmf_nets.cold_start import lifted_codes
from nmf_nets.divergences.base import Divergence, floor
from nmf_nets.divergences.kullback_leibler import KullbackLeibler
from nmf_nets.kernels.scalar_newton import newton_sweeps
from nmf_nets.matrix import Matrix
from nmf_nets.shapes import Codes, Components
from nmf_nets.updates.base import Update


class ScalarNewton(Update):
    """One damped Newton step on each entry of H in turn, on the non-zeros of X alone; monotone, and it revives zeros.

    Cold start: lifted least squares.
    """

    def lowers(self, divergence: Divergence) -> bool:
        return isinstance(divergence, KullbackLeibler)

    def __call__(self, X: Matrix, H: Codes | None, W: Components, repeats: int = 1, progress: float = 0.0) -> Codes:
        return newton_sweeps(X, lifted_codes(X, W) if H is None else H, W, floor(X), repeats, progress)

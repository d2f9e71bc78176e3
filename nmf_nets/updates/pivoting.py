"""Alternating non-negative least squares by block principal pivoting."""

from nmf_nets.criterion import PLAIN, Terms
from nmf_nets.divergences.base import Divergence
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.half_steps.base import HalfStep
from nmf_nets.half_steps.gram import gram_half_step
from nmf_nets.kernels.pivoting import pivoted
from nmf_nets.matrix import Matrix
from nmf_nets.shapes import Components
from nmf_nets.updates.base import Update


class Pivoting(Update):
    """H = argmin_{H ≥ 0} ½ ‖X − H W‖², each row by block principal pivoting: exact, so once is enough.

    Source: Kim & Park (2011).
    """

    descends = True

    def lowers(self, divergence: Divergence) -> bool:
        return isinstance(divergence, Frobenius)

    def on(self, X: Matrix, W: Components, terms: Terms = PLAIN) -> HalfStep:
        return gram_half_step(pivoted, X, W, terms)

"""Alternating non-negative least squares by the active-set method."""

from nmf_nets.criterion import PLAIN, Terms
from nmf_nets.divergences.base import Divergence
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.half_steps.base import HalfStep
from nmf_nets.half_steps.gram import gram_half_step
from nmf_nets.kernels.active_set import active_set
from nmf_nets.matrix import Matrix
from nmf_nets.shapes import Components
from nmf_nets.updates.base import Update


class ActiveSet(Update):
    """H = argmin_{H ≥ 0} ½ ‖X − H W‖², each row by an active set: exact, so once is enough.

    Source: Lawson & Hanson (1974); Kim & Park (2008).
    """

    descends = True

    def lowers(self, divergence: Divergence) -> bool:
        return isinstance(divergence, Frobenius)

    def on(self, X: Matrix, W: Components, terms: Terms = PLAIN) -> HalfStep:
        return gram_half_step(active_set, X, W, terms)

"""Alternating least squares, truncated."""

from nmf_nets.shapes import Codes, Gram
from nmf_nets.updates.base import GramUpdate
from nmf_nets.updates.unconstrained import Unconstrained


class LeastSquares(GramUpdate):
    """H = [B G⁺]₊, B = X Wᵀ, G = W Wᵀ. Not monotone, and it may cycle: a solver keeps the best iterate. Refuses
    weights, as imputing what is missing then need not come to an end.

    Source: Paatero & Tapper (1994); Berry et al. (2007).
    """

    descends = takes_weights = False

    @staticmethod
    def solve(H: Codes, B: Codes, G: Gram, repeats: int, progress: float) -> Codes:
        return Unconstrained.solve(H, B, G, repeats, progress).clamp(min=0)

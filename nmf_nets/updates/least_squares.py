"""Alternating least squares, truncated."""

from nmf_nets.criterion import PLAIN, Terms
from nmf_nets.matrix import Matrix
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Codes, Gram
from nmf_nets.updates.base import GramUpdate
from nmf_nets.updates.unconstrained import Unconstrained


class LeastSquares(GramUpdate):
    """H = [B G⁺]₊, B = X Wᵀ, G = W Wᵀ. Not monotone, and it may cycle: a solver keeps the best iterate. Refuses
    weights, as imputing what is missing then need not come to an end.

    Source: Paatero & Tapper (1994); Berry et al. (2007).
    """

    descends = False

    def refuse_data(self, X: Matrix, terms: Terms = PLAIN) -> None:
        if X.weights is not None:
            raise Refusal("least squares, cut at zero, takes no weights; use hals or pivoting, which do.")

    @staticmethod
    def solve(H: Codes, B: Codes, G: Gram, repeats: int, progress: float) -> Codes:
        return Unconstrained.solve(H, B, G, repeats, progress).clamp(min=0)

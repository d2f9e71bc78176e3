"""The multiplicative step for X and W of any sign."""

from nmf_nets.criterion import Terms
from nmf_nets.group import Group
from nmf_nets.half_steps.base import HalfStep
from nmf_nets.half_steps.gram import GramHalfStep
from nmf_nets.kernels.multiplicative import multiplied
from nmf_nets.matrix import Matrix
from nmf_nets.shapes import Codes, Components, Gram
from nmf_nets.updates.base import GramUpdate

LIFT = 1e-3
"""Of the mean cold code, so that ratios can move what would be zero."""


class SemiMultiplicative(GramUpdate):
    """H ← H ∘ (B⁺ + H G⁻) / (B⁻ + H G⁺) with B = X Wᵀ = B⁺ − B⁻, G = W Wᵀ = G⁺ − G⁻; monotone. Refuses weights.

    Without the root of its source: G is positive semidefinite, so that exponent 1 never raises ½ ‖X − H W‖² either and
    takes longer steps (derived; Penalty.psd). Where X and W are non-negative this is Lee and Seung's step.
    An exact zero stays zero: start strictly positive. Cold start: lifted least squares.
    Source: Ding, Li & Jordan (2010).
    """

    takes_weights = False

    def half_step(self, X: Matrix, W: Components, terms: Terms, group: Group) -> HalfStep:
        return GramHalfStep(self.solve, X, W, terms, group, lift=LIFT)

    @staticmethod
    def solve(H: Codes, B: Codes, G: Gram, repeats: int, progress: float) -> Codes:
        for _ in range(repeats):
            P, N = (-B).clamp(min=0) + H @ G.clamp(min=0), B.clamp(min=0) + H @ (-G).clamp(min=0)
            H = multiplied(H, P, N, 1.0)
        return H

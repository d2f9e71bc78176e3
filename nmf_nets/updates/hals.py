"""Hierarchical alternating least squares: coordinate descent on the Gram matrices."""

from nmf_nets.criterion import Terms
from nmf_nets.effort import Effort
from nmf_nets.extrapolation import Extrapolation
from nmf_nets.half_steps.base import HalfStep
from nmf_nets.half_steps.gram import GramHalfStep
from nmf_nets.half_steps.weighted_squares import WeightedSquares
from nmf_nets.kernels.hals import hals_sweeps
from nmf_nets.matrix import Matrix
from nmf_nets.penalties.base import EntryPenalty, RowPenalty
from nmf_nets.shapes import Components
from nmf_nets.updates.base import GramUpdate


class HALS(GramUpdate):
    """h_k ← [h_k + (B_k − H G_k) / G_kk]₊ for every k, B = X Wᵀ, G = W Wᵀ; monotone, and it revives zeros.

    With weights the same coordinate step on the entries that were observed.
    Cold start: damped least squares, cut at zero.
    Source: Cichocki & Phan (2009); Ho (2008) for weights.
    """

    in_one_call = "sweeps"
    takes = RowPenalty
    effort = Effort(repeats=None, alpha=0.5, progress=0.3)
    extrapolation = Extrapolation()
    solve = staticmethod(hals_sweeps)

    def half_step(self, X: Matrix, W: Components, terms: Terms) -> HalfStep:
        if X.weights is None:
            return GramHalfStep(self.solve, X, W, terms)
        terms.refuse(EntryPenalty, "update HALS with weights")
        return WeightedSquares(X, W, terms)

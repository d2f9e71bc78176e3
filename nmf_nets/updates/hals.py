"""Hierarchical alternating least squares: coordinate descent on the Gram matrices."""

import torch

from nmf_nets.criterion import PLAIN, Terms
from nmf_nets.effort import Effort
from nmf_nets.extrapolation import Extrapolation
from nmf_nets.group import Group
from nmf_nets.half_steps.base import HalfStep
from nmf_nets.half_steps.gram import GramHalfStep
from nmf_nets.half_steps.weighted_squares import WeightedSquares
from nmf_nets.kernels.hals import hals_sweeps
from nmf_nets.matrix import Matrix
from nmf_nets.penalties.base import EntryPenalty, RowPenalty
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Codes, Components, Gram
from nmf_nets.updates.base import GramUpdate


class HALS(GramUpdate):
    """h_k ← [h_k + (B_k − H G_k) / G_kk]₊ for every k, B = X Wᵀ, G = W Wᵀ; monotone, and it revives zeros.

    With weights the same coordinate step on the entries that were observed.
    order: draws an order of the components for each half-step; without, they come as they stand. Refuses weights then.
    Cold start: damped least squares, cut at zero.
    Source: Cichocki & Phan (2009); Ho (2008) for weights.
    """

    in_one_call = "sweeps"
    takes = RowPenalty
    effort = Effort(repeats=None, alpha=0.5, progress=0.3)
    extrapolation = Extrapolation()
    solve = staticmethod(hals_sweeps)

    def __init__(self, order: torch.Generator | None = None):
        self.order = order
        if order is not None:
            self.in_one_call = None

    def refuse_data(self, X: Matrix, terms: Terms = PLAIN) -> None:
        if X.weights is not None and self.order is not None:
            raise Refusal("HALS takes components in a random order for data without weights alone; give no order.")
        if X.weights is not None:
            terms.refuse(EntryPenalty, "update HALS with weights")

    def half_step(self, X: Matrix, W: Components, terms: Terms, group: Group) -> HalfStep:
        if X.weights is not None:
            return WeightedSquares(X, W, terms, group)
        return GramHalfStep(self.solve if self.order is None else self._in_any_order, X, W, terms, group)

    def _in_any_order(self, H: Codes, B: Codes, G: Gram, repeats: int, progress: float) -> Codes:
        order = torch.randperm(len(G), generator=self.order).to(H.device)
        swept = hals_sweeps(H[:, order], B[:, order], G[order][:, order], repeats, progress)
        return swept[:, order.argsort()]

"""Projected gradients onto factors of a given sparseness."""

import torch

from nmf_nets.constraints.hoyer import refuse_sparseness, with_sparseness
from nmf_nets.kernels.curvature import curvature_bound
from nmf_nets.shapes import Codes, Gram, Scalar
from nmf_nets.updates.base import GramUpdate

LONGEST, TRIES = 8.0, 20
"""The first step in units of 1 / λ_max, and how often it is halved."""


class Hoyer(GramUpdate):
    """H ← the projection of H − μ (H G − B) on columns of that sparseness, with the longest μ of LONGEST / λ_max, its
    half, … that lowers D; on W, whose rows are the columns then, Hoyer's step.

    A start without that sparseness gets it first, which may raise D; no step after it does.
    Source: Hoyer (2004).
    """

    def __init__(self, sparseness: float):
        refuse_sparseness(sparseness)
        self.sparseness = sparseness

    def solve(self, H: Codes, B: Codes, G: Gram, repeats: int, progress: float) -> Codes:  # pyright: ignore[reportIncompatibleMethodOverride]
        H, longest = self._projected(H), LONGEST / curvature_bound(G)
        for _ in range(repeats):
            slope, value, found = H @ G - B, _value(H, B, G), torch.zeros_like(longest, dtype=torch.bool)
            best = H
            for halvings in range(TRIES):
                tried = self._projected(H - longest * 0.5**halvings * slope)
                lower = ~found & (_value(tried, B, G) < value)
                best, found = torch.where(lower, tried, best), found | lower
            H = best
        return H

    def _projected(self, H: Codes) -> Codes:
        return with_sparseness(H.T, self.sparseness).T.contiguous()


def _value(H: Codes, B: Codes, G: Gram) -> Scalar:
    return 0.5 * torch.sum((H @ G) * H, dtype=torch.float64) - torch.sum(B * H, dtype=torch.float64)

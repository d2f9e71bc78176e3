"""Codes that are seen in later rows as well."""

import torch

from nmf_nets.cold_start import correlated_codes
from nmf_nets.criterion import Terms
from nmf_nets.divergences.base import Divergence
from nmf_nets.factorization import Factorization
from nmf_nets.half_steps.base import HalfStep
from nmf_nets.kernels.multiplicative import multiplied
from nmf_nets.lags import delayed, gathered
from nmf_nets.matrix import Matrix
from nmf_nets.shapes import Codes, Components, Scalar

FASTEST = 10.0
"""The most that momentum multiplies a code by before its weight."""


class CoupledSteps(HalfStep):
    """min_{H ≥ 0} D(X | [S_0 H, S_1 H, …] W) + R([S_0 H, S_1 H, …]), for any divergence, weights and penalties.

    A step is multiplicative, H ← G ∘ (Σ_τ S_−τ N_τ / Σ_τ S_−τ P_τ)^γ, from G = H ∘ (H / H_before)^b: momentum in the
    logarithm, b = t / (t + 3) as with Nesterov, and t from 0 again when a step turns back. The first step is the
    classical one, which never raises D; later ones may (heuristic), but thirty of them come as near to the least D as a
    hundred or more without momentum.
    progress: of the codes as a whole.
    """

    def __init__(self, divergence: Divergence, X: Matrix, W: Components, lags: int, terms: Terms):
        self.divergence, self.X, self.W, self.lags, self.terms = divergence, X, W, lags, terms
        self.exponent = terms.exponent(divergence)

    def codes(self, H: Codes | None, repeats: int = 1, progress: float = 0.0) -> Codes:
        before = H = correlated_codes(self.X, self.W, self.lags) if H is None else H
        t, first = H.new_zeros(()), None
        for repeat in range(repeats):
            ahead = torch.where(before > 0, H / before, 1).clamp(max=FASTEST)
            G = H * ahead ** (t / (t + 3))
            new = self._step(G)
            moved = torch.linalg.vector_norm(new - H)
            first = moved if first is None else first
            if repeat % 10 == 9 and bool(moved <= progress * first):  # seldom, as it waits for the device
                return new
            turned = ((G - new) * (new - H)).sum() > 0
            before, H, t = torch.where(turned, new, H), new, torch.where(turned, 0, t + 1)
        return H

    def _step(self, H: Codes) -> Codes:
        spread = delayed(H, self.lags)
        P, N = self.terms.added_to(*self.divergence.split_gradient(self.X, spread, self.W), spread)
        P, N = (gathered(part.expand_as(spread), self.lags) for part in (P, N))
        return multiplied(H, P, N, self.exponent)

    def value(self, H: Codes) -> Scalar:
        spread = delayed(H, self.lags)
        return self.divergence.total(self.X, Factorization(spread, self.W)) + self.terms.value(spread)

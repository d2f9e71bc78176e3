"""Lee and Seung's step, for every β."""

import math

import torch

from nmf_nets.cold_start import flat_codes, lifted_codes
from nmf_nets.criterion import Terms
from nmf_nets.divergences.base import Divergence
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.factorization import Factorization
from nmf_nets.group import Group
from nmf_nets.half_steps.base import HalfStep
from nmf_nets.half_steps.gram import gram_value
from nmf_nets.kernels.multiplicative import gram_steps, multiplied
from nmf_nets.matrix import Matrix
from nmf_nets.penalties.base import Penalty
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Codes, Components, Scalar
from nmf_nets.updates.base import Update


class Multiplicative(Update):
    """H ← H ∘ ((N + R⁻) / (P + R⁺))^γ, with P − N the gradient of D and R⁺ − R⁻ that of any penalties.

    Monotone, also with weights.

    γ is 1 / (2 − β) for β < 1, 1 / (β − 1) for β > 2 and 1 between, less with most penalties (Terms.exponent).
    An exact zero stays zero: start strictly positive. Cold start: lifted least squares, flat codes with weights.
    Source: Lee & Seung (2001), Févotte & Idier (2011); the exponent with penalties is derived (Terms.exponent).
    """

    descends, takes = True, Penalty

    def __init__(self, divergence: Divergence):
        self.divergence = divergence
        self.in_one_call = "multiplies" if isinstance(divergence, Frobenius) else None

    def lowers(self, divergence: Divergence) -> bool:
        return divergence.beta == self.divergence.beta

    def refuse_codes(self, X: Matrix, H: Codes, W: Components) -> None:
        """With β < 1, N falls faster than X̂ grows, and where it underflows codes would be zero for ever."""
        there, made = float(X.mean), float(H.double().sum(0) @ W.double().sum(1)) / (X.shape[0] * X.shape[1])
        if self.divergence.beta < 1 and 0 < there < made * math.sqrt(torch.finfo(X.dtype).tiny):
            raise Refusal(
                f"H W has the mean {made:.3g}, but X {there:.3g}: {X.dtype} does not hold a step with "
                f"β = {self.divergence.beta:g} from there; scale H down, or leave it out."
            )

    def half_step(self, X: Matrix, W: Components, terms: Terms, group: Group) -> HalfStep:
        entries_alone = terms.free is None and not terms.beyond_entries
        if isinstance(self.divergence, Frobenius) and X.weights is None and entries_alone:
            return GramSteps(X, W, terms, group)
        return SplitSteps(self.divergence, X, W, terms, group)


class GramSteps(HalfStep):
    """For the Frobenius divergence, from the products that HALS takes: P = H (W Wᵀ + λ₂ I) + λ₁, N = X Wᵀ."""

    def __init__(self, X: Matrix, W: Components, terms: Terms, group: Group):
        linear, ridge = terms.coefficients
        self.X, self.W, self.linear, self.terms, self.group = X, W, linear, terms, group
        self.B, self.G = group.summed(X @ W.T, W @ W.T)
        if ridge:
            self.G = self.G + ridge * torch.eye(len(self.G), dtype=self.G.dtype, device=self.G.device)

    def codes(self, H: Codes | None, repeats: int = 1, progress: float = 0.0) -> Codes:
        H = lifted_codes(self.X, self.W) if H is None else H
        return gram_steps(H, self.B, self.G, self.linear, repeats, progress)

    def value(self, H: Codes) -> Scalar:
        (square_norm,) = self.group.summed(self.X.square_norm)
        return gram_value(square_norm, self.B - self.linear, self.G, H)


class SplitSteps(HalfStep):
    """For any divergence, weights, penalties and frozen components."""

    def __init__(self, divergence: Divergence, X: Matrix, W: Components, terms: Terms, group: Group):
        self.divergence, self.X, self.W, self.terms, self.group = divergence, X, W, terms, group
        self.exponent = terms.exponent(divergence)

    def codes(self, H: Codes | None, repeats: int = 1, progress: float = 0.0) -> Codes:
        X, W, frozen = self.X, self.W, self.terms.frozen
        if H is None:
            H = lifted_codes(X, W) if X.weights is None else flat_codes(X, W)
        first: torch.Tensor | None = None
        going = torch.ones_like(H[:, :1], dtype=torch.bool)
        for repeat in range(repeats):
            if repeat % 20 == 19 and not bool(going.any()):  # seldom, as it waits for the device
                break
            P, N = self.group.summed(*self.divergence.split_gradient(X, H, W))
            new = multiplied(H, *self.terms.added_to(P, N, H), self.exponent)
            new = new if frozen is None else torch.where(frozen, H, new)
            if repeats > 1:
                new = torch.where(going, new, H)
                moved = torch.linalg.vector_norm(new - H, dim=1, keepdim=True)
                first = moved if first is None else first
                going = moved > progress * first
            H = new
        return H

    def value(self, H: Codes) -> Scalar:
        (value,) = self.group.summed(self.divergence.total(self.X, Factorization(H, self.W)))
        return value + self.terms.value(H)

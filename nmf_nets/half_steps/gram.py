"""What the half-steps of the Frobenius divergence share: they need B = X Wᵀ and G = W Wᵀ alone."""

from collections.abc import Callable

import torch

from nmf_nets.cold_start import least_squares_codes
from nmf_nets.criterion import Terms
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.factorization import Factorization
from nmf_nets.group import ALONE, Group
from nmf_nets.half_steps.base import HalfStep
from nmf_nets.matrix import Matrix
from nmf_nets.penalties.base import RowPenalty
from nmf_nets.shapes import Codes, Components, Gram, Scalar

Solve = Callable[[Codes, Codes, Gram, int, float], Codes]
"""Steps towards min_{H ≥ 0} ½ ⟨H G, H⟩ − ⟨B, H⟩ from H, for (H, B, G, repeats, progress)."""


def gram_half_step(solve: Solve, X: Matrix, W: Components, terms: Terms, group: Group = ALONE) -> HalfStep:
    if X.weights is None:
        return GramHalfStep(solve, X, W, terms, group)
    return ImputedHalfStep(solve, X, W, terms, group)


class GramHalfStep(HalfStep):
    """½ ‖X − H W‖² + λ₁ Σ h + ½ λ₂ ‖H‖² = ½ ⟨H (G + λ₂ I), H⟩ − ⟨B − λ₁, H⟩ + const.

    lift: the least cold code, in units of the mean, for steps that cannot leave zero.
    """

    def __init__(self, solve: Solve, X: Matrix, W: Components, terms: Terms, group: Group = ALONE, lift: float = 0.0):
        self.solve, self.X, self.terms, self.group, self.lift = solve, X, terms, group, lift
        B, G = group.summed(X @ W.T, W @ W.T)
        self.B, self.G = with_entries(B, G, terms)

    def codes(self, H: Codes | None, repeats: int = 1, progress: float = 0.0) -> Codes:
        if H is None:
            assert self.terms.frozen is None, "components that stay have to be given"
            H = least_squares_codes(self.B, self.G)
            H = torch.maximum(H, self.lift * H.mean()) if self.lift else H
        B, G = with_rows(self.B, self.G, self.terms, H)
        return solved_where_free(self.solve, H, B, G, self.terms, repeats, progress)

    def value(self, H: Codes) -> Scalar:
        (square_norm,) = self.group.summed(self.X.square_norm)
        value = gram_value(square_norm, self.B, self.G, H)
        return value + sum(penalty.value(H) for penalty in self.terms.beyond_entries)


class ImputedHalfStep(HalfStep):
    """With weights, on X̃ = X̂ + (V / v) ∘ (X − X̂), v = max V: never above the weighted D, and equal to it at H.

    Expectation–maximisation; each of the repeats imputes anew. Nothing is dense that V is not.
    """

    def __init__(self, solve: Solve, X: Matrix, W: Components, terms: Terms, group: Group = ALONE):
        self.solve, self.X, self.W, self.terms, self.group = solve, X, W, terms, group
        self.most = torch.cat([X.given_weights.flatten(), X.values.new_zeros(1)]).max()
        group.max_(self.most)
        self.G = self.most * group.summed(W @ W.T)[0]

    def codes(self, H: Codes | None, repeats: int = 1, progress: float = 0.0) -> Codes:
        X, W = self.X, self.W
        if H is None:
            (B,) = self.group.summed(X.with_values(X.given_weights * X.values) @ W.T)
            H = least_squares_codes(B, self.G)
        first: torch.Tensor | None = None
        going = torch.ones_like(H[:, :1], dtype=torch.bool)
        for repeat in range(repeats):
            if repeat % 20 == 19 and not bool(going.any()):  # seldom, as it waits for the device
                break
            residual = X.with_values(X.given_weights * (X.values - X.sample(H, W)))
            (pull,) = self.group.summed(residual @ W.T)
            B, G = with_rows(*with_entries(pull + H @ self.G, self.G, self.terms), self.terms, H)
            new = torch.where(going, solved_where_free(self.solve, H, B, G, self.terms, 1, 0.0), H)
            moved = torch.linalg.vector_norm(new - H, dim=1, keepdim=True)
            first = moved if first is None else first
            going, H = moved > progress * first, new
        return H

    def value(self, H: Codes) -> Scalar:
        (value,) = self.group.summed(Frobenius().total(self.X, Factorization(H, self.W)))
        return value + self.terms.value(H)


def gram_value(square_norm: Scalar, B: Codes, G: Gram, H: Codes) -> Scalar:
    """½ ‖X‖² + ½ ⟨H G, H⟩ − ⟨B, H⟩: to the rounding of the products, relative to ‖X‖²."""
    quadratic = torch.sum(G * (H.T @ H), dtype=torch.float64)
    linear = (B * H).sum(1).sum(dtype=torch.float64)  # rows in the dtype of X: a copy of all in float64 would cost more
    return 0.5 * (square_norm + quadratic) - linear


def with_entries(B: Codes, G: Gram, terms: Terms) -> tuple[Codes, Gram]:
    """B − λ₁, G + λ₂ I, for the penalties that are sums over entries."""
    linear, ridge = terms.coefficients
    if linear:
        B = B - linear
    return B, G + ridge * torch.eye(len(G), dtype=G.dtype, device=G.device) if ridge else G


def with_rows(B: Codes, G: Gram, terms: Terms, H: Codes) -> tuple[Codes, Gram]:
    """B − λ, G + Q, for the other penalties, by the quadratic that touches them at H."""
    for penalty in terms.beyond_entries:
        assert isinstance(penalty, RowPenalty), "other penalties are refused by Update.takes"
        linear, Q = penalty.quadratic(H)
        B, G = B - linear, G + Q
    return B, G


def solved_where_free(solve: Solve, H: Codes, B: Codes, G: Gram, terms: Terms, repeats: int, progress: float) -> Codes:
    """The problem of the free components, given the others: B_f − H_c G_cf, G_ff."""
    free, held = terms.free, terms.held
    if free is None or held is None:
        return solve(H, B, G, repeats, progress)
    if terms.fixed:
        return H
    return H.index_copy(
        1, free, solve(H[:, free], B[:, free] - H[:, held] @ G[held][:, free], G[free][:, free], repeats, progress)
    )

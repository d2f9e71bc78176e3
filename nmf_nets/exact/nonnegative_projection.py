"""The successive non-negative projection algorithm (SNPA)."""

import torch

from nmf_nets.exact.base import Selection, exact_codes, with_one_more
from nmf_nets.kernels.pivoting import pivoted
from nmf_nets.matrix import Matrix
from nmf_nets.shapes import Codes, Gram, Rows

STEPS = 100
"""Of the search for a multiplier at most; some ten are enough."""

ROUNDING = 1e-12
"""Of a sum of codes that is 1."""


def nonnegative_projection(X: Matrix, n_components: int) -> Rows:
    """Again and again j = argmax_i min ‖x_i − h X[J]‖ over h ≥ 0, Σ h ≤ 1, and J ← J ∪ j; rows of X have unit sum.

    Finds J of X = H X[J] exactly also where X[J] has not full row rank, as long as none of its rows is made of the
    others, and is more robust than successive projection where it nearly has not. X is only multiplied.
    Raises Refusal where no residual is left, and for weights.
    Source: Gillis (2014).
    """
    selection = Selection(X, n_components)
    H, residuals = selection.B, selection.norms
    while not selection.complete:
        selection.take(selection.farthest(residuals))
        H = capped_codes(with_one_more(H), selection.B, selection.G)
        residuals = selection.residuals(H)
    return selection.rows


def capped_codes(H: Codes, B: Codes, G: Gram) -> Codes:
    """argmin ½⟨H G, H⟩ − ⟨B, H⟩ over H ≥ 0 with Σ_k h_k ≤ 1 in each row, exactly.

    It is the optimum without the cap for b − μ, with the least μ ≥ 0 that keeps the cap.
    """
    H = exact_codes(H, B, G)
    over = torch.nonzero(H.sum(1) > 1 + ROUNDING)[:, 0]
    return H.index_copy(0, over, _on_the_cap(H[over], B[over], G)) if len(over) else H


def _on_the_cap(H: Codes, B: Codes, G: Gram) -> Codes:
    """Where Σ h > 1 for μ = 0. Σ h falls with μ and is piecewise linear: a secant in a bracket finds 1.

    An end of the bracket that has stayed counts half (Illinois), or the other would hardly move.
    """
    low, high = torch.zeros_like(B[:, :1]), B.amax(1, keepdim=True)
    above, below = H.sum(1, keepdim=True) - 1, torch.full_like(low, -1)
    rose = torch.zeros_like(low)
    for _ in range(STEPS):
        mu = low + (high - low) * above / (above - below)
        H = pivoted(H, B - mu, G, 1, 0.0)
        excess = H.sum(1, keepdim=True) - 1
        if bool((excess.abs() <= ROUNDING).all()):
            break
        up = excess > 0
        above = torch.where(up, excess, torch.where(rose < 0, above / 2, above))
        below = torch.where(up, torch.where(rose > 0, below / 2, below), excess)
        low, high = torch.where(up, mu, low), torch.where(up, high, mu)
        rose = torch.where(up, 1.0, -1.0)
    return H / H.sum(1, keepdim=True)

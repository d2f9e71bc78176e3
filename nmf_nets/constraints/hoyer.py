"""Components of a given sparseness."""

import math

import torch
from torch import Tensor

from nmf_nets.constraints.base import Constraint
from nmf_nets.division import divisor
from nmf_nets.refusal import Refusal

TIE = 1e-14
"""Between one of several equal entries and the next, in units of the largest."""

ROUNDING = 1e-12
"""An entry of a unit row that is no larger is a zero."""


class Hoyer(Constraint):
    """w = θ, then every row θ_k ← the nearest one ≥ 0 of the same norm with sparseness s after every step.

    sparseness: (√m − ‖w‖₁ / ‖w‖₂) / (√m − 1) of each row, from 0, all entries equal, to 1, a single one.
    Source: Hoyer (2004); the projection by one sort is derived.
    """

    def __init__(self, sparseness: float):
        refuse_sparseness(sparseness)
        self.sparseness = sparseness

    def forward(self, theta: Tensor) -> Tensor:
        return theta

    def right_inverse(self, W: Tensor) -> Tensor:
        return with_sparseness(W, self.sparseness)

    def project_(self, theta: Tensor) -> None:
        with torch.no_grad():
            theta.copy_(with_sparseness(theta, self.sparseness))


def refuse_sparseness(sparseness: object) -> None:
    if not (isinstance(sparseness, int | float) and 0 <= sparseness <= 1):
        raise Refusal(
            f"sparseness is {sparseness!r}, but must be from 0, where all entries are equal, to 1, where one is left."
        )


def with_sparseness(rows: Tensor, sparseness: float) -> Tensor:
    """The nearest rows ≥ 0 of that sparseness and of the norm of [row]₊; where that is zero, zeros.

    A row y goes to c [y − t]₊. With p entries left, of mean y̅ and sum of squares v about it, and τ = √m − (√m − 1) s,
    ‖z‖₁ = τ ‖z‖₂ gives y̅ − t = τ √(v / (p (p − τ²))), for the p with y_(p+1) ≤ t < y_(p). Among equal entries, of
    which some have to go, the first ones stay.
    """
    m = rows.shape[1]
    positive = rows.clamp(min=0)
    norm = torch.linalg.vector_norm(positive, dim=1, keepdim=True)
    if m == 1 or sparseness == 0:
        return (norm / math.sqrt(m)).expand(rows.shape).clone()
    tau = math.sqrt(m) - (math.sqrt(m) - 1) * sparseness
    size = divisor(rows.double().abs().amax(1, keepdim=True))
    below = (rows.double().amax(1, keepdim=True) - rows.double()) / size  # the largest, which may all be equal
    below = below + TIE * torch.arange(m, dtype=below.dtype, device=below.device)
    ordered = below.sort(1).values
    p = torch.arange(1, m + 1, dtype=below.dtype, device=below.device)
    spread = (ordered.square().cumsum(1) - ordered.cumsum(1).square() / p).clamp(min=0)
    t = ordered.cumsum(1) / p + torch.where(p > tau**2, tau * (spread / (p * (p - tau**2)).abs()).sqrt(), torch.inf)
    fits = (t > ordered) & torch.isfinite(t)
    which = torch.where(fits, p, 0).argmax(1, keepdim=True)  # the last, also where rounding blurs y_(p+1) ≤ t
    z = (torch.where(fits.any(1, keepdim=True), t.gather(1, which), ordered[:, 1:2]) - below).clamp(min=0)
    z = z / torch.linalg.vector_norm(z, dim=1, keepdim=True)
    return torch.where(z > ROUNDING, z, 0).to(rows.dtype) * norm

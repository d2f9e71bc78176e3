"""One component below what others leave of the data, by multipliers."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from nmf_nets.division import divisor, ratio
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import DenseMatrix, Matrix
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Data, Scalar
from nmf_nets.spectrum import truncated_svd

THRESHOLDS = (0.0, *(10 ** (-4 + 0.3 * step) for step in range(14)))
"""Of the largest entry of a factor: what lies below may be given up to stay below the residual."""


class Approach(NamedTuple):
    """On the way to one component: h (n × 1), w (1 × m), and the multipliers Λ ≥ 0 of h wᵀ ≤ R."""

    component: Factorization
    multipliers: Data


def begun(R: Data) -> Approach:
    """From the leading singular pair of R ≥ 0, which is non-negative as well."""
    U, s, Vt = (part.to(R) for part in truncated_svd(DenseMatrix(R), 1))
    component = Factorization(U.abs() * s.sqrt(), Vt.abs() * s.sqrt()[:, None])
    return Approach(component, (component.reconstruction - R).clamp(min=0))


def approached(R: Data, approach: Approach, step: int) -> Approach:
    """h ← [A w]₊, its largest entry scaled to 1, w ← [Aᵀ h]₊ / ‖h‖² on A = R − Λ; Λ ← [Λ − (R − h wᵀ) / (t + 1)]₊.

    The half-steps are HALS, as ½ ‖R − h wᵀ‖² + ⟨Λ, h wᵀ − R⟩ is ½ ‖A − h wᵀ‖² but for a constant. Where they leave
    nothing, Λ was too large: it is halved instead.
    """
    (h, w), L = (approach.component.H, approach.component.W), approach.multipliers
    A = R - L
    new_h = (A @ w.T).clamp(min=0)
    new_h = ratio(new_h, new_h.max())
    new_w = (new_h.T @ A).clamp(min=0) / divisor(new_h.square().sum())
    alive = new_w.max() > 0
    h, w = torch.where(alive, new_h, h), torch.where(alive, new_w, w)
    return Approach(Factorization(h, w), torch.where(alive, (L - (R - h @ w) / (step + 1)).clamp(min=0), L / 2))


def below(left: Data, component: Factorization, slack: Scalar) -> Factorization:
    """Of the same supports, or smaller ones, the component that lowers ½ ‖R − h wᵀ‖², R = [left]₊, most among some with
    h wᵀ ≤ [left + slack]₊, to rounding.

    With w given, h_i = min((R w)_i / ‖w‖², min_{j: w_j > 0} (left + slack)_ij / w_j) is the best. One small entry then
    bounds a whole row, so w is also tried without entries below some thresholds; and all that with h given as well.
    """
    R, most = left.clamp(min=0), (left + slack).clamp(min=0)
    given_w, given_h = _bounded(R, most, component.W[0]), _bounded(R.T, most.T, component.H[:, 0])
    tried = [*given_w, *((gain, w, h) for gain, h, w in given_h)]
    gain, h, w = tried[int(torch.stack([gain for gain, _, _ in tried]).argmax())]
    return Factorization(torch.where(gain > 0, h, 0)[:, None], torch.where(gain > 0, w, 0)[None]).balanced()


def _bounded(R: Data, most: Data, w: Tensor) -> Iterator[tuple[Scalar, Tensor, Tensor]]:
    """By how much ½ ‖R − h wᵀ‖² falls, h and w, for w without what lies below each threshold."""
    for threshold in THRESHOLDS:
        w = torch.where(w > threshold * w.max(), w, 0)
        bounds = torch.where(w > 0, most / divisor(w), torch.inf).amin(1)
        pull, curvature = R @ w, w.square().sum()
        h = torch.minimum(bounds, pull / divisor(curvature))
        yield (h * (pull - 0.5 * h * curvature)).sum(), h, w


def refuse_underapproximation(X: Matrix, steps: int, tolerance: float | None) -> None:
    """Raises Refusal for data that are not all there or may be negative, and for numbers that mean nothing."""
    if steps < 1:
        raise Refusal(f"steps is {steps}, but a component takes at least 1.")
    if tolerance is not None and not tolerance >= 0:
        raise Refusal(f"tolerance is {tolerance}, but must be at least 0, or null for an overshoot of any size.")
    if X.is_sparse:
        raise Refusal("underapproximation keeps a multiplier for every entry of X; give X dense.")
    if X.weights is not None:
        raise Refusal("underapproximation knows no weights, as every entry bounds it; impute what is missing.")
    if X.signed:
        raise Refusal("X has negative entries, below which nothing non-negative lies; shift or clip X.")

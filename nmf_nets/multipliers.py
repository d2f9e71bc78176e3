"""One component below a residual, by multipliers."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from nmf_nets.division import divisor, ratio
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import DenseMatrix, Matrix
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Data
from nmf_nets.spectrum import truncated_svd

THRESHOLDS = (0.0, *(10 ** (-4 + 0.3 * step) for step in range(14)))
"""Of the largest entry of a factor: what lies below may be given up to stay below the residual."""


class Approach(NamedTuple):
    """On the way to one component: h (n × 1), w (1 × m), and the multipliers Λ ≥ 0 of h wᵀ ≤ R."""

    component: Factorization
    multipliers: Data


def refuse_underapproximation(X: Matrix) -> None:
    """Raises Refusal for what is not all there, or may be negative."""
    if X.is_sparse:
        raise Refusal("underapproximation keeps a multiplier for every entry of X; give X dense.")
    if X.weights is not None:
        raise Refusal("underapproximation knows no weights, as every entry bounds it; impute what is missing.")
    if X.signed:
        raise Refusal("X has negative entries, below which nothing non-negative lies; shift or clip X.")


def refuse_steps(steps: int, name: str = "steps") -> None:
    """Raises Refusal where there are none."""
    if steps < 1:
        raise Refusal(f"{name} is {steps}, but a component takes at least 1.")


def left_of(R: Data, component: Factorization) -> Data:
    """[R − h wᵀ]₊."""
    return (R - component.reconstruction).clamp(min=0)


def begun(R: Data) -> Approach:
    """From the leading singular pair of R, non-negative as R is."""
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


def below(R: Data, component: Factorization) -> Factorization:
    """Of the same supports, or smaller ones, the component that is best among some with h wᵀ ≤ R, to rounding.

    With w given, h_i = min_{j: w_j > 0} R_ij / w_j is the best. One small R_ij then bounds a whole row, so w is also
    tried without entries below some thresholds; and all that with h given as well. Zeros are always one of them.
    """
    h, w = component.H[:, 0], component.W[0]
    tried = [(R, *pair, False) for pair in _bounded(R, w)] + [(R.T, *pair, True) for pair in _bounded(R.T, h)]
    # ‖R‖² − ‖R − h wᵀ‖², in one order for both
    gains = torch.stack([2 * (h * (M @ w)).sum() - h.square().sum() * w.square().sum() for M, h, w, _ in tried])
    _, h, w, transposed = tried[int(gains.argmax())]
    if transposed:
        h, w = w, h
    return Factorization(h[:, None], w[None]).balanced()


def _bounded(R: Data, w: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    for threshold in THRESHOLDS:
        kept = torch.where(w > threshold * w.max(), w, 0)
        bounds = torch.where(kept > 0, R / divisor(kept), torch.inf).amin(1)
        yield torch.where(torch.isfinite(bounds), bounds, 0), kept

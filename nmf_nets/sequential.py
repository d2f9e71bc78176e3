"""Components one after another: a path of factorizations, each with one component more."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

import torch
from torch import Tensor

from nmf_nets.cold_start import flat_codes
from nmf_nets.criterion import Criterion
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.division import divisor, ratio
from nmf_nets.factorization import Factorization
from nmf_nets.inits.base import refuse_n_components
from nmf_nets.matrix import Matrix
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Codes, Components
from nmf_nets.solver import Solver
from nmf_nets.updates.base import Update

POWERS = 15
"""Of the power method: a refit needs the direction of a component, not its last digits."""

REPEATS = 5
"""Of each half-step on a new component alone."""

LIFT = 0.1
"""Of the mean, so that ratios can move what would be zero; as in nndsvda."""

HALVINGS = 40
"""Of a new component, before it is found that none lowers the loss."""


@dataclass(frozen=True)
class Growth:
    """Nested growth: for k = 1, 2, … one component is appended to the last H and W, then all are refitted.

    The loss, penalties included, never rises along the path: the component is appended at a scale that lowers it, or
    is zero, and of the append and its refit the lower one is kept. A greedy way through the problem of NMF: no k is
    promised to be as good as a joint fit from the best of many starts.
    iterations: of the solver at each k.
    Refuses data with negative entries, and components that are held.
    Source: Ren et al. (2018); the append is derived.
    """

    solver: Solver
    criterion: Criterion
    iterations: int = 20

    def path(self, X: Matrix, n_components: int) -> Iterator[Factorization]:
        """The factorization with 1, 2, …, n_components components."""
        refuse_n_components(n_components)
        refuse_growth(X, self.criterion, self.solver.update)
        if self.iterations < 1:
            raise Refusal(f"iterations is {self.iterations}, but each number of components needs at least 1.")
        if self.solver.signed:
            raise Refusal("components that grow one by one are non-negative; take a solver that keeps W ≥ 0.")
        factors = first_component(X)
        for k in range(n_components):
            start = factors if k == 0 else appended(X, factors, self.criterion, self.solver.update)
            factors = self._refitted(X, start)
            yield factors

    def _refitted(self, X: Matrix, start: Factorization) -> Factorization:
        on_H, on_W = self.criterion.on_H, self.criterion.on_W
        *_, last = islice(self.solver.iterates(X, start, on_H, on_W), self.iterations)
        return min((last, start), key=lambda factors: float(self.criterion.total(X, factors)))


def refuse_growth(X: Matrix, criterion: Criterion, update: Update) -> None:
    """Raises Refusal for what a component after another cannot be made for."""
    criterion.divergence.refuse(X)
    for terms in (criterion.on_H, criterion.on_W):
        update.refuse(criterion.divergence, terms)
    if X.signed:
        raise Refusal("X has negative entries, but components that grow one by one are non-negative; shift or clip X.")
    if criterion.on_H.frozen is not None or criterion.on_W.frozen is not None:
        raise Refusal("components that grow one by one cannot be frozen from the start; fit them jointly.")


def first_component(X: Matrix) -> Factorization:
    """Rows times means of columns: X̂ = (X1)(1ᵀX) / ΣX, the best there is for the Kullback–Leibler divergence."""
    w = _flat(X.T, X.values.new_ones(1, X.shape[0])).T
    return Factorization(_flat(X, w), w).balanced()


def _flat(X: Matrix, w: Components) -> Codes:
    return ratio(X.row_totals, w.sum()) if X.weights is None else flat_codes(X, w)


def appended(X: Matrix, factors: Factorization, criterion: Criterion, update: Update) -> Factorization:
    """With one component more, h wᵀ, at the largest scale 2⁻ʲ from which a smaller one is worse; of zeros where none of
    them lowers the loss.

    w = |v|, v the leading right singular vector of R = X − H W, which is never formed, and h = [R w]₊ / ‖w‖², the best
    there is for the Frobenius divergence; both lifted off zero, but in empty rows and columns. Then some half-steps on
    h, on w and on h, all else held, make of it what the divergence asks for.
    """
    new = _refined(X, factors, _direction(X, factors), criterion, update)
    before = float(criterion.total(X, factors))
    best, least = 0.0, before
    for scale in (2.0**-j for j in range(HALVINGS)):
        value = float(criterion.total(X, _joined(factors, new, scale)))
        if value < least:
            best, least = scale, value
        elif least < before:
            break
    return _joined(factors, new, best)


def _direction(X: Matrix, factors: Factorization) -> Factorization:
    left = _Residual(X, factors)
    v = torch.randn(X.shape[1], 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    v = v.to(X.device, X.dtype)
    for _ in range(POWERS):
        v = _unit(left.T @ _unit(left @ v))
    w = _lifted(v.abs(), X.T)
    return Factorization(_lifted((left @ w).clamp(min=0), X) / divisor(w.square().sum()), w.T).balanced()


def _unit(v: Tensor) -> Tensor:
    v = v / divisor(v.abs().max())  # or squares would leave the range of float32
    return v / divisor(torch.linalg.vector_norm(v))


def _lifted(v: Tensor, X: Matrix) -> Tensor:
    return torch.where(X.row_totals > 0, torch.maximum(v, LIFT * v.mean()), 0)


def _refined(
    X: Matrix, factors: Factorization, new: Factorization, criterion: Criterion, update: Update
) -> Factorization:
    joined = _joined(factors, new, 1.0)
    H, W = joined.H, joined.W
    held = torch.arange(joined.n_components, device=H.device) < factors.n_components
    on_H, on_W = replace(criterion.on_H, frozen=held), replace(criterion.on_W, frozen=held)
    H = update.on(X, W, on_H).codes(H, REPEATS)
    W = update.on(X.T, H.T, on_W).codes(W.T, REPEATS).T
    H = update.on(X, W, on_H).codes(H, REPEATS)
    return Factorization(H[:, -1:], W[-1:])


def _joined(factors: Factorization, new: Factorization, scale: float) -> Factorization:
    root = scale**0.5
    return Factorization(torch.cat([factors.H, root * new.H], 1), torch.cat([factors.W, root * new.W]))


@dataclass(frozen=True)
class _Residual:
    """X − H W as an operator, with the weights of X: R v is what N − P of the Frobenius divergence is for a component v
    that no row has yet.
    """

    X: Matrix
    factors: Factorization

    @property
    def T(self) -> "_Residual":
        return _Residual(self.X.T, Factorization(self.factors.W.T, self.factors.H.T))

    def __matmul__(self, v: Tensor) -> Tensor:
        H, W = self.factors.H, self.factors.W
        unused = H.new_zeros(len(H), v.shape[1])
        P, N = Frobenius().split_gradient(self.X, torch.cat([H, unused], 1), torch.cat([W, v.T]))
        return (N - P)[:, self.factors.n_components :]

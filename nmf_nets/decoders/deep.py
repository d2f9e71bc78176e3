"""X̂ = H W_L … W_1: components that are made of components."""

from collections.abc import Sequence
from itertools import accumulate, chain, islice

import torch
from torch import Tensor

from nmf_nets.constraints.base import Constraint
from nmf_nets.decoders.base import Decoder, MakeStart, PenaltiesByWeight, terms_by_weight
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.division import divisor
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import DenseMatrix, Matrix
from nmf_nets.refusal import Refusal, refuse_count
from nmf_nets.shapes import Components
from nmf_nets.solver import Solver
from nmf_nets.updates.base import Update
from nmf_nets.weight import Weight, weights_of

LIFT = 1e-3
"""Of the mean, so that multiplicative steps can move what pre-training leaves at zero."""


class Deep(Decoder):
    """W = W_L … W_1, W_l of shape (n_l, n_{l−1}): n_0 features, n_1 … n_{L−1} = `sizes`, n_L = n_components.

    Without penalties a restriction of NMF, to min n_l components, and no richer than it: what it is for is a hierarchy,
    of parts, and of what parts make together, and penalties on a level of it (penalties: on W1, W2, …, each of the
    transpose, as on W).
    It starts from pre-training, level by level from below: X ≈ H_1 W_1, H_1 ≈ H_2 W_2, … by `iterations` of the solver
    of `update`, each from `init`; the components of a level have norm 1 (sum 1 but for Frobenius) before its codes are
    factorized, so that these count by what they explain. Of the start it was given it takes n_components alone.
    With encoder=table and multiplicative steps on full batches no step raises D.
    Source: Trigeorgis et al. (2014), who leave W_l of any sign.
    """

    def __init__(
        self,
        start: Factorization,
        constraint: Constraint,
        X: Matrix,
        sizes: Sequence[int],
        update: Update,
        init: MakeStart,
        iterations: int = 100,
        seed: int = 0,
        penalties: PenaltiesByWeight | None = None,
    ):
        super().__init__()
        if X.signed:
            raise Refusal("decoder=deep needs X ≥ 0; use experiment=semi for data with negative entries.")
        for size in sizes:
            refuse_count("each of decoder.sizes", size)
        if not len(sizes):
            raise Refusal("decoder.sizes is empty, which leaves one level; use decoder=linear, or give sizes=[32].")
        if not isinstance(iterations, int) or iterations < 0:
            raise Refusal(f"decoder.iterations must be an integer of at least 0, but is {iterations!r}.")
        names = [f"W{level}" for level in range(1, len(sizes) + 2)]
        terms = terms_by_weight(self, names, penalties or {})
        generator = torch.Generator().manual_seed(seed)
        H = X
        for name, size in zip(names, (*sizes, start.n_components), strict=True):
            factors = _solved(H, init(H, int(size), generator), update, iterations)
            factors = factors.balanced() if name == names[-1] else _with_unit_components(factors, update)
            self.add_module(name, Weight(_lifted(factors.W), constraint, terms[name]))
            H = DenseMatrix(_lifted(factors.H))
        self._codes = H.dense()

    @property
    def levels(self) -> list[Tensor]:
        """W_1, …, W_L."""
        return [weight.value for weight in weights_of(self)]

    @property
    def parts(self) -> list[Tensor]:
        """The components of every level as they look in the data, W_l … W_1, the lowest level first."""
        return list(accumulate(self.levels, lambda below, level: level @ below))

    @property
    def W(self) -> Components:
        return self.parts[-1]

    def start_of_encoder(self, start: Factorization) -> Factorization:
        """Where pre-training ended."""
        return Factorization(self._codes, self.W.detach())

    def rescale_(self, sizes: Tensor) -> None:
        top = weights_of(self)[-1]
        top.assign_(top.value.detach() / sizes[:, None])


def _solved(X: Matrix, start: Factorization, update: Update, iterations: int) -> Factorization:
    solver = Solver(update, update.effort, update.extrapolation if X.weights is None else None)
    return next(islice(chain([start], solver.iterates(X, start)), iterations, None))


def _with_unit_components(factors: Factorization, update: Update) -> Factorization:
    size = divisor(torch.linalg.vector_norm(factors.W, ord=2 if update.lowers(Frobenius()) else 1, dim=1))
    return Factorization(factors.H * size, factors.W / size[:, None])


def _lifted(M: Tensor) -> Tensor:
    return torch.maximum(M, LIFT * M.mean())

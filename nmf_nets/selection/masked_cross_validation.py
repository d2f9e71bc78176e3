"""Entries of the matrix here and there, predicted from all others."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from nmf_nets.as_matrix import as_matrix
from nmf_nets.divergences.base import Divergence, floor
from nmf_nets.factorization import Factorization
from nmf_nets.fit import factorize
from nmf_nets.held_out import CAUTION, fewest, row_means
from nmf_nets.inits.base import integer
from nmf_nets.inits.random import random
from nmf_nets.matrix import DenseMatrix, Matrix, SparseMatrix
from nmf_nets.refusal import Refusal, refuse_count
from nmf_nets.restarts import Restarts
from nmf_nets.selection.base import Choice, Judgement, Selector
from nmf_nets.solver import Solver
from nmf_nets.solvers import named

LOOK = 10
"""Iterations between two looks at the loss of a fit that imputes."""


class MaskedCrossValidation(Selector):
    """A part of the entries, drawn at random, is hidden from a fit with weights, and scored; all this `repeats` times.

    Of sparse data all entries can be hidden, zeros too, but no more of them than are stored: a fit then imputes them
    with H W in each of its iterations, which never raises D of the others, as d(h w | x̂) ≥ 0 is added, and holds
    nothing but what is stored or hidden. Of sparse data with weights what is stored alone was observed, and is hidden.
    For every divergence. Refuses a part of sparse data that is larger than their density.
    Source: Wold (1978).
    """

    score = "held-out divergence, of entries"
    better = "low"

    def __init__(self, part: float = 0.1, repeats: int = 5, max_iter: int = 200, tol: float = 1e-4):
        for name, count in (("repeats", repeats), ("max_iter", max_iter)):
            refuse_count(f"{name} of masked_cross_validation", count)
        if not 0 < part < 1:
            raise Refusal(f"part of masked_cross_validation must be above 0 and below 1, but is {part!r}.")
        self.part, self.repeats, self.max_iter, self.tol = part, repeats, max_iter, tol

    def judge(self, restarts: Restarts, n_components: int, generator: torch.Generator) -> Judgement:
        X, divergence = restarts.X, restarts.divergence
        mean = float(X.mean)
        chances = [torch.Generator().manual_seed(integer(generator)) for _ in range(self.repeats)]
        values = []
        for chance in chances:
            shown, held_out, factors = self.fitted(X, n_components, divergence, chance)
            values.append(_score(divergence, shown, held_out, factors) / mean**divergence.beta)
        return Judgement(np.array(values))

    def choose(self, judgements: Mapping[int, Judgement]) -> Choice:
        return Choice(*fewest({number: judgement.values for number, judgement in judgements.items()}))

    def fitted(
        self, X: Matrix, n_components: int, divergence: Divergence, chance: torch.Generator
    ) -> tuple[Matrix, Matrix, Factorization]:
        """What is shown, what is held out, and the factors of what is shown."""
        if isinstance(X, SparseMatrix) and X.weights is None:
            return self._unstored(X, n_components, divergence, chance)
        return self._stored(X, n_components, divergence, chance)

    def _stored(
        self, X: Matrix, n_components: int, divergence: Divergence, chance: torch.Generator
    ) -> tuple[Matrix, Matrix, Factorization]:
        """Entries are hidden by their weights."""
        weights = torch.ones_like(X.values) if X.weights is None else X.weights
        hidden = torch.rand(X.values.shape, generator=chance, dtype=torch.float64).to(X.device) < self.part
        if not bool((weights[hidden] > 0).any() & (weights[~hidden] > 0).any()):
            raise Refusal(
                f"part of masked_cross_validation is {self.part:g}, of {int((weights > 0).sum())} entries that were "
                "observed: it hides none or all; give another part."
            )
        shown, held_out = _weighted(X, weights * ~hidden), _weighted(X, weights * hidden)
        fit = factorize(
            shown,
            n_components,
            divergence=divergence,
            max_iter=self.max_iter,
            tol=self.tol,
            kkt_tol=None,
            seed=chance,
        )
        return shown, held_out, Factorization(fit.H, fit.W)

    def _unstored(
        self, X: SparseMatrix, n_components: int, divergence: Divergence, chance: torch.Generator
    ) -> tuple[Matrix, Matrix, Factorization]:
        """Entries are hidden that need not be stored."""
        (n, m), stored = X.shape, len(X.values)
        count = round(self.part * n * m)
        if not 1 <= count <= stored:
            raise Refusal(
                f"part of masked_cross_validation is {self.part:g}, or {count:,} entries, zeros among them, but this "
                f"sparse X stores {stored:,}, {stored / (n * m):.2g} of all, and hiding more than that would cost more "
                "than the data; give a part of at most that, or use bi_cross_validation."
            )
        place = np.sort(np.random.default_rng(integer(chance)).choice(n * m, count, replace=False, shuffle=False))
        ones = scipy.sparse.csr_array((np.ones(count), np.divmod(place, m)), shape=X.shape)
        held_out = as_matrix(X.numpy(), X.dtype, ones)
        seen = X.numpy() - X.numpy().multiply(ones)
        shown = as_matrix(seen, X.dtype)
        start = random(shown, n_components, chance)
        return shown, held_out, _imputed(shown, ones, divergence, start, self.max_iter, self.tol)


def _score(divergence: Divergence, shown: Matrix, held_out: Matrix, factors: Factorization) -> float:
    """D of a held-out entry; predictions are cautious, and no larger than what was shown.

    With many components, one that a row or column hardly shows can be of any size where it is hidden.
    """
    x_hat = held_out.sample(factors.H, factors.W).clamp(max=shown.values.max())
    if divergence.beta < 2:
        rows, columns = row_means(shown), row_means(shown.T) / shown.mean
        x_hat = (1 - CAUTION) * x_hat + CAUTION * held_out.of_rows(rows) * held_out.columns(columns)
    seen = held_out.given_weights > 0
    entries = divergence.entries(torch.where(seen, held_out.values, 1), x_hat, floor(held_out))
    return float(torch.where(seen, held_out.given_weights * entries, 0).sum(dtype=torch.float64) / held_out.mass)


def _weighted(X: Matrix, weights: Tensor) -> Matrix:
    """X with other weights, and zero where they are."""
    values = torch.where(weights > 0, X.values, 0)
    if isinstance(X, SparseMatrix):
        return SparseMatrix(X.with_values(values).csr, weights)
    return DenseMatrix(values, weights)


def _imputed(
    X: Matrix, hidden: Any, divergence: Divergence, factors: Factorization, max_iter: int, tol: float
) -> Factorization:
    """Lowers D of what is not hidden: with x̂ in the place of what is, D of all is the same, and nowhere below it."""
    one = X.with_values(torch.ones_like(X.values)).numpy()
    which = as_matrix(one + 2 * hidden, X.dtype).values == 2  # in the order of the sum of both patterns
    both = as_matrix(X.numpy() + hidden, X.dtype)
    solver = Solver(named("auto", X, divergence).update)
    before = math.inf
    for iteration in range(max_iter):
        filled = both.with_values(torch.where(which, both.sample(factors.H, factors.W), both.values))
        if iteration % LOOK == 0:
            loss = float(divergence.total(filled, factors))
            if before - loss <= LOOK * tol * loss:
                break
            before = loss
        factors = next(solver.iterates(filled, factors))
    return factors

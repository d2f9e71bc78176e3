"""Blocks of the matrix, predicted from the rest of their rows and columns."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from nmf_nets.divergences.base import Divergence
from nmf_nets.factorization import Factorization
from nmf_nets.held_out import cautious, fewest, held_out_score, row_means
from nmf_nets.inits.base import integer
from nmf_nets.matrix import DenseMatrix, Matrix
from nmf_nets.refusal import Refusal, refuse_count
from nmf_nets.restarts import Restarts
from nmf_nets.selection.base import Choice, Judgement, Selector
from nmf_nets.shapes import Rows
from nmf_nets.solvers import named
from nmf_nets.updates.base import Update
from nmf_nets.updates.pivoting import Pivoting

Columns = Int[Tensor, " columns"]

STEPS, PROGRESS = 300, 1e-4
"""Half-steps for the codes of a margin at most, and the part of its first step with which a row of it is done."""


class Blocks(NamedTuple):
    """X = [A B; C D]: A is held out, and nothing of it is seen by what is made of B, C and D."""

    A: Matrix
    B: Matrix
    C: Matrix
    D: Matrix


class BiCrossValidation(Selector):
    """D ≈ H W is fitted, B coded on W and Cᵀ on Hᵀ, and A is predicted as the product of these codes.

    Rows and columns are each split at random into `folds`, and every block that a fold of rows has in common with one
    of columns is held out in turn; all this `repeats` times. The half-steps know no other data than B and C, so no
    entry that is scored has had a part in its prediction, and there is nothing to impute: sparse data stay sparse.
    starts: of each fit, of which the one with the least loss counts.
    For every divergence, and data with weights. Refuses more folds than rows or columns.
    Source: Owen & Perry (2009), with non-negative codes in place of pseudo-inverses.
    """

    score = "held-out divergence, of blocks"
    better = "low"

    def __init__(self, folds: int = 2, repeats: int = 2, starts: int = 3, max_iter: int = 300, tol: float = 1e-4):
        for name, count in (("repeats", repeats), ("starts", starts), ("max_iter", max_iter)):
            refuse_count(f"{name} of bi_cross_validation", count)
        refuse_count("folds of bi_cross_validation", folds)
        if folds < 2:
            raise Refusal(
                "folds of bi_cross_validation must be at least 2, but is 1; a fit needs what is not held out."
            )
        self.folds, self.repeats, self.starts, self.max_iter, self.tol = folds, repeats, starts, max_iter, tol

    def judge(self, restarts: Restarts, n_components: int, generator: torch.Generator) -> Judgement:
        X, divergence = restarts.X, restarts.divergence
        if self.folds > min(X.shape):
            raise Refusal(
                f"folds of bi_cross_validation is {self.folds}, but X has the shape {X.shape}; lower it to at most "
                f"{min(X.shape)}."
            )
        mean = float(X.mean)
        splits = [split for _ in range(self.repeats) for split in block_splits(X.shape, self.folds, generator)]
        values = []
        for rows, columns in splits:
            held = blocks(X, rows, columns)
            predicted = self.predicted(held, n_components, divergence, generator)
            values.append(held_out_score(divergence, held.A, predicted, mean))
        return Judgement(np.array(values))

    def predicted(
        self, blocks: Blocks, n_components: int, divergence: Divergence, generator: torch.Generator
    ) -> Factorization:
        """Â, made of B, C and D."""
        fits = Restarts(blocks.D, divergence, [n_components], self.starts, self.max_iter, self.tol, integer(generator))[
            n_components
        ]
        best = fits[fits.best]
        H = coding(blocks.B, divergence)(blocks.B, None, best.W, STEPS, PROGRESS)
        W = coding(blocks.C, divergence)(blocks.C.T, None, best.H.T, STEPS, PROGRESS).T
        mean = blocks.D.mean
        return cautious(divergence, Factorization(H, W), row_means(blocks.B), row_means(blocks.C.T) / mean)

    def choose(self, judgements: Mapping[int, Judgement]) -> Choice:
        return Choice(*fewest({number: judgement.values for number, judgement in judgements.items()}))


def coding(X: Matrix, divergence: Divergence) -> Update:
    """The step that codes with frozen components: exact at once where there is one."""
    return Pivoting() if divergence.beta == 2 else named("auto", X, divergence).update


def block_splits(shape: tuple[int, int], folds: int, generator: torch.Generator) -> Iterator[tuple[Rows, Columns]]:
    """The rows and columns of each block that is held out."""
    of_rows, of_columns = (
        torch.randperm(length, generator=generator, device=generator.device).tensor_split(folds) for length in shape
    )
    for rows in of_rows:
        for columns in of_columns:
            yield rows, columns


def blocks(X: Matrix, rows: Rows, columns: Columns) -> Blocks:
    """A has these rows and columns."""
    other_rows, other_columns = (
        _others(index.to(X.device), length) for index, length in zip((rows, columns), X.shape, strict=True)
    )
    rows, columns = rows.to(X.device), columns.to(X.device)
    upper, lower = X.rows(rows).T, X.rows(other_rows).T
    return Blocks(*(_in_row_order(part.rows(index).T) for part in (upper, lower) for index in (columns, other_columns)))


def _others(index: Rows, length: int) -> Int[Tensor, " others"]:
    rest = torch.ones(length, dtype=torch.bool, device=index.device)
    rest[index] = False
    return torch.nonzero(rest).flatten()


def _in_row_order(X: Matrix) -> Matrix:
    if not isinstance(X, DenseMatrix):
        return X
    return DenseMatrix(X.values.contiguous(), None if X.weights is None else X.weights.contiguous())

"""What the inits share."""

from collections.abc import Callable
from numbers import Integral
from typing import cast

import torch
from torch import Tensor

from nmf_nets.division import divisor, ratio
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import DenseMatrix, Matrix
from nmf_nets.refusal import Refusal, refuse_count
from nmf_nets.shapes import Components, Rows
from nmf_nets.updates.pivoting import Pivoting

Init = Callable[[Matrix, int, torch.Generator], Factorization]
"""Makes a start from the data, n_components and chance."""


def refuse_n_components(n_components: object, most: int | None = None) -> None:
    """Raises Refusal unless n_components is an integer from 1 to `most`."""
    refuse_count("n_components", n_components)
    if cast(int, n_components) >= 2**31:
        raise Refusal(f"n_components is {n_components}, which no memory holds; choose fewer than there are samples.")
    if most is not None and cast(int, n_components) > most:
        raise Refusal(
            f"n_components is {n_components}, but this init has no more than min(n_samples, n_features) = {most} "
            "singular vectors to start from; lower n_components or use init=random."
        )


def generator_of(seed: object) -> torch.Generator:
    """Raises Refusal for what is no seed of torch's."""
    if not isinstance(seed, Integral) or isinstance(seed, bool) or not -(2**63) <= int(seed) < 2**64:
        raise Refusal(f"seed must be an integer of at most 64 bits, but is {seed!r}.")
    return torch.Generator().manual_seed(int(seed))


def uniform(shape: tuple[int, int], like: Matrix, generator: torch.Generator) -> Tensor:
    """U(0, 1) drawn in float64 on the generator's device, so that a seed means the same start in every dtype."""
    drawn = torch.rand(shape, generator=generator, dtype=torch.float64, device=generator.device)
    return drawn.to(like.device, like.dtype)


def integer(generator: torch.Generator) -> int:
    """A seed for other libraries."""
    return int(torch.randint(2**31, (), generator=generator, device=generator.device))


def completed(X: Matrix) -> Matrix:
    """X without weights: v x + (1 − v) r_i c_j / μ, with the means r, c and μ of what was observed of its row, its
    column and all, and v the weights by their largest.

    The imputation of `half_steps.gram.ImputedHalfStep`, with independence for X̂; X without weights is itself.
    Raises Refusal for sparse X with weights, which would become dense.
    Source: Srebro & Jaakkola (2003).
    """
    if X.weights is None:
        return X
    if X.is_sparse:
        raise Refusal(
            "this init needs every entry, and a guess for those of sparse data that were not observed would make them "
            "dense; use init=random."
        )
    v = X.weights / X.weights.amax()
    seen, total = v * X.values, v.sum()
    rows, columns, mean = seen.sum(1, keepdim=True), seen.sum(0), seen.sum() / total
    r = torch.where(v.sum(1, keepdim=True) > 0, ratio(rows, v.sum(1, keepdim=True)), mean)
    c = torch.where(v.sum(0) > 0, ratio(columns, v.sum(0)), mean)
    return DenseMatrix(seen + (1 - v) * r * ratio(c, mean))


def nonzero_rows(X: Matrix, n_components: int) -> Rows:
    """Where an init may look for components: rows of zeros are made of any, and are none.

    Raises Refusal if there are fewer such rows than components.
    """
    refuse_n_components(n_components)
    rows = torch.nonzero(X.row_sum(X.values.abs()))[:, 0]
    if len(rows) < n_components:
        raise Refusal(
            f"n_components is {n_components}, but X has {len(rows)} rows that are not zero, and this init makes each "
            "component of rows of its own; lower n_components or use init=random."
        )
    return rows


def centroids(X: Matrix, labels: Rows, W: Components) -> Components:
    """The means of the rows of X with the labels 0, 1, …; w_k where no row has the label k. X is only multiplied."""
    members = torch.nn.functional.one_hot(labels, len(W)).to(X.dtype)
    counts = members.sum(0)
    return torch.where(counts[:, None] > 0, (X.T @ (members / divisor(counts))).T, W)


def too_few_rows(n_components: int) -> Refusal:
    return Refusal(
        f"this init would make equal components, as X has too few different rows for {n_components}; lower "
        "n_components or use init=random."
    )


def coded(X: Matrix, W: Components, positive: bool) -> Factorization:
    """The start of an init that knows W: the best H ≥ 0 on it, whose scale is then the best, and ‖h_k‖ = ‖w_k‖.

    A component that no row uses keeps w_k, at the mean size of the others, so that a step can take it up.
    positive: zeros are filled as by nndsvda, for multiplicative steps.
    Raises Refusal for equal components.
    """
    rounding = 100 * torch.finfo(W.dtype).eps
    if any(bool(((W[:k] - w).abs().amax(1) <= rounding * w.abs().amax()).any()) for k, w in enumerate(W) if k):
        raise too_few_rows(len(W))
    W = ratio(W, W.amax(1, keepdim=True))  # or squares of a small row would vanish beside those of a large one
    H = Pivoting()(X, None, W)
    h, w = torch.linalg.vector_norm(H, dim=0), torch.linalg.vector_norm(W, dim=1)
    size = (h * w).sqrt()
    size = torch.where(size > 0, size, size.sum() / divisor((size > 0).sum()))
    start = Factorization(H * ratio(size, h), W * ratio(size, w)[:, None])
    return filled(start, flat(X, len(W)), flat(X, len(W))) if positive else start


def flat(X: Matrix, n_components: int) -> Tensor:
    """0.1 √(mean(X) / n_components), what nndsvda puts in place of zeros.

    Not mean(X), the published fill: that has the units of X, a factor those of √X, and ruins the start of data that
    are small or large.
    """
    return 0.1 * (X.mean / n_components).sqrt()


def filled(start: Factorization, fill_H: Tensor, fill_W: Tensor) -> Factorization:
    """The start with its zeros replaced."""
    return Factorization(torch.where(start.H > 0, start.H, fill_H), torch.where(start.W > 0, start.W, fill_W))

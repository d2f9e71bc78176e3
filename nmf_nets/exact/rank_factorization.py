"""Exact factorizations with as few components as the rank allows."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import torch

from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.exact.base import refuse_weights
from nmf_nets.exact.nonnegative_projection import nonnegative_projection
from nmf_nets.exact.separable import separable
from nmf_nets.exact.successive_projection import successive_projection
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.metrics.relative_error import relative_error
from nmf_nets.refusal import Refusal, refuse_count
from nmf_nets.solvers import named
from nmf_nets.spectrum import numerical_rank
from nmf_nets.updates.pivoting import Pivoting

EXACT = 1e-12
"""Relative residual of a factorization that counts as exact; for data in float32 ten of their roundings."""

SOLVER = "a-hals"
"""Monotone without a look at D: extrapolated solvers compare values, which cannot tell relative errors below 1e-8."""

LOOK, LEAST_GAIN, ITERATIONS = 100, 0.01, 5000
"""A start is given up when so many iterations have lessened its error by no more than this part of it."""


@dataclass(frozen=True)
class Certificate:
    """X = H W with n_components, or that none was found, which proves nothing: to decide it is NP-hard.

    factors: in float64, balanced; None where none was found. relative_residual: ‖X − H W‖ / ‖X‖, of the best there was.
    method: rows of X, columns of X, the identity, or starts. starts: how many of them were tried.
    """

    factors: Factorization | None
    method: str
    relative_residual: float
    rank: int
    n_components: int
    starts: int

    @property
    def found(self) -> bool:
        return self.factors is not None

    @property
    def smallest(self) -> tuple[float, float]:
        """The least entries of H and of W; NaN where there are none."""
        F = self.factors
        return (float("nan"), float("nan")) if F is None else (float(F.H.min()), float(F.W.min()))

    def __str__(self) -> str:
        X = f"X, of rank {self.rank},"
        if self.factors is None:
            return (
                f"{X} was not found to be a product of two non-negative factors with {self.n_components} components: "
                f"the best relative error after {self.starts} starts is {self.relative_residual:.6g}."
            )
        least_H, least_W = self.smallest
        return (
            f"{X} is H W with {self.n_components} components, found from {self.method}: relative residual "
            f"{self.relative_residual:.1e}, no entry of H below {least_H:.3g}, none of W below {least_W:.3g}."
        )


def rank_factorization(
    X: Matrix, n_components: int | None = None, starts: int = 30, generator: torch.Generator | None = None
) -> Certificate:
    """An exact X = H W, H, W ≥ 0, with n_components, or as many as X has rank.

    Looked for among the rows of X, then among its columns (successive projection; with more components than rank
    non-negative projection), then by many starts of a solver. Rank ≤ 2 and X with a monomial submatrix of its rank
    (Campbell & Poole 1981) need no case of their own, as in both the components are rows of X.
    generator: draws the starts; seeded with 0 unless given.
    Raises Refusal for X = 0, for weights, for fewer components than rank, of which there is no exact product, and for
    more than min(n, m), with which X = X I is one already.
    Source: Gillis & Vavasis (2014); Dong, Lin & Chu (2014); Vandaele, Gillis, Glineur & Tuyttens (2016) for starts.
    """
    refuse_weights(X)
    refuse_count("starts", starts)
    rank, exact = numerical_rank(X), max(EXACT, 10 * torch.finfo(X.dtype).eps)
    r = rank if n_components is None else n_components
    _refuse_n_components(r, rank, min(X.shape))
    X = X.to(torch.float64)
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    least, tried = float("inf"), 0
    for method, factors in _attempts(X, r, rank, starts, generator, exact):
        tried += method == "starts"
        least = min(least, error := relative_error(X, factors))
        if error <= exact:
            return Certificate(factors.balanced(), method, error, rank, r, tried)
    return Certificate(None, "starts", least, rank, r, tried)


def _attempts(
    X: Matrix, n_components: int, rank: int, starts: int, generator: torch.Generator, exact: float
) -> Iterator[tuple[str, Factorization]]:
    select = successive_projection if n_components == rank else nonnegative_projection
    for method, M in {"rows of X": X, "columns of X": X.T}.items():
        try:
            factors = separable(M, n_components, select).factors
        except Refusal:  # so many do not exist
            continue
        yield method, factors if M is X else _transposed(factors)
    if n_components == min(X.shape):
        side = torch.eye(n_components, dtype=X.dtype, device=X.device)
        yield (
            "the identity",
            Factorization(side, X.dense()) if len(side) == X.shape[0] else Factorization(X.dense(), side),
        )
    for _ in range(starts):
        shape = (n_components, X.shape[1])
        W = torch.rand(shape, generator=generator, dtype=X.dtype, device=generator.device).to(X.device)
        yield "starts", _solved(X, Factorization(Pivoting()(X, None, W), W), exact)


def _solved(X: Matrix, start: Factorization, exact: float) -> Factorization:
    """Until exact, or until it gets no better."""
    factors, before = start, float("inf")
    stream = named(SOLVER, X, Frobenius()).iterates(X, start.balanced())
    for factors in islice(stream, LOOK - 1, ITERATIONS, LOOK):
        error = relative_error(X, factors)
        if error <= exact or error > (1 - LEAST_GAIN) * before:
            break
        before = error
    return factors


def _transposed(factors: Factorization) -> Factorization:
    return Factorization(factors.W.T, factors.H.T)


def _refuse_n_components(n_components: int, rank: int, most: int) -> None:
    if rank == 0:
        raise Refusal("X is 0 everywhere: it has rank 0 and no factors to be found.")
    refuse_count("n_components", n_components)
    if n_components < rank:
        raise Refusal(
            f"n_components is {n_components}, but X has rank {rank}: no product of fewer components is exact; raise "
            "n_components, or use another init or solver, which approximate."
        )
    if n_components > most:
        raise Refusal(
            f"n_components is {n_components}, but {most} = min(n_samples, n_features) are enough for X = X I; lower it."
        )

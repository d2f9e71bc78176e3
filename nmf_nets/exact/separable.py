"""Separable NMF: the components are rows of X."""

from dataclasses import dataclass

from nmf_nets.exact.base import Select
from nmf_nets.exact.successive_projection import successive_projection
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.shapes import Rows
from nmf_nets.updates.pivoting import Pivoting


@dataclass(frozen=True)
class Separable:
    """X ≈ H X[rows]."""

    rows: Rows
    factors: Factorization


def separable(X: Matrix, n_components: int, select: Select = successive_projection) -> Separable:
    """W = X[J] for the rows J that `select` finds, and the best H ≥ 0: a restriction of NMF, exact if X is separable.

    `separable(X.T, …)` has anchor features: X ≈ X[:, J] Wᵀ with the transposes of its factors.
    Source: Donoho & Stodden (2004); Arora, Ge, Kannan & Moitra (2012).
    """
    rows = select(X, n_components)
    W = X.rows(rows).dense()
    problem = Pivoting().on(X, W)
    H = problem.codes(problem.codes(None))  # twice: where W is singular the first is only a proximal step
    return Separable(rows, Factorization(H, W))

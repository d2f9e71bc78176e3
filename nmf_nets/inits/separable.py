"""Rows of X that the others are made of."""

import torch

from nmf_nets.exact.base import Select
from nmf_nets.exact.successive_projection import successive_projection
from nmf_nets.factorization import Factorization
from nmf_nets.inits.base import coded
from nmf_nets.matrix import Matrix


def separable(
    X: Matrix,
    n_components: int,
    generator: torch.Generator | None = None,
    select: Select = successive_projection,
    positive: bool = False,
) -> Factorization:
    """W = X[J] for the rows J that `select` finds, and the best H ≥ 0: the solution where X is separable.

    No chance in it.
    positive: fills zeros, which multiplicative updates cannot leave.
    Raises Refusal for weights and for more components than rows can be selected.
    Source: Gillis & Vavasis (2014).
    """
    return coded(X, X.rows(select(X, n_components)).dense(), positive)

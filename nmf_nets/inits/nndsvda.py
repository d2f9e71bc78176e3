"""NNDSVD with its zeros filled by a constant."""

import torch

from nmf_nets.factorization import Factorization
from nmf_nets.inits.nndsvd import filled, nndsvd
from nmf_nets.matrix import Matrix


def nndsvda(X: Matrix, n_components: int, generator: torch.Generator | None = None) -> Factorization:
    """NNDSVD, zeros ← 0.1 √(mean(X) / n_components).

    Not mean(X), the published fill: that has the units of X, a factor those of √X, and ruins the start of data that
    are small or large.
    """
    start = nndsvd(X, n_components)
    fill = 0.1 * (X.mean / n_components).sqrt()
    return filled(start, fill, fill)

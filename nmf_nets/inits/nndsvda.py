"""NNDSVD with its zeros filled by a constant."""

import torch

from nmf_nets.factorization import Factorization
from nmf_nets.inits.base import filled, flat
from nmf_nets.inits.nndsvd import nndsvd
from nmf_nets.matrix import Matrix


def nndsvda(X: Matrix, n_components: int, generator: torch.Generator | None = None) -> Factorization:
    """NNDSVD, zeros ← 0.1 √(mean(X) / n_components)."""
    fill = flat(X, n_components)
    return filled(nndsvd(X, n_components), fill, fill)

"""NNDSVD with its zeros filled by small noise."""

import torch

from nmf_nets.factorization import Factorization
from nmf_nets.inits.base import filled, uniform
from nmf_nets.inits.nndsvd import nndsvd
from nmf_nets.matrix import Matrix


def nndsvdar(X: Matrix, n_components: int, generator: torch.Generator) -> Factorization:
    """NNDSVD, zeros ← u √(mean(X) / n_components) / 100, u ~ U(0, 1)."""
    start = nndsvd(X, n_components)
    scale = (X.mean / n_components).sqrt() / 100
    noise_H, noise_W = (uniform((M.shape[0], M.shape[1]), X, generator) * scale for M in (start.H, start.W))
    return filled(start, noise_H, noise_W)

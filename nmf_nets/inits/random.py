"""Uniform noise at the scale of X."""

import torch

from nmf_nets.factorization import Factorization
from nmf_nets.inits.base import refuse_n_components, uniform
from nmf_nets.matrix import Matrix


def random(X: Matrix, n_components: int, generator: torch.Generator) -> Factorization:
    """H, W = 2u √(mean(X) / n_components), u ~ U(0, 1): mean(H W) = mean(X), and X → cX gives √c H, √c W."""
    refuse_n_components(n_components)
    n, m = X.shape
    scale = 2 * (X.mean / n_components).sqrt()
    return Factorization(
        uniform((n, n_components), X, generator) * scale, uniform((n_components, m), X, generator) * scale
    )

"""Components that explain nothing."""

import torch

from nmf_nets.factorization import Factorization

DEAD = 1e-6


def dead_components(factors: Factorization) -> int:
    """How many have Σ_ij h_ik |w_kj| below 1e-6 of the mean over components (all of them where H W = 0)."""
    mass = _masses(factors)
    return int((mass <= DEAD * mass.mean()).sum())


def component_shares(factors: Factorization) -> torch.Tensor:
    """The part of ΣX̂ that each component brings."""
    mass = _masses(factors)
    return mass / mass.sum().clamp(min=torch.finfo(mass.dtype).tiny)


def _masses(factors: Factorization) -> torch.Tensor:
    """Σ_ij h_ik |w_kj| of each component, over all its copies."""
    mass = factors.H.double().sum(0) * factors.W.double().abs().sum(1)
    return mass.reshape(factors.copies, -1).sum(0)

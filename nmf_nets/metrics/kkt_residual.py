"""How far from a stationary point."""

import torch

from nmf_nets.criterion import PLAIN, Terms
from nmf_nets.divergences.base import Divergence
from nmf_nets.division import ratio
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.shapes import Codes, Components


def kkt_residual(
    X: Matrix, factors: Factorization, divergence: Divergence, on_H: Terms = PLAIN, on_W: Terms = PLAIN
) -> float:
    """κ = max over both factors of |min(h_ik / mean_i h_ik, (P − N) / (P + N))|, with 0 / 0 = 0; from 0 to 1 for h > 0.

    Zero exactly at stationary points: h > 0 needs P = N, h = 0 needs P ≥ N. The same for X → cX and for H D, D⁻¹ W.
    Where X has negative entries, W may have any sign and needs P = N. Penalties are part of P and N; what is frozen
    does not count.
    """
    return rough_kkt_residual(X.to(torch.float64), factors.to(torch.float64), divergence, on_H, on_W)


def rough_kkt_residual(
    X: Matrix, factors: Factorization, divergence: Divergence, on_H: Terms = PLAIN, on_W: Terms = PLAIN
) -> float:
    """The same in the dtype of X: no copy, and in float32 no less than some 1e-5."""
    H, W = factors.H, factors.W
    of_W = free_residual if X.signed else codes_residual
    return max(codes_residual(X, H, W, divergence, on_H), of_W(X.T, W.T, H.T, divergence, on_W))


def free_residual(X: Matrix, H: Codes, W: Components, divergence: Divergence, terms: Terms = PLAIN) -> float:
    """Of an H that may have any sign: max |P − N| / (P' + N'), P' and N' those of |H|, as those of H may cancel."""
    P, N = terms.added_to(*divergence.split_gradient(X, H, W), H)
    of_sizes = divergence.split_gradient(X, H.abs(), W.abs())
    return float(ratio((P - N).abs(), of_sizes[0] + of_sizes[1]).max())


def codes_residual(X: Matrix, H: Codes, W: Components, divergence: Divergence, terms: Terms = PLAIN) -> float:
    """That of H alone, W given, in the dtype of X."""
    if terms.fixed:
        return 0.0
    P, N = terms.added_to(*divergence.split_gradient(X, H, W), H)
    residual = torch.minimum(ratio(H, H.mean(0)), ratio(P - N, P + N)).abs()
    return float((residual if terms.free is None else residual[:, terms.free]).max())

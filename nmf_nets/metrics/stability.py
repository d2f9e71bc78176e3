"""How alike the components of several runs are, beside how alike they would be by chance."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations
from statistics import fmean

import torch
from torch.nn.functional import normalize

from nmf_nets.metrics.recovery import TINY, matched_cosines
from nmf_nets.shapes import Components

Measure = Callable[[Components, Components], float]


def matched_cosine(W: Components, other: Components) -> float:
    """The mean cosine over the best one-to-one matching, from 0 to 1; a dead component has 0."""
    return float(matched_cosines(W, other).mean())


def amari_distance(W: Components, other: Components) -> float:
    """(Σ_i (Σ_j p_ij / max_j p_ij − 1) + Σ_j (Σ_i p_ij / max_i p_ij − 1)) / (2 r (r − 1)) with P = |W other⁺|.

    0 where components agree but for order and scale, 1 for a constant P; 0 for r = 1. Rows are normalised first, so
    that no scale matters. A dead component is like none and counts as a constant row; copies of one component are not
    told apart, which costs too. Not symmetric. Source: Amari et al. (1996).
    """
    A, B = (normalize(M.double(), dim=1, eps=TINY) for M in (W, other))
    # A B⁺ = A Bᵀ (B Bᵀ)⁺; the column of a dead component of B is zero but for rounding, which must not be scaled up.
    P = (A @ B.T @ torch.linalg.pinv(B @ B.T, hermitian=True)).abs() * B.any(1)
    r = len(P)
    if r == 1:
        return float(not P.any())
    excess = [torch.where(top > 0, P / top, 1).sum() - r for top in (P.amax(0, keepdim=True), P.amax(1, keepdim=True))]
    return float(sum(excess) / (2 * r * (r - 1)))


def chance_level(n_components: int, n_features: int, generator: torch.Generator, measure: Measure) -> float:
    """The measure of matrices of that shape with uniform entries, the mean of ten pairs.

    Cosine and Amari distance are about 0.79 and 0.45 for 5 × 40, 0.75 and 0.81 for 20 × 28,550.
    """
    shape = (n_components, n_features)
    draws = ([torch.rand(shape, generator=generator, dtype=torch.float64) for _ in range(2)] for _ in range(10))
    return fmean(measure(W, other) for W, other in draws)


@dataclass(frozen=True)
class Stability:
    """Means over all pairs of runs, and what they are by chance.

    uniform: between matrices with uniform entries (`chance_level`). shuffled: between the runs, once the entries of
    each component have changed places: sparse components then hardly meet, and uniform ones are a bar too high.
    """

    matched_cosine: float
    amari_distance: float
    uniform_cosine: float
    uniform_amari: float
    shuffled_cosine: float
    shuffled_amari: float


def stability(components: Sequence[Components], generator: torch.Generator) -> Stability:
    """Of the W of at least two runs with as many components each; `generator` draws what is by chance."""
    r, m = components[0].shape
    shuffled = [_shuffled(W, generator) for W in components]
    return Stability(
        matched_cosine=_mean(matched_cosine, components),
        amari_distance=_mean(amari_distance, components),
        uniform_cosine=chance_level(r, m, generator, matched_cosine),
        uniform_amari=chance_level(r, m, generator, amari_distance),
        shuffled_cosine=_mean(matched_cosine, shuffled),
        shuffled_amari=_mean(amari_distance, shuffled),
    )


def _mean(measure: Measure, runs: Sequence[Components]) -> float:
    return fmean(measure(W, other) for W, other in permutations(runs, 2))


def _shuffled(W: Components, generator: torch.Generator) -> Components:
    return W.gather(1, torch.rand(W.shape, generator=generator).argsort(1).to(W.device))

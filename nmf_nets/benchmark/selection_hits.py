"""How often a planted number of components is found: `python -m nmf_nets.benchmark.selection_hits [--records FILE]`.

It takes minutes. With --records what is found of each data set is kept in that file as it comes, and a later call, also
for other --levels, goes on from there; --to draws the table.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from nmf_nets.as_matrix import as_matrix
from nmf_nets.divergences.beta import beta_divergence
from nmf_nets.matrix import Matrix
from nmf_nets.pages.table import Frame, Table
from nmf_nets.restarts import Restarts
from nmf_nets.selection.base import Choice, Selector
from nmf_nets.selection.bi_cross_validation import BiCrossValidation
from nmf_nets.selection.consensus import Consensus
from nmf_nets.selection.masked_cross_validation import MaskedCrossValidation
from nmf_nets.selection.relevance import Relevance
from nmf_nets.selection.stability import Stability

SELECTORS: dict[str, Selector] = {
    "consensus": Consensus(),
    "stability": Stability(),
    "bi-cross-validation": BiCrossValidation(repeats=1, starts=2, max_iter=200),
    "masked cross-validation": MaskedCrossValidation(repeats=3, max_iter=50),
    "relevance": Relevance(repeats=2),
}
BETAS = {"Gaussian": 2.0, "Poisson": 1.0}
"""Of the divergence that is the likelihood of the noise."""

LEVELS = {10.0: "moderate", 3.0: "hard", 1.0: "failing"}
"""Signal to noise: the variance of the entries of H W by the mean variance of the noise."""

PLANTED = range(3, 13)
TRIED = tuple(range(2, 15))
SHAPE, SEEDS = (100, 60), 10
"""Of the data, and starts of each number of components."""

COLUMNS = ["noise", "signal to noise", "planted", "set", "criterion", "found", "sureness"]


def planted(chance: np.random.Generator, n_components: int) -> np.ndarray:
    """H W, entries gamma with shape 2 and mean 1, of which a half is kept in H and 30 % in W; every row of H and every
    row and column of W keeps at least one, so that every sample has a component and every feature is in one.
    """
    n, m = SHAPE
    H = chance.gamma(2, 0.5, (n, n_components)) * _kept(chance, n, n_components, 0.5)
    kept = _kept(chance, n_components, m, 0.3) | _kept(chance, m, n_components, 0.0).T
    return H @ (chance.gamma(2, 0.5, (n_components, m)) * kept)


def noisy(chance: np.random.Generator, clean: np.ndarray, noise: str, level: float) -> np.ndarray:
    """Counts of a mean proportional to the clean data, or these with normal noise of one variance, negative ones cut."""
    if noise == "Poisson":
        return chance.poisson(clean * level * clean.mean() / clean.var()).astype(float)
    return np.maximum(clean + np.sqrt(clean.var() / level) * chance.standard_normal(clean.shape), 0)


def drawn(noise: str, level: float, n_components: int, number: int) -> Matrix:
    """The data set of that number."""
    chance = np.random.default_rng((n_components, number))
    return as_matrix(noisy(chance, planted(chance, n_components), noise, level))


def chosen(
    X: Matrix, beta: float, selectors: Mapping[str, Selector], numbers: Sequence[int], seeds: int, seed: int
) -> dict[str, Choice]:
    """By each criterion, from fits that they share."""
    restarts = Restarts(X, beta_divergence(beta), numbers, seeds, max_iter=200, tol=1e-4, seed=seed)
    found = {}
    for name, selector in selectors.items():
        own = numbers[-1:] if selector.once else numbers
        judgements = {n: selector.judge(restarts, n, torch.Generator().manual_seed(seed)) for n in own}
        found[name] = selector.choose(judgements)
    return found


def records(levels: Sequence[float], sets: int, known: Frame) -> Iterator[list[dict]]:
    """Of each data set that is not yet known, what every criterion chooses; one set of each kind after the other."""
    done = set(zip(known["noise"], known["signal to noise"], known["planted"], known["set"], strict=True))
    for number in range(sets):
        for level in levels:
            for r in PLANTED:
                for noise, beta in BETAS.items():
                    if (noise, level, r, number) in done:
                        continue
                    choices = chosen(drawn(noise, level, r, number), beta, SELECTORS, TRIED, SEEDS, number)
                    key = {"noise": noise, "signal to noise": level, "planted": r, "set": number}
                    yield [
                        {**key, "criterion": name, "found": choice.n_components or 0, "sureness": choice.sureness}
                        for name, choice in choices.items()
                    ]


def _kept(chance: np.random.Generator, height: int, width: int, part: float) -> np.ndarray:
    """A random part of the entries, and one of each row at least."""
    drawn = chance.random((height, width))
    return drawn <= np.maximum(drawn.min(1, keepdims=True), part)

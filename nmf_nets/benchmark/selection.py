"""What fitting many starts together buys: `python -m nmf_nets.benchmark.selection FILE DIVERGENCE NUMBERS [SEEDS]`.

NUMBERS of components with commas between: 2,3,4,5.
"""

import math
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd
import torch
from sklearn.decomposition import NMF
from sklearn.exceptions import ConvergenceWarning

from nmf_nets.data.base import MatrixDataModule
from nmf_nets.data.matrix import MatrixFile
from nmf_nets.divergences.base import Divergence
from nmf_nets.factorization import Factorization
from nmf_nets.fit import divergence_of, factorize
from nmf_nets.inits.random import random
from nmf_nets.matrix import Matrix
from nmf_nets.pages.table import Table
from nmf_nets.program import pinned_threads
from nmf_nets.restarts import Restarts

AT_ONCE = 10
"""Starts that a method has its turn with."""

ITERATIONS = 200
"""Of all, where none may stop."""

Fit = Callable[[Matrix, Divergence, int, Sequence[int]], list[Factorization]]
"""X from the starts of these seeds, with so many components."""


def together(X: Matrix, divergence: Divergence, n_components: int, seeds: Sequence[int], **stop: float) -> list:
    restarts = Restarts(
        X, divergence, [n_components], len(seeds), seed=seeds[0], together=True, max_iter=int(stop["max_iter"]),
        tol=stop["tol"],
    )  # fmt: skip
    fits = restarts[n_components]
    return [fits[start] for start in range(len(seeds))]


def in_turn(
    X: Matrix, divergence: Divergence, n_components: int, seeds: Sequence[int], solver: str, **stop: float
) -> list[Factorization]:
    found = []
    for seed in seeds:
        given = {"divergence": divergence, "solver": solver, "init": "random", "seed": seed, "kkt_tol": None}
        result = factorize(X, n_components, max_iter=int(stop["max_iter"]), tol=stop["tol"], **given)
        found.append(Factorization(result.H, result.W))
    return found


def scikit_learn(
    X: Matrix, divergence: Divergence, n_components: int, seeds: Sequence[int], **stop: float
) -> list[Factorization]:
    """From the same starts: coordinate descent, which is HALS, for Frobenius, else multiplicative steps."""
    found, values = [], X.numpy()
    solver = "cd" if divergence.beta == 2 else "mu"
    for seed in seeds:
        start = random(X, n_components, torch.Generator().manual_seed(seed))
        model = NMF(n_components, init="custom", solver=solver, beta_loss=divergence.beta, **stop)
        H = model.fit_transform(values, W=start.H.numpy().copy(), H=start.W.numpy().copy())
        found.append(Factorization(torch.from_numpy(H), torch.from_numpy(model.components_)))
    return found


def methods(divergence: Divergence) -> dict[tuple[str, str], Fit]:
    """By name and by when they stop."""
    same = "hals" if divergence.beta == 2 else "mu"
    all_alike, own = {"max_iter": ITERATIONS, "tol": 0.0}, {"max_iter": 1000, "tol": 1e-5}
    alike, itself = f"after {ITERATIONS} iterations", "by its own rule"
    return {
        ("starts together", alike): partial(together, **all_alike),
        (f"starts in turn, {same}", alike): partial(in_turn, solver=same, **all_alike),
        ("scikit-learn in a loop", alike): partial(scikit_learn, **all_alike),
        ("starts together", itself): partial(together, **own),
        ("starts in turn, the fastest solver", itself): partial(in_turn, solver="auto", **own),
        ("scikit-learn in a loop", itself): partial(scikit_learn, max_iter=1000, tol=1e-4),
    }


def selection(X: Matrix, divergence: Divergence, numbers: Sequence[int], seeds: int) -> Table:
    """CPU seconds for all starts of all numbers, each method in turn with AT_ONCE of them."""
    fits = methods(divergence)
    seconds, losses = dict.fromkeys(fits, 0.0), {key: [] for key in fits}
    for fit in fits.values():  # compiles
        fit(X, divergence, numbers[0], range(2))
    for number in numbers:
        for first in range(0, seeds, AT_ONCE):
            part = range(first, min(seeds, first + AT_ONCE))
            for key, fit in fits.items():
                began = time.process_time()
                found = fit(X, divergence, number, part)
                seconds[key] += time.process_time() - began
                losses[key].append([float(divergence.total(X, factors)) for factors in found])
    least = [min(min(losses[key][place]) for key in fits) for place in range(len(losses[next(iter(fits))]))]
    rows = [
        {
            "method": name,
            "stops": stops,
            "CPU seconds": seconds[name, stops],
            "ratio": seconds["scikit-learn in a loop", stops] / seconds[name, stops],
            "loss": math.exp(np.mean([np.log(np.mean(each) / low) for each, low in zip(losses[name, stops], least, strict=True)])) - 1,
        }
        for name, stops in fits
    ]  # fmt: skip
    n, m = X.shape
    title = f"{n:,} × {m:,}, β = {divergence.beta:g}, {seeds} starts each of {', '.join(map(str, numbers))} components"
    note = "ratio: scikit-learn's seconds by these. loss: how far its mean stands above the least of all."
    formats = {"CPU seconds": "{:.2f}", "ratio": "{:.1f}", "loss": "{:+.2%}"}
    return Table("selection", title, pd.DataFrame(rows), formats, note)


def main() -> None:
    path, divergence, numbers, *seeds = sys.argv[1:]
    data: MatrixDataModule = MatrixFile(path, validation=0.0, test=0.0)
    data.setup()
    with warnings.catch_warnings(), pinned_threads(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        table = selection(
            data.training, divergence_of(divergence), [int(n) for n in numbers.split(",")], int(*seeds or [50])
        )
    print(table.markdown())  # noqa: T201 - it is a program


if __name__ == "__main__":
    main()

"""What fitting many starts together buys: `python -m nmf_nets.benchmark.selection FILE DIVERGENCE NUMBERS [SEEDS]`.

NUMBERS of components with commas between: 2,3,4,5.
"""

import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

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

SCIKIT_LEARN = "scikit-learn in a loop"

Factors = list[Factorization]

Fit = Callable[[Matrix, Divergence, int, Sequence[int]], Factors]
"""X from the starts of these seeds, with so many components."""


@dataclass(frozen=True)
class Stop:
    """After so many iterations, or where `tol` says so."""

    max_iter: int
    tol: float


def together(X: Matrix, divergence: Divergence, n_components: int, seeds: Sequence[int], stop: Stop) -> Factors:
    restarts = Restarts(X, divergence, [n_components], len(seeds), stop.max_iter, stop.tol, seeds[0], together=True)
    fits = restarts[n_components]
    return [fits[start] for start in range(len(seeds))]


def in_turn(
    X: Matrix, divergence: Divergence, n_components: int, seeds: Sequence[int], stop: Stop, solver: str
) -> Factors:
    found = []
    for seed in seeds:
        result = factorize(
            X,
            n_components,
            divergence=divergence,
            solver=solver,
            init="random",
            seed=seed,
            max_iter=stop.max_iter,
            tol=stop.tol,
            kkt_tol=None,
        )
        found.append(Factorization(result.H, result.W))
    return found


def scikit_learn(X: Matrix, divergence: Divergence, n_components: int, seeds: Sequence[int], stop: Stop) -> Factors:
    """From the same starts: coordinate descent, which is HALS, for Frobenius, else multiplicative steps."""
    found, values = [], X.numpy()
    solver, loss = ("cd", "frobenius") if divergence.beta == 2 else ("mu", "kullback-leibler")
    given: dict[str, Any] = {"n_components": n_components, "max_iter": stop.max_iter, "tol": stop.tol}
    for seed in seeds:
        start = random(X, n_components, torch.Generator().manual_seed(seed))
        model = NMF(init="custom", solver=solver, beta_loss=loss, **given)
        H = model.fit_transform(values, W=start.H.numpy().copy(), H=start.W.numpy().copy())
        found.append(Factorization(torch.from_numpy(H), torch.from_numpy(model.components_)))
    return found


def methods(divergence: Divergence) -> dict[tuple[str, str], Fit]:
    """By name and by when they stop."""
    same = "hals" if divergence.beta == 2 else "mu"
    alike, itself = f"after {ITERATIONS} iterations", "by its own rule"
    fixed, own = Stop(ITERATIONS, 0.0), Stop(1000, 1e-5)
    return {
        ("starts together", alike): partial(together, stop=fixed),
        (f"starts in turn, {same}", alike): partial(in_turn, stop=fixed, solver=same),
        (SCIKIT_LEARN, alike): partial(scikit_learn, stop=fixed),
        ("starts together", itself): partial(together, stop=own),
        ("starts in turn, the fastest solver", itself): partial(in_turn, stop=own, solver="auto"),
        (SCIKIT_LEARN, itself): partial(scikit_learn, stop=Stop(1000, 1e-4)),
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
                losses[key] += [float(divergence.total(X, factors)) for factors in found]
    by_number = {key: np.array(values).reshape(len(numbers), seeds) for key, values in losses.items()}
    least = np.min([values.min(1) for values in by_number.values()], axis=0)
    rows = [
        {
            "method": name,
            "stops": stops,
            "CPU seconds": seconds[name, stops],
            "ratio": seconds[SCIKIT_LEARN, stops] / seconds[name, stops],
            "loss": float(np.mean(np.median(by_number[name, stops], 1) / least)) - 1,
        }
        for name, stops in fits
    ]
    n, m = X.shape
    title = f"{n:,} × {m:,}, β = {divergence.beta:g}, {seeds} starts each of {', '.join(map(str, numbers))} components"
    note = (
        "One thread. ratio: scikit-learn's seconds by these. loss: how far the median of the starts stands above the "
        "least of all, the mean over the numbers of components."
    )
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

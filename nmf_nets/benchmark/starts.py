"""What each init buys: `python -m nmf_nets.benchmark.starts FILE DIVERGENCE N_COMPONENTS [SEEDS]`."""

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import islice, pairwise

import pandas as pd
import torch

from nmf_nets.data.base import MatrixDataModule
from nmf_nets.data.matrix import MatrixFile
from nmf_nets.divergences.base import Divergence
from nmf_nets.divergences.beta import beta_divergence
from nmf_nets.factorization import Factorization
from nmf_nets.inits.base import Init
from nmf_nets.inits.kmeans import kmeans
from nmf_nets.inits.nndsvd import nndsvd
from nmf_nets.inits.nndsvda import nndsvda
from nmf_nets.inits.nndsvdar import nndsvdar
from nmf_nets.inits.random import random
from nmf_nets.inits.random_acol import random_acol
from nmf_nets.inits.separable import separable
from nmf_nets.inits.spherical_kmeans import spherical_kmeans
from nmf_nets.matrix import Matrix
from nmf_nets.pages.table import Table
from nmf_nets.refusal import Refusal
from nmf_nets.solvers import named

BETAS = {"frobenius": 2.0, "kullback_leibler": 1.0}
SOLVERS = {"frobenius": "hals", "kullback_leibler": "newton"}
MARKS = (0, 10, 200)
"""Iterations after which the loss is looked at."""

INITS: dict[str, Callable[..., Factorization]] = {
    "random": random,
    "random_acol": random_acol,
    "nndsvd": nndsvd,
    "nndsvda": nndsvda,
    "nndsvdar": nndsvdar,
    "kmeans": kmeans,
    "spherical_kmeans": spherical_kmeans,
    "separable": separable,
}
POSITIVE = ("random_acol", "kmeans", "spherical_kmeans", "separable")
"""Those that have a form without zeros."""


def path_from(X: Matrix, divergence: Divergence, solver: str, init: Init, n_components: int, seed: int) -> list[float]:
    """Seconds of the init, and the loss at the marks."""
    began = time.perf_counter()
    start = init(X, n_components, torch.Generator().manual_seed(seed))
    found = [time.perf_counter() - began, float(divergence.total(X, start))]
    iterates = named(solver, X, divergence).iterates(X, start)
    for before, mark in pairwise(MARKS):
        *_, factors = islice(iterates, mark - before)
        found.append(float(divergence.total(X, factors)))
    return found


def starts(X: Matrix, divergence: Divergence, solver: str, n_components: int, seeds: int = 5) -> Table:
    """Medians over seeds, losses relative to the least after the last mark; multiplicative steps with `positive`."""
    lines = {}
    for name, init in INITS.items():
        init = partial(init, positive=True) if solver == "mu" and name in POSITIVE else init
        try:
            paths = [path_from(X, divergence, solver, init, n_components, seed) for seed in range(seeds)]
        except Refusal as refusal:
            print(f"{name}: {refusal}", file=sys.stderr)  # noqa: T201 - it is a program
            continue
        lines[name] = [statistics.median(column) for column in zip(*paths, strict=True)]
    least = min(line[-1] for line in lines.values())
    columns = ["at the start" if mark == 0 else f"after {mark}" for mark in MARKS]
    frame = pd.DataFrame(
        [
            {"init": name, "seconds": line[0], **dict(zip(columns, (v / least - 1 for v in line[1:]), strict=True))}
            for name, line in lines.items()
        ]
    )
    n, m = X.shape
    title = f"{n:,} × {m:,}, {n_components} components, β = {divergence.beta:g}, {solver}"
    note = f"Loss above {least:.6g}, the least median after {MARKS[-1]} iterations; medians of {seeds} seeds."
    return Table("starts", title, frame, {"seconds": "{:.2f}", **dict.fromkeys(columns, "{:+.2%}")}, note)


def main() -> None:
    path, divergence, n_components, *seeds = sys.argv[1:]
    data: MatrixDataModule = MatrixFile(path, validation=0.0, test=0.0)
    data.setup()
    D = beta_divergence(BETAS[divergence])
    for solver in (SOLVERS[divergence], "mu"):
        print(starts(data.training, D, solver, int(n_components), *map(int, seeds)).markdown())  # noqa: T201


if __name__ == "__main__":
    main()

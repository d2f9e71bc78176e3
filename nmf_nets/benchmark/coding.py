"""How fast unseen rows are coded: `python -m nmf_nets.benchmark.coding FILE DIVERGENCE N_COMPONENTS`."""

import logging
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.decomposition import NMF
from sklearn.exceptions import ConvergenceWarning

from nmf_nets.data.base import MatrixDataModule
from nmf_nets.data.matrix import MatrixFile
from nmf_nets.divergences.base import Divergence
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.divergences.kullback_leibler import KullbackLeibler
from nmf_nets.encoders.exact import Exact
from nmf_nets.encoders.unrolled import Unrolled
from nmf_nets.factorization import Factorization
from nmf_nets.inits.random import random
from nmf_nets.matrix import Matrix
from nmf_nets.modules.frobenius import FrobeniusNMF
from nmf_nets.modules.kullback_leibler import KullbackLeiblerNMF
from nmf_nets.pages.table import Table
from nmf_nets.solver import Solver
from nmf_nets.updates.hals import HALS
from nmf_nets.updates.scalar_newton import ScalarNewton

ENOUGH = 0.01
"""Codes count whose loss is so little above that of exact ones."""

STEPS = (1, 2, 3, 5, 10, 20)
ITERATIONS = (1, 2, 3, 5, 10, 20, 50)
"""That are tried, beside scikit-learn's own 200 with its tolerance."""

Coder = Callable[[], torch.Tensor]


def coding(training: Matrix, rows: Matrix, divergence: Divergence, n_components: int, repeats: int = 7) -> Table:
    """Seconds for all rows, on the same W: `unrolled` nets with so many half-steps, and scikit-learn's transform.

    In turn, the median of the repeats; the first call is not counted.
    """
    frobenius = isinstance(divergence, Frobenius)
    update, net_of = (HALS(), FrobeniusNMF) if frobenius else (ScalarNewton(), KullbackLeiblerNMF)
    start = random(training, n_components, torch.Generator().manual_seed(0))
    solver = Solver(update, update.effort, update.extrapolation)
    trained = next(islice(solver.iterates(training, start), 100, None))
    W, exact = trained.W, Exact(None, update)

    def value(H: torch.Tensor) -> float:
        return float(divergence.total(rows, Factorization(H.to(rows.dtype), W)))

    coders: dict[str, Coder] = {}
    for steps in STEPS:
        net = net_of(trained, Unrolled(trained, update, steps=steps, progress=0.0)).eval()
        coders[f"net, {steps} half-steps"] = lambda net=net: net.factorize(rows).H
    given, name = rows.numpy(), "cd" if frobenius else "mu"
    for iterations in (*ITERATIONS, 200):
        coders[f"scikit-learn {name}, {iterations} iterations"] = _transform(given, W, name, iterations)
    best = value(exact(rows, W))
    spent: dict[str, list[float]] = {who: [] for who in coders}
    gaps = {who: value(coder()) / best - 1 for who, coder in coders.items()}
    for _ in range(repeats):
        for who, coder in coders.items():
            began = time.perf_counter()
            coder()
            spent[who].append(time.perf_counter() - began)
    seconds = {who: statistics.median(spent[who]) for who in coders}
    near = {who: seconds[who] for who in coders if gaps[who] <= ENOUGH}
    ours = min((who for who in near if who.startswith("net")), key=near.__getitem__)
    theirs = min(near[who] for who in near if not who.startswith("net"))
    default = list(seconds.values())[-1]
    note = (
        f"{ours}: {default / near[ours]:.1f} times faster than scikit-learn's default, {theirs / near[ours]:.1f} times "
        f"than its fastest within {ENOUGH:.0%}."
    )
    frame = pd.DataFrame([{"codes": who, "above exact": gaps[who], "seconds": seconds[who]} for who in coders])
    title = f"{rows.shape[0]:,} × {rows.shape[1]:,} rows, {n_components} components, {torch.get_num_threads()} threads"
    return Table("coding", title, frame, {"above exact": "{:+.3%}", "seconds": "{:.4f}"}, note)


def _transform(rows: object, W: torch.Tensor, solver: str, iterations: int) -> Coder:
    """scikit-learn's transform as if it had been fitted to this W."""
    loss = "frobenius" if solver == "cd" else "kullback-leibler"
    r: Any = len(W)  # its annotation says a string
    peer: Any = NMF(n_components=r, solver=solver, beta_loss=loss, max_iter=iterations, init="random", random_state=0)
    peer.components_ = np.ascontiguousarray(W.numpy())
    peer.n_components_, peer._n_components, peer.n_features_in_ = r, r, W.shape[1]

    def transform() -> torch.Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # so few iterations are what is asked
            return torch.from_numpy(np.asarray(peer.transform(rows)))

    return transform


def held_out(path: str, rows: int | None = None) -> tuple[Matrix, Matrix]:
    """A file's training rows and 20 % of them, or so many, that nobody has seen."""
    data: MatrixDataModule = MatrixFile(path, validation=0.0, test=0.2)
    data.setup()
    assert data.test is not None
    return data.training, data.test if rows is None else data.test.span(0, rows)


def main() -> None:
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    path, divergence, n_components, *rows = sys.argv[1:]
    training, unseen = held_out(path, *map(int, rows))
    of = {"frobenius": Frobenius(), "kullback_leibler": KullbackLeibler()}
    print(coding(training, unseen, of[divergence], int(n_components)).markdown())  # noqa: T201 - it is a program


if __name__ == "__main__":
    main()

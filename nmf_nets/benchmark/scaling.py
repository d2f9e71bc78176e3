"""How the cost of an iteration grows, and what memory it takes: `python -m nmf_nets.benchmark.scaling`."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse
import torch

from nmf_nets.as_matrix import as_matrix
from nmf_nets.divergences.beta import beta_divergence
from nmf_nets.inits.random import random
from nmf_nets.matrix import Matrix
from nmf_nets.pages.numbers import number
from nmf_nets.pages.table import Table
from nmf_nets.solvers import named

SIZES = (1, 2, 4, 8)
"""Times the smallest."""


@dataclass(frozen=True)
class Size:
    """A problem: `density` 1 is dense."""

    rows: int = 2000
    columns: int = 2000
    density: float = 1.0
    n_components: int = 16


DENSE = Size(1000, 1000)
SPARSE = Size(20_000, 20_000, 0.001)
GROWING = {
    "rows": lambda size, times: Size(size.rows * times, size.columns, size.density, size.n_components),
    "columns": lambda size, times: Size(size.rows, size.columns * times, size.density, size.n_components),
    "non-zeros": lambda size, times: Size(size.rows, size.columns, size.density * times, size.n_components),
    "components": lambda size, times: Size(size.rows, size.columns, size.density, size.n_components * times),
}
SOLVERS = (("mu", 2), ("hals", 2), ("e-hals", 2), ("mu", 1), ("newton", 1), ("e-newton", 1))


def costs(sizes: tuple[int, ...] = SIZES, dense: Size = DENSE, sparse: Size = SPARSE) -> Table:
    """Milliseconds of an iteration over sizes, and the exponent of their growth from the first to the last."""
    rows = []
    for kind, size in (("dense", dense), ("sparse", sparse)):
        for axis, grown in GROWING.items():
            if kind == "dense" and axis == "non-zeros":
                continue
            for name, beta in SOLVERS:
                spent = [milliseconds(grown(size, times), name, beta) for times in sizes]
                exponent = math.log(spent[-1] / spent[0]) / math.log(sizes[-1] / sizes[0])
                solver = f"{name}, {'Frobenius' if beta == 2 else 'KL'}"
                columns = {f"× {times}": each for times, each in zip(sizes, spent, strict=True)}
                rows.append({"data": kind, "growing": axis, "solver": solver, **columns, "exponent": exponent})
    frame = pd.DataFrame(rows)
    forms = {name: number for name in frame.columns if name.startswith("×")} | {"exponent": "{:.2f}"}
    note = "Milliseconds an iteration, float32, the least of five. exponent: 1 is linear."
    return Table("scaling", f"{_said(dense)}; {_said(sparse)}", frame, forms, note)


def milliseconds(
    size: Size,
    name: str,
    beta: int,
    iterations: int = 5,
    repeats: int = 5,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Of an iteration, after one that is not counted; the least of the repeats."""
    X = _data(size)
    solver = named(name, X, beta_divergence(beta))
    stream = solver.iterates(X, random(X, size.n_components, torch.Generator().manual_seed(0)))
    next(stream)
    spent = []
    for _ in range(repeats):
        began = clock()
        for _ in islice(stream, iterations):
            pass
        spent.append(clock() - began)
    return 1e3 * min(spent) / iterations


def peak_memory(X: Matrix, n_components: int, name: str, beta: int, iterations: int = 20) -> tuple[int, int]:
    """Bytes that X, its transpose, and the solver held at most, and bytes of X and its factors. Linux only."""
    warm = as_matrix(np.ones((4, 3)), X.dtype)
    if X.is_sparse:
        warm = as_matrix(scipy.sparse.csr_array(np.ones((4, 3))), X.dtype)
    start = random(warm, 2, torch.Generator().manual_seed(0))
    next(named(name, warm, beta_divergence(beta)).iterates(warm, start))
    needed = X.values.numel() * (X.values.element_size() + (4 if X.is_sparse else 0))
    needed += sum(X.shape) * n_components * X.values.element_size()
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    stream = named(name, X, beta_divergence(beta)).iterates(
        X, random(X, n_components, torch.Generator().manual_seed(0))
    )
    for _ in islice(stream, iterations):
        pass
    held = X.values.numel() * (X.values.element_size() + (4 if X.is_sparse else 0))
    return _resident("VmHWM") - before + held, needed


def _resident(field: str) -> int:
    lines: Iterator[str] = iter(Path("/proc/self/status").read_text().splitlines())
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field))


def _data(size: Size) -> Matrix:
    chance = np.random.default_rng(0)
    if size.density == 1:
        return as_matrix(chance.random((size.rows, size.columns), dtype=np.float32))
    count = int(size.density * size.rows * size.columns)
    place = chance.integers(size.rows, size=count), chance.integers(size.columns, size=count)
    values = 1 + chance.poisson(1.0, count).astype(np.float32)
    return as_matrix(scipy.sparse.coo_array((values, place), shape=(size.rows, size.columns)).tocsr())


def _said(size: Size) -> str:
    kind = "dense" if size.density == 1 else f"{100 * size.density:g} % non-zeros"
    return f"{size.rows:,} × {size.columns:,}, {kind}, {size.n_components} components"


def main() -> None:
    print(costs().markdown())  # noqa: T201 - it is a program


if __name__ == "__main__":
    main()

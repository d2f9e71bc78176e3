"""What an iteration over many ranks will take, from what is measured here: `python -m nmf_nets.benchmark.prediction`.

Of the exact solver whose rows are split over ranks (docs/mathematics/distributed.md): compute, one all-reduce, memory.
"""

import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.optimize import nnls
from threadpoolctl import threadpool_limits
from torch import distributed, multiprocessing

from nmf_nets.benchmark.scaling import Size, milliseconds
from nmf_nets.pages.numbers import duration, number
from nmf_nets.pages.table import Table

SOLVERS = {"hals": 2, "mu": 1}
"""And their β: what the solver over ranks takes by itself for Frobenius and, with so many columns, Kullback–Leibler."""

DENSE = [(1000, 1000, 16), (2000, 1000, 8), (1000, 2000, 32), (4000, 500, 48), (3000, 1500, 12), (1500, 3000, 64)]
SPARSE = [
    (20_000, 5_000, 0.005, 8),
    (20_000, 5_000, 0.005, 32),
    (5_000, 5_000, 0.02, 16),
    (40_000, 10_000, 0.002, 16),
    (40_000, 10_000, 0.005, 48),
    (10_000, 50_000, 0.002, 32),
    (10_000, 100_000, 0.001, 24),
    (100_000, 5_000, 0.002, 64),
    (200_000, 50_000, 0.0001, 48),
    (20_000, 200_000, 0.0005, 64),
]
HELD_OUT = [(30_000, 8_000, 0.004, 20), (20_000, 30_000, 0.002, 50), (40_000, 100_000, 0.001, 50)]
KINDS = {
    "dense": ([Size(n, m, 1, r) for n, m, r in DENSE], [Size(2500, 1200, 1, 24), Size(6000, 1000, 1, 40)]),
    "sparse": ([Size(*size) for size in SPARSE], [Size(*size) for size in (*HELD_OUT, (300_000, 20_000, 0.0003, 50))]),
}
"""Sizes that the model is fitted to, and others that it has to predict."""

MESSAGES = ((10_000, 100_000, 1_000_000, 5_000_000), (300_000, 2_500_000))
"""Numbers in float64 that two ranks add: to fit to, and to predict."""

HBM, NVLINK_OR_INFINIBAND, HOP = 3.35e12, 50e9, 10e-6
"""Of an H100 SXM: bytes a second of its memory (NVIDIA's data sheet) and of a 400 Gb/s link, which one of eight has
for itself in a DGX H100; seconds of latency for each of the 2 (p − 1) steps of a ring, which are assumed."""

CACHE = 2**22
"""Bytes of it that a core has for itself, about."""

PESSIMISTIC = 0.1
"""Of the bandwidth, where all that a kernel fetches at random comes from memory."""


# The model ------------------------------------------------------------------------------------------------------------


def work(size: Size) -> np.ndarray:
    """What the seconds of an iteration are a sum of, for v stored values: v, v r, v r from beyond the cache, (n + m) r
    and (n + m) r². A product with sparse X fetches a row of W, or of H, for each value, and the part of them that the
    cache cannot hold comes from memory.
    """
    n, m, r = size.rows, size.columns, size.n_components
    values = size.density * n * m
    beyond = [max(0.0, 1 - CACHE / (4 * length * r)) for length in (n, m)] if size.density < 1 else [0.0]
    return np.array([values, values * r, values * r * np.mean(beyond), (n + m) * r, (n + m) * r**2])


def numbers_sent(solver: str, columns: int, n_components: int) -> int:
    """Of the sums over rows that all ranks add in an iteration, with the loss and the three flags of the loop."""
    m, r = columns, n_components
    own = {"hals": r * r, "mu": r, "newton": r * (r + 1) // 2 * m + r}[solver]
    return own + r * m + 5


def all_reduce_seconds(numbers: int, ranks: int, bandwidth: float, hop: float) -> float:
    """Of a ring, in float64: 2 (p − 1) / p of the bytes over each link, in 2 (p − 1) steps."""
    return 2 * (ranks - 1) / ranks * 8 * numbers / bandwidth + 2 * (ranks - 1) * hop


def bytes_moved(size: Size) -> float:
    """At the least, by two products with X: of a sparse value itself, its index, and a row of W or of H."""
    values = size.density * size.rows * size.columns
    return 2 * values * (8 + 4 * size.n_components) if size.density < 1 else 2 * values * 4


def memory(solver: str, rows: int, columns: int, values: float, n_components: int) -> float:
    """Bytes of a rank: CSR of 4-byte values and indices, codes, W, and the sums in float64 with those that arrive."""
    X = 8 * values + 8 * rows
    return X + 4 * n_components * (rows + columns) + 16 * numbers_sent(solver, columns, n_components)


@dataclass(frozen=True)
class Fitted:
    """Seconds as a sum of non-negative parts, with the least relative squares."""

    parts: np.ndarray

    @classmethod
    def to(cls, terms: Sequence[np.ndarray], seconds: Sequence[float]) -> "Fitted":
        A = np.array(terms) / np.array(seconds)[:, None]
        scale = np.where(A.any(0), A.max(0), 1.0)
        return cls(nnls(A / scale, np.ones(len(A)))[0] / scale)

    def seconds(self, terms: np.ndarray) -> float:
        return float(self.parts @ terms)


# What is measured -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Check:
    """What was measured, and what the model that had not seen it says."""

    what: str
    size: str
    measured: float
    predicted: float


@dataclass(frozen=True)
class Machine:
    """What this machine takes: of each kind of data and solver the model, of messages too; bytes a second of memory."""

    compute: dict[tuple[str, str], Fitted]
    messages: Fitted
    triad: float
    checks: list[Check]


def measured(
    kinds: dict[str, tuple[list[Size], list[Size]]] = KINDS,
    messages: tuple[Sequence[int], Sequence[int]] = MESSAGES,
    repeats: int = 6,
    triad_numbers: int = 2**25,
) -> Machine:
    """In one thread and by the processor's seconds, which others on the machine disturb less; messages by the clock."""
    compute, checks = {}, []
    with threadpool_limits(1):
        torch.set_num_threads(1)
        for kind, (known, held_out) in kinds.items():
            for solver, beta in SOLVERS.items():

                def seconds(size: Size, solver: str = solver, beta: int = beta) -> float:
                    return 1e-3 * milliseconds(size, solver, beta, 2, repeats, time.process_time)

                model = compute[kind, solver] = Fitted.to([work(size) for size in known], [*map(seconds, known)])
                checks += [
                    Check(f"{kind}, {solver}", _said(size), seconds(size), model.seconds(work(size)))
                    for size in held_out
                ]
        bandwidth = triad(triad_numbers)
    spent = exchanged([*messages[0], *messages[1]])
    first = len(messages[0])
    model = Fitted.to([_of_message(count) for count in messages[0]], spent[:first])
    for count, found in zip(messages[1], spent[first:], strict=True):
        checks.append(Check("all-reduce, 2 ranks", f"{count:,}", found, model.seconds(_of_message(count))))
    return Machine(compute, model, bandwidth, checks)


def triad(count: int, repeats: int = 30) -> float:
    """Bytes a second of a ← b + 3 c in float32, which reads two and writes one; the most of the repeats."""
    a, b, c = (torch.ones(count) for _ in range(3))
    return (
        12 * count / min(_timed(lambda: torch.add(b, c, alpha=3.0, out=a), time.process_time) for _ in range(repeats))
    )


def exchanged(counts: Sequence[int], repeats: int = 20) -> list[float]:
    """Seconds in which two processes add so many numbers by gloo, the least of the repeats."""
    with tempfile.TemporaryDirectory() as folder:
        multiprocessing.spawn(_exchange, (folder, list(counts), repeats), nprocs=2)  # pyright: ignore[reportPrivateImportUsage]
        return json.loads(Path(folder, "seconds").read_text())


def _exchange(rank: int, folder: str, counts: Sequence[int], repeats: int) -> None:
    torch.set_num_threads(1)
    if platform.system() == "Linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # the name of the host may lead nowhere
    store = f"file://{folder}/store"
    distributed.init_process_group("gloo", store, rank=rank, world_size=2, timeout=timedelta(minutes=2))
    spent = []
    for count in counts:
        message = torch.zeros(count, dtype=torch.float64)
        distributed.all_reduce(message)
        each = []
        for _ in range(repeats):
            distributed.barrier()
            each.append(_timed(lambda message=message: distributed.all_reduce(message)))
        spent.append(min(each))
    if rank == 0:
        Path(folder, "seconds").write_text(json.dumps(spent))
    distributed.destroy_process_group()


def _of_message(count: int) -> np.ndarray:
    return np.array([8.0 * count, 1.0])


def _timed(work: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    began = clock()
    work()
    return clock() - began


# What is said ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A sparse matrix over so many ranks."""

    rows: int
    columns: int
    values: float
    n_components: int = 50
    ranks: int = 64

    @property
    def of_a_rank(self) -> Size:
        return Size(self.rows // self.ranks, self.columns, self.values / self.rows / self.columns, self.n_components)


CASES = (Case(10**9, 10**5, 1e11), Case(10**7, 10**5, 1e9))


PARTS = ("v", "v r", "v r beyond the cache", "(n + m) r", "(n + m) r²")


def constants(machine: Machine) -> Table:
    """Of each kind and solver the parts of its seconds; the bandwidths of memory and of messages."""
    rows = []
    for (kind, solver), model in machine.compute.items():
        rows.append({"data": kind, "solver": solver, **dict(zip(PARTS, 1e9 * model.parts, strict=True))})
    forms = dict.fromkeys(list(rows[0])[2:], number)
    latency, rate = machine.messages.parts[1], 1 / machine.messages.parts[0]
    note = (
        f"Memory, by a triad in one thread: {number(machine.triad / 1e9)} GB/s. All-reduce of two ranks by gloo: "
        f"{number(1e6 * latency)} µs and {number(rate / 1e9)} GB/s."
    )
    return Table(
        "constants", "What an iteration takes here, in one thread: nanoseconds", pd.DataFrame(rows), forms, note
    )


def checked(machine: Machine) -> Table:
    """What the model says of sizes that it was not fitted to, and what they take."""
    rows = [
        {
            "what": check.what,
            "size": check.size,
            "predicted": check.predicted,
            "measured": check.measured,
            "error": check.predicted / check.measured - 1,
        }
        for check in machine.checks
    ]
    forms = {"predicted": duration, "measured": duration, "error": lambda error: f"{100 * error:+.0f} %"}
    return Table("held_out", "Sizes that the model has not seen", pd.DataFrame(rows), forms, "n × m, values, r.")


def messages(columns: int = 10**5, n_components: int = 50, ranks: int = 64) -> Table:
    """What ranks add in an iteration, however many rows there are, and how long a ring of fast links takes."""
    rows = []
    for solver in ("hals", "mu", "newton"):
        count = numbers_sent(solver, columns, n_components)
        seconds = all_reduce_seconds(count, ranks, NVLINK_OR_INFINIBAND, HOP)
        rows.append({"solver": solver, "numbers": count, "megabytes": 8 * count / 1e6, "seconds": seconds})
    forms = {"numbers": "{:,}", "megabytes": number, "seconds": duration}
    title = f"One all-reduce: {columns:,} columns, {n_components} components, {ranks} ranks"
    return Table("messages", title, pd.DataFrame(rows), forms)


def predicted(machine: Machine, cases: Sequence[Case] = CASES) -> Table:
    """On cores like this one; on GPUs that reach the same share of the bandwidth of their memory; at a tenth of it."""
    rows = []
    for case in cases:
        size = case.of_a_rank
        for solver in SOLVERS:
            core = machine.compute["sparse", solver].seconds(work(size))
            sent = numbers_sent(solver, case.columns, case.n_components)
            reduced = all_reduce_seconds(sent, case.ranks, NVLINK_OR_INFINIBAND, HOP)
            held = memory(solver, size.rows, case.columns, case.values / case.ranks, case.n_components)
            moved = bytes_moved(size)
            scaled = max(core * machine.triad, moved) / HBM
            slow = max(scaled, moved / (PESSIMISTIC * HBM))
            rows.append(
                {
                    "matrix": f"{case.rows:.0e} × {case.columns:.0e}, {case.values:.0e} values".replace("e+", "e"),
                    "solver": solver,
                    "a rank": held / 1e9,
                    "a core": core,
                    "of its bandwidth": moved / core / machine.triad,
                    "all-reduce": reduced,
                    "a GPU, like here": scaled,
                    "at a tenth": slow,
                    "50 iterations": 50 * (scaled + reduced),
                    "50 at a tenth": 50 * (slow + reduced),
                }
            )
    seconds = ("all-reduce", "a core", "a GPU, like here", "at a tenth", "50 iterations", "50 at a tenth")
    forms = {
        "a rank": lambda gigabytes: f"{number(gigabytes)} GB",
        "of its bandwidth": "{:.2f}",
        **dict.fromkeys(seconds, duration),
    }
    note = f"{cases[0].n_components} components, {cases[0].ranks} ranks. A prediction: no such machine was used."
    return Table("predicted", "An iteration on many ranks", pd.DataFrame(rows), forms, note)


def _said(size: Size) -> str:
    return f"{size.rows:,} × {size.columns:,}, {round(size.density * size.rows * size.columns):,}, {size.n_components}"


def main() -> None:
    machine = measured()
    tables = (constants(machine), checked(machine), messages(), predicted(machine))
    print(*(table.markdown() for table in tables), sep="\n")  # noqa: T201 - it is a program


if __name__ == "__main__":
    main()

"""Two ranks of one thread beside one: `python -m nmf_nets.benchmark.ranks [n_samples n_features n_components]`."""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse
import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from nmf_nets.as_matrix import as_matrix
from nmf_nets.distributed import factorize_rows
from nmf_nets.group import Group
from nmf_nets.pages.table import Table
from nmf_nets.sources.base import Source
from nmf_nets.sources.open import source_of
from nmf_nets.sources.resident import Resident
from nmf_nets.watch import Moment

ITERATIONS, REPEATS = 6, 3
"""Of which the first is not counted, as kernels are compiled in it; and how often all runs are repeated, in turn."""

LOOPBACK = Path("/sys/class/net/lo/statistics/tx_bytes")


@dataclass(frozen=True)
class Timing:
    """Seconds of an iteration, bytes that rank 0 handed to its group in it, and those on the loopback meanwhile."""

    seconds: float
    sent: int
    seen: float


@dataclass(frozen=True)
class Task:
    """Counts of that size, 2 % of which are not zero where it is sparse; dense ones lie in a file, or in memory."""

    n_samples: int
    n_features: int
    n_components: int
    is_sparse: bool
    is_resident: bool

    @property
    def divergence(self) -> str:
        return "kullback_leibler" if self.is_sparse else "frobenius"

    def source(self, directory: Path, rank: int, size: int) -> Source:
        """The rows of all ranks; what is in memory is, whole, in that of each."""
        if not self.is_sparse:
            file = directory / "X.npy"
            return Resident(as_matrix(np.load(file))) if self.is_resident else source_of(file)
        generator = np.random.default_rng(0)
        X = scipy.sparse.random_array(
            (self.n_samples, self.n_features), density=0.02, format="csr", dtype=np.float32, rng=generator
        )
        X.data = np.ceil(5 * X.data)
        return Resident(as_matrix(X))

    def write(self, directory: Path) -> None:
        if self.is_sparse:
            return
        generator = np.random.default_rng(0)
        X = np.lib.format.open_memmap(
            directory / "X.npy", "w+", np.float32, (self.n_samples, self.n_features)
        )  # a block at a time, as it may be more than memory holds
        W = generator.gamma(0.5, size=(self.n_components, self.n_features)).astype(np.float32)
        for start in range(0, self.n_samples, 4096):
            H = generator.gamma(0.5, size=(min(4096, self.n_samples - start), self.n_components)).astype(np.float32)
            X[start : start + len(H)] = (H @ W) * (0.5 + generator.random((len(H), self.n_features), np.float32))


def timed(task: Task, directory: Path, group: Group) -> Timing:
    """Iterations on this rank's rows."""
    source, ends = task.source(directory, group.rank, group.size), []

    def note(moment: Moment) -> None:
        ends.append((time.perf_counter(), _loopback()))

    result = factorize_rows(
        source, task.n_components, divergence=task.divergence, init="random", max_iter=ITERATIONS, tol=0.0,
        check_every=1, callback=note, group=group,
    )  # fmt: skip
    (began, before), (ended, after) = ends[0], ends[-1]
    return Timing((ended - began) / (ITERATIONS - 1), result.sent, (after - before) / (ITERATIONS - 1))


def _work(rank: int, size: int, task: Task, directory: str, place: str) -> None:
    """A rank in a process of its own, with one thread; rank 0 leaves its timing."""
    torch.set_num_threads(1)
    with _met(rank, size, directory, place) as group:
        timing = timed(task, Path(directory), group)
        if rank == 0:
            torch.save((timing.seconds, timing.sent, timing.seen), Path(directory) / f"{place}.pt")


@contextmanager
def _met(rank: int, size: int, directory: str, place: str) -> Iterator[Group]:
    if size > 1:
        os.environ["GLOO_SOCKET_IFNAME"] = "lo"
        meeting = f"file://{directory}/{place}.meeting"
        dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=size, timeout=timedelta(seconds=600))
    yield Group()
    if size > 1:
        dist.destroy_process_group()


def _loopback() -> int:
    return int(LOOPBACK.read_text()) if LOOPBACK.exists() else 0


def ranks(n_samples: int, n_features: int, n_components: int, repeats: int = REPEATS) -> Table:
    """Dense squares by hals and sparse counts by newton, on one rank and on two, in turn; medians of the repeats."""
    rows = []
    for is_sparse, is_resident in ((False, False), (False, True), (True, True)):
        task = Task(n_samples, n_features, n_components, is_sparse, is_resident)
        found: dict[int, list[Timing]] = {1: [], 2: []}
        with tempfile.TemporaryDirectory() as directory:
            task.write(Path(directory))
            for repeat in range(repeats):
                for size in found:
                    place = f"{size}-{repeat}"
                    spawn(_work, (size, task, directory, place), nprocs=size)
                    found[size].append(Timing(*torch.load(Path(directory) / f"{place}.pt")))
        one, two = (statistics.median(timing.seconds for timing in found[size]) for size in (1, 2))
        last = found[2][-1]
        rows.append(
            {
                "task": f"{'sparse' if is_sparse else 'dense'} {task.divergence}",
                "X": "memory" if is_resident else "a file",
                "one rank": one,
                "two ranks": two,
                "ratio": one / two,
                "message": last.sent,
                "on the loopback": statistics.median(timing.seen for timing in found[2]),
            }
        )
    formats = {"one rank": "{:.3f}", "two ranks": "{:.3f}", "ratio": "{:.2f}", "on the loopback": "{:,.0f}"}
    title = f"{n_samples:,} × {n_features:,}, {n_components} components, a thread a rank"
    note = (
        f"Seconds of an iteration, medians of {repeats} runs in turn; bytes of a message, and on the loopback in an "
        "iteration, whatever else went there: both ranks of a ring of two send the message once, and look at the loss. "
        "A rank that reads a file does so in a second thread, which one rank has a processor for."
    )
    return Table("ranks", title, pd.DataFrame(rows), formats | {"message": "{:,}"}, note)


def main() -> None:
    sizes = [int(word) for word in sys.argv[1:4]] or [200_000, 1000, 20]
    print(ranks(*sizes).markdown())  # noqa: T201 - it is a program


if __name__ == "__main__":
    main()

"""Planted matrices larger than memory, factorized from disk: `python -m nmf_nets.benchmark.out_of_core FOLDER`."""

import argparse
import json
import logging
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse
import torch
from pytorch_lightning import Trainer

from nmf_nets.as_matrix import as_matrix
from nmf_nets.constraints.projected import Projected
from nmf_nets.data.on_disk import OnDisk
from nmf_nets.decoders.linear import Linear
from nmf_nets.distributed import factorize_rows
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.divergences.kullback_leibler import KullbackLeibler
from nmf_nets.encoders.unrolled import Unrolled
from nmf_nets.factorization import Factorization
from nmf_nets.inits.random import random
from nmf_nets.metrics.recovery import matched_cosines
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder
from nmf_nets.optimizers.online import Online
from nmf_nets.pages.numbers import number
from nmf_nets.pages.table import Table
from nmf_nets.program import pinned_threads
from nmf_nets.run_directory import peak_memory
from nmf_nets.sources.csr import CsrWriter
from nmf_nets.sources.npy import NpyWriter
from nmf_nets.sources.open import source_of
from nmf_nets.updates.hals import HALS

HEIGHT = 8192
"""Rows that are made at a time, each block by chance of its own."""

NOISE = 0.1
"""Of the dense X, relative to its mean."""

WORDS, SAID = 50_000, 100
"""Features of the counts, and how many a row has on the average."""

PASSES = 3
"""Of reading and multiplying, the fastest of which counts: the first finds nothing of the file in memory, perhaps."""

Figures = dict[str, Any]


# Matrices ------------------------------------------------------------------------------------------------------------


def plant_dense(folder: str, rows: int, features: int, n_components: int) -> Figures:
    """[H W + NOISE · mean · N(0, 1)]₊ as X.npy, half of H and a third of W zero; W.npy, and ‖X − H W‖ / ‖X‖."""
    place, chance = Path(folder), np.random.default_rng(0)
    W = _gamma(chance, (n_components, features), 2.0, 1 / 3)
    scale = np.float32(NOISE * n_components * 2.0 / 2 * W.mean())
    squares, left = 0.0, 0.0
    with NpyWriter(place / "X.npy", np.float32, (features,)) as file:
        for block, height in _blocks(rows):
            chance = np.random.default_rng((1, block))
            X_hat = _gamma(chance, (height, n_components), 2.0, 1 / 2) @ W
            X = chance.standard_normal((height, features), dtype=np.float32)
            X *= scale
            X += X_hat
            np.maximum(X, 0, out=X)
            file.append(X)
            squares += float(np.vdot(X, X))
            X -= X_hat
            left += float(np.vdot(X, X))
    np.save(place / "W.npy", W)
    return {"values": rows * features, "floor": (left / squares) ** 0.5, "value": left / 2}


def plant_counts(folder: str, rows: int, features: int, n_components: int) -> Figures:
    """x_ij ~ Poisson((H W)_ij) as X.csr, W topics that add up to 1; W.npy, and D(X | H W).

    As many words of each topic as Poisson(h_ik) says are drawn from w_k: what is drawn is what is said, so that neither
    memory nor time knows how many words there could be.
    """
    place, chance = Path(folder), np.random.default_rng(0)
    W = chance.gamma(0.05, size=(n_components, features))
    W /= W.sum(1, keepdims=True)
    cumulated, value, values = W.cumsum(1), 0.0, 0
    with CsrWriter(place / "X.csr", features) as file:
        for block, height in _blocks(rows):
            chance = np.random.default_rng((1, block))
            H = chance.gamma(0.2, SAID / (0.2 * n_components), (height, n_components))
            said = chance.poisson(H)
            i = np.concatenate([np.repeat(np.arange(height), column) for column in said.T])
            j = [np.searchsorted(w, chance.random(n) * w[-1]) for w, n in zip(cumulated, said.sum(0), strict=True)]
            j = np.minimum(np.concatenate(j), features - 1)
            X = scipy.sparse.coo_array((np.ones(len(i), np.float32), (i, j)), shape=(height, features)).tocsr()
            file.append(X)
            factors = Factorization(torch.from_numpy(H), torch.from_numpy(W))
            value += float(KullbackLeibler().total(as_matrix(X, torch.float64), factors))
            values += X.nnz
    np.save(place / "W.npy", W.astype(np.float32))
    return {"values": values, "floor": float("nan"), "value": value}


def _blocks(rows: int) -> list[tuple[int, int]]:
    return [(block, min(HEIGHT, rows - start)) for block, start in enumerate(range(0, rows, HEIGHT))]


def _gamma(chance: np.random.Generator, shape: tuple[int, int], mean: float, zeros: float) -> np.ndarray:
    return mean * chance.standard_exponential(shape, np.float32) * (chance.random(shape, np.float32) >= zeros)


# What is measured ----------------------------------------------------------------------------------------------------


def multiply(path: str, n_components: int) -> Figures:
    """Seconds of reading X once, checking it, and of X Wᵀ: what no method that looks at all of X does without."""
    source = source_of(path)
    W = torch.rand(source.shape[1], n_components, generator=torch.Generator().manual_seed(0), dtype=source.dtype)
    spent = []
    for _ in range(PASSES):
        began = time.perf_counter()
        for _, X in source.blocks():
            X @ W  # pyright: ignore[reportUnusedExpression]
        spent.append(time.perf_counter() - began)
    return {"pass": min(spent), "seconds": sum(spent), "peak": peak_memory()}


def solve(path: str, n_components: int, divergence: str, iterations: int) -> Figures:
    """The classical solver over row blocks, codes on the disk too, and what it takes before and after iterating."""
    began = time.perf_counter()
    seen: list[tuple[int, float]] = []
    with tempfile.TemporaryDirectory(dir=Path(path).parent) as directory:
        found = factorize_rows(
            source_of(path),
            n_components,
            divergence=divergence,
            max_iter=iterations,
            tol=0,
            check_every=max(1, iterations // 2),
            callback=lambda moment: seen.append((moment.iteration, time.perf_counter())),
            directory=directory,
            codes="disk",
        )
    seconds = time.perf_counter() - began
    (half, before), *_, (all_of_them, after) = seen
    return {
        "pass": (after - before) / (all_of_them - half),
        "seconds": seconds,
        "error": found.relative_error,
        "value": found.divergence_value,
        "peak": peak_memory(),
        **_recovery(path, found.W),
    }


def learn(path: str, n_components: int, epochs: int) -> Figures:
    """The unrolled net by mini-batches with sums over all of them, and then its own codes of all rows."""
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    began = time.perf_counter()
    data = OnDisk(path, validation=0, test=0)
    data.setup("fit")
    start = random(data.training, n_components, torch.Generator().manual_seed(0))
    encoder = Unrolled(start, HALS(), steps=10, warm=0)
    step = partial(Online, update=HALS(), memory=1.0, aging=10.0)
    net = NonNegativeAutoencoder(encoder, Linear(start, Projected()), Frobenius(), step)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trained = time.perf_counter()
    trainer.fit(net, data.train_dataloader())
    trained = time.perf_counter() - trained
    left, squares = 0.0, 0.0
    for _, X in source_of(path).blocks():
        left += 2 * float(Frobenius().total(X, net.factorize(X)))
        squares += float(X.square_norm)
    return {
        "pass": trained / epochs,
        "seconds": time.perf_counter() - began,
        "error": (left / squares) ** 0.5,
        "value": left / 2,
        "peak": peak_memory(),
        **_recovery(path, net.decoder.W.detach()),
    }


def _recovery(path: str, W: torch.Tensor) -> Figures:
    cosines = matched_cosines(W, torch.from_numpy(np.load(Path(path).with_name("W.npy"))))
    return {"recovery": float(cosines.mean()), "worst": float(cosines.min())}


JOBS: dict[str, Callable[..., Figures]] = {
    job.__name__: job for job in (plant_dense, plant_counts, multiply, solve, learn)
}


def alone(job: Callable[..., Figures], threads: int | None, **given: Any) -> Figures:
    """What the job finds in a process of its own, whose peak of memory is then that of the job."""
    words = [sys.executable, "-m", "nmf_nets.benchmark.out_of_core", json.dumps([job.__name__, threads, given])]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


# Tables --------------------------------------------------------------------------------------------------------------


def dense(folder: Path, gigabytes: float, features: int, n_components: int, passes: int, threads: int | None) -> Table:
    """A file of so many gigabytes by HALS and by a net, beside reading and multiplying it."""
    rows = round(gigabytes * 1e9 / 4 / features)
    place, planted = _planted(folder, plant_dense, rows, features, n_components, threads)
    path, lines = str(place / "X.npy"), []
    base = alone(multiply, threads, path=path, n_components=n_components)
    runs = {
        "read and multiply": base,
        "HALS": alone(solve, threads, path=path, n_components=n_components, divergence="frobenius", iterations=passes),
        "net, unrolled": alone(learn, threads, path=path, n_components=n_components, epochs=passes),
    }
    for method, found in runs.items():
        lines.append(
            {
                "method": method,
                "seconds": found["seconds"],
                "a pass": found["pass"],
                "GB/s": 4e-9 * planted["values"] / found["pass"],
                "of reading": base["pass"] / found["pass"],
                "peak, MB": found["peak"] / 1e6,
                "error": found.get("error", np.nan),
                "above the noise": found.get("error", np.nan) / planted["floor"] - 1,
                "recovery": found.get("recovery", np.nan),
                "worst": found.get("worst", np.nan),
            }
        )
    title = f"{rows:,} × {features:,} float32, {gigabytes:g} GB, {n_components} components, {passes} passes"
    note = (
        "a pass: the mean of the later half of them, of the net of all; of reading, checking and X Wᵀ the best of "
        f"{PASSES}. of reading: the seconds of that by those of the method. error: ‖X − H W‖ / ‖X‖; that of the true "
        f"factors is {planted['floor']:.6f}. recovery: mean cosine of the true components with those that were found. "
        "peak: of the process, imports included."
    )
    return Table("dense", title, pd.DataFrame(lines), FORMS, note)


def counts(folder: Path, sizes: Sequence[int], n_components: int, iterations: int, threads: int | None) -> Table:
    """Counts with planted topics by KL, over numbers of rows."""
    lines = []
    for rows in sizes:
        place, planted = _planted(folder, plant_counts, rows, WORDS, n_components, threads)
        path = str(place / "X.csr")
        base = alone(multiply, threads, path=path, n_components=n_components)
        found = alone(
            solve,
            threads,
            path=path,
            n_components=n_components,
            divergence="kullback_leibler",
            iterations=iterations,
        )
        lines.append(
            {
                "rows": rows,
                "non-zeros": planted["values"],
                "seconds": found["seconds"],
                "a pass": found["pass"],
                "ns a non-zero": 1e9 * found["pass"] / planted["values"],
                "of reading": base["pass"] / found["pass"],
                "peak, MB": found["peak"] / 1e6,
                "D by the true one": found["value"] / planted["value"],
                "recovery": found["recovery"],
                "worst": found["worst"],
            }
        )
    title = f"Poisson counts, {WORDS:,} columns, {n_components} components, {iterations} passes of KL"
    note = (
        "a pass: the mean of the later half of them. ns a non-zero: of a pass. of reading: the seconds of reading, "
        "checking and X Wᵀ by those of a pass. peak: of the process, imports included. D by the true one: D(X | H W) "
        "of the factors that were found by that of the true ones."
    )
    return Table("counts", title, pd.DataFrame(lines), FORMS, note)


FORMS = {
    **dict.fromkeys(("rows", "non-zeros"), "{:,}"),
    **dict.fromkeys(("seconds", "a pass", "GB/s", "peak, MB", "ns a non-zero"), number),
    **dict.fromkeys(("recovery", "worst"), "{:.4f}"),
    "of reading": "{:.0%}",
    "error": "{:.6f}",
    "above the noise": "{:+.3%}",
    "D by the true one": "{:.5f}",
}


def _planted(
    folder: Path, plant: Callable[..., Figures], rows: int, features: int, n_components: int, threads: int | None
) -> tuple[Path, Figures]:
    """Where it lies, made if it does not yet, and what is known of it."""
    place = folder / f"{plant.__name__.removeprefix('plant_')}_{rows}x{features}_{n_components}"
    known = place / "planted.json"
    if not known.is_file():
        unfinished = place.with_name(place.name + ".unfinished")
        unfinished.mkdir(parents=True)
        given = {"folder": str(unfinished), "rows": rows, "features": features, "n_components": n_components}
        (unfinished / known.name).write_text(json.dumps(alone(plant, threads, **given)))
        unfinished.rename(place)
    return place, json.loads(known.read_text())


def main() -> None:
    if sys.argv[1:] and sys.argv[1].startswith("["):
        name, threads, given = json.loads(sys.argv[1])
        with pinned_threads(threads):
            print(json.dumps(JOBS[name](**given)))  # noqa: T201 - it is a program
        return
    program = argparse.ArgumentParser(description=__doc__)
    program.add_argument("folder", type=Path, help="where the matrices are, or are made and stay")
    program.add_argument("--gigabytes", type=float, default=20.0, help="of the dense file; 0 for none")
    program.add_argument("--features", type=int, default=5000, help="of the dense file")
    program.add_argument("--rows", type=int, nargs="*", default=[1_250_000, 2_500_000, 5_000_000, 10_000_000])
    program.add_argument("--components", type=int, default=20)
    program.add_argument("--passes", type=int, default=10, help="over the dense file, and over the counts")
    program.add_argument("--threads", type=int, default=None)
    given = program.parse_args()
    if given.gigabytes:
        table = dense(given.folder, given.gigabytes, given.features, given.components, given.passes, given.threads)
        print(table.markdown())  # noqa: T201
    if given.rows:
        print(counts(given.folder, given.rows, given.components, given.passes, given.threads).markdown())  # noqa: T201


if __name__ == "__main__":
    main()

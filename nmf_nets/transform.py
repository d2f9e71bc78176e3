"""The program that codes new rows with what a run has learned: `python -m nmf_nets.transform`, `nmf-transform`."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from nmf_nets.data.anndata import with_factors
from nmf_nets.data.base import FileDataModule
from nmf_nets.data.matrix import MatrixFile
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.extras import extra
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.model import Kind, Model
from nmf_nets.part import part_name
from nmf_nets.program import INTERRUPTED, REFUSED, pinned_threads
from nmf_nets.refusal import Refusal
from nmf_nets.saved_model import data_module, load
from nmf_nets.whole_file import replacing

ANNOTATED = ".h5ad"
"""AnnData's files."""


USAGE = """nmf-transform run=DIRECTORY data=ROWS [key=value …]   codes rows with what a run has learned

run         the directory that training left
data        the rows: a file, or what else the data module of the run reads
output      codes.npy, or any .npy, .npz, .csv or .parquet; .h5ad for data that are one: a copy of them with the codes
codes       own (in one pass), refined (by a few half-steps), exact (the best on the components of the run)
batch_size  rows at a time; null for as many as fit well
device      cpu
threads     of torch, numba and BLAS; null leaves them as they are
overwrite   false
allow       [], prefixes of further classes that the run may name: [my_package]"""


@dataclass(frozen=True)
class Asked:
    """What the command line says."""

    run: str
    data: str
    output: str = "codes.npy"
    codes: Kind = "own"
    batch_size: int | None = None
    device: str = "cpu"
    threads: int | None = None
    overwrite: bool = False
    allow: tuple[str, ...] = ()


def main() -> None:
    """Codes what the command line says; a Refusal is one sentence on the standard error and exit code 2.

    Without Hydra, to which `data=` would be a choice of its group, and a path with an = or a comma something else.
    """
    if {"--help", "-h"} & set(sys.argv[1:]):
        print(USAGE)  # noqa: T201
        return
    try:
        transform(asked(sys.argv[1:]))
    except Refusal as refusal:
        print(f"refused: {refusal}", file=sys.stderr)  # noqa: T201
        sys.exit(REFUSED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def asked(words: Sequence[str]) -> Asked:
    """From words such as `run=runs/digits`. Raises Refusal for a key that is none, or a value that it cannot have."""
    keys = [field.name for field in fields(Asked)]
    found: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if key not in keys or not equals:
            raise Refusal(f"{word!r} is not one of {'=…, '.join(keys)}=…")
        found[key] = _value(key, text)
    for key in ("run", "data"):
        if key not in found:
            raise Refusal(f"{key} is not given; nmf-transform needs run=DIRECTORY and data=ROWS.")
    return Asked(**found)


def _value(key: str, text: str) -> Any:
    if key == "allow":
        return tuple(name.strip() for name in text.strip("[]").split(",") if name.strip())
    if key == "overwrite":
        if text not in ("true", "false"):
            raise Refusal(f"overwrite is {text!r}, but must be true or false.")
        return text == "true"
    if key in ("batch_size", "threads"):
        if text != "null" and not text.isdecimal():
            raise Refusal(f"{key} is {text!r}, but must be an integer of at least 1, or null.")
        return None if text == "null" else int(text)
    return text


def transform(asked: Asked) -> None:
    """Reads rows as the run read its own, codes them, writes the codes and says how well they fit."""
    data, output = Path(asked.data).expanduser(), Path(asked.output).expanduser()
    _refuse_output(output, data, asked.overwrite)
    console = Console(stderr=True)
    with pinned_threads(asked.threads):
        with console.status("the model and the rows are read"):
            model = load(asked.run, asked.device, asked.allow)
            dataset = _door(asked, model).read(data, model.feature_names)
            try:
                X = model.matrix(dataset.X)
            except Refusal as refusal:
                raise Refusal(f"{data}: {refusal}") from None
        coded = _code(model, X, asked, console)
    with replacing(output) as unfinished:
        if output.suffix == ANNOTATED:
            _write_h5ad(unfinished, coded.H, model, data)
        else:
            WRITERS[output.suffix](unfinished, coded.H, dataset.sample_names)
    said = Console(soft_wrap=True, highlight=False, markup=False)
    said.print(
        f"{X.shape[0]} rows, {asked.codes} codes, {coded.seconds:.3g} s: {part_name(model.divergence)} "
        f"{coded.divergence_value:.6g}, relative error {coded.relative_error:.4f}"
    )
    said.print(f"codes: {output.absolute()}")


@dataclass(frozen=True)
class Coded:
    """H, and what came of it; `seconds` for the codes alone."""

    H: np.ndarray
    divergence_value: float
    relative_error: float
    seconds: float


def _code(model: Model, X: Matrix, asked: Asked, console: Console) -> Coded:
    parts, value, residual, norm, seconds = [], 0.0, 0.0, 0.0, 0.0
    columns = (TextColumn("rows"), MofNCompleteColumn(), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=X.shape[0])
        began = time.perf_counter()
        for batch, H in model.coded(X, asked.codes, asked.batch_size):
            seconds += time.perf_counter() - began
            factors = Factorization(model.net.decoder.spread(H), model.W, model.net.decoder.copies)
            value += float(model.divergence.total(batch, factors))
            residual += 2 * float(Frobenius().total(batch, factors))
            norm += float(batch.square_norm)
            parts.append(H.cpu())
            progress.advance(task, batch.shape[0])
            began = time.perf_counter()
    error = (max(residual, 0.0) / norm) ** 0.5 if norm else 0.0
    return Coded(torch.cat(parts).numpy(), value, error, seconds)


def _door(asked: Asked, model: Model) -> FileDataModule:
    """The data module that read the rows of the run; where these were generated, or bundled, that of data=matrix."""
    door = data_module(asked.run, asked.allow)
    if isinstance(door, FileDataModule):
        return door
    return MatrixFile("", dtype=str(model.W.dtype).removeprefix("torch."), signed=model.signed)


# What is written -----------------------------------------------------------------------------------------------------


def _refuse_output(output: Path, data: Path, overwrite: bool) -> None:
    """Raises Refusal, before there is work to lose, for an output that cannot be written or must not be."""
    if output.suffix not in (*WRITERS, ANNOTATED):
        raise Refusal(f"output is {str(output)!r}, but must end with one of {', '.join((*WRITERS, ANNOTATED))}.")
    if output.exists() and not overwrite:
        raise Refusal(f"output is {str(output)!r}, which exists already; overwrite=true writes over it.")
    if output.suffix == ANNOTATED:
        if data.suffix != ANNOTATED:
            raise Refusal(
                f"output is {str(output)!r}, which adds codes to the .h5ad file that they are of, but data is "
                f"{str(data)!r}; use .parquet, say."
            )
        extra("anndata", "anndata")


def _write_npy(path: Path, H: np.ndarray, names: Sequence[str] | None) -> None:
    with path.open("wb") as file:  # given a path, numpy would add its suffix
        np.save(file, H)


def _write_npz(path: Path, H: np.ndarray, names: Sequence[str] | None) -> None:
    arrays: dict[str, Any] = {"H": H} if names is None else {"H": H, "sample_names": np.asarray(names)}
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _write_csv(path: Path, H: np.ndarray, names: Sequence[str] | None) -> None:
    _frame(H, names).to_csv(path, index=False)


def _write_parquet(path: Path, H: np.ndarray, names: Sequence[str] | None) -> None:
    _frame(H, names).to_parquet(path, index=False)


def _frame(H: np.ndarray, names: Sequence[str] | None) -> pd.DataFrame:
    frame = pd.DataFrame(H, columns=pd.Index([f"component_{k}" for k in range(H.shape[1])]))
    if names is not None:
        frame.insert(0, "sample", pd.Series(names))
    return frame


def _write_h5ad(path: Path, H: np.ndarray, model: Model, data: Path) -> None:
    with_factors(data, H, model.W.cpu().numpy(), model.feature_names).write_h5ad(path)


WRITERS: dict[str, Callable[[Path, np.ndarray, Sequence[str] | None], None]] = {
    ".npy": _write_npy,
    ".npz": _write_npz,
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}
"""Of H, with the names of the rows where they are known."""


if __name__ == "__main__":
    main()

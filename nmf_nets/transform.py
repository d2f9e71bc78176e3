"""The program that codes new rows with what a run has learned: `python -m nmf_nets.transform`, `nmf-transform`."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from nmf_nets.data.anndata import with_factors
from nmf_nets.data.base import FileDataModule
from nmf_nets.data.matrix import MatrixFile
from nmf_nets.data.on_disk import OnDisk
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.extras import extra
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.model import Kind, Model
from nmf_nets.part import part_name
from nmf_nets.program import INTERRUPTED, REFUSED, pinned_threads
from nmf_nets.refusal import Refusal
from nmf_nets.saved_model import data_module, load
from nmf_nets.sources.base import Source
from nmf_nets.sources.npy import NpyWriter
from nmf_nets.sources.resident import Resident
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
    """Reads rows as the run read its own, codes them, writes the codes and says how well they fit; block by block where
    the run read its rows so.
    """
    data, output = Path(asked.data).expanduser(), Path(asked.output).expanduser()
    _refuse_output(output, data, asked.overwrite)
    console = Console(stderr=True)
    with pinned_threads(asked.threads):
        with console.status("the model and the rows are read"):
            model = load(asked.run, asked.device, asked.allow)
            source, names = _rows(asked, model, data)
        coding = Coding(model, source, asked)
        with replacing(output) as unfinished:
            codes = coding.parts(console)
            if output.suffix == ANNOTATED:
                _write_h5ad(unfinished, np.concatenate(list(codes)), model, data)
            else:
                WRITERS[output.suffix](unfinished, codes, names)
    said = Console(soft_wrap=True, highlight=False, markup=False)
    said.print(
        f"{source.shape[0]} rows, {asked.codes} codes, {coding.seconds:.3g} s: {part_name(model.divergence)} "
        f"{coding.divergence_value:.6g}, relative error {coding.relative_error:.4f}"
    )
    said.print(f"codes: {output.absolute()}")


class Coding:
    """H of the rows of a source, a part at a time; D, the relative error, and the seconds that the codes alone took."""

    def __init__(self, model: Model, source: Source, asked: Asked):
        self.model, self.source, self.asked = model, source, asked
        self.divergence_value, self.seconds, self._residual, self._norm = 0.0, 0.0, 0.0, 0.0

    @property
    def relative_error(self) -> float:
        return (max(self._residual, 0.0) / self._norm) ** 0.5 if self._norm else 0.0

    def parts(self, console: Console) -> Iterator[np.ndarray]:
        model, asked = self.model, self.asked
        columns = (TextColumn("rows"), MofNCompleteColumn(), BarColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task("", total=self.source.shape[0])
            for X in self._blocks():
                began = time.perf_counter()
                for batch, H in model.coded(model.matrix(X), asked.codes, asked.batch_size):
                    self.seconds += time.perf_counter() - began
                    factors = Factorization(model.net.decoder.spread(H), model.W, model.net.decoder.copies)
                    self.divergence_value += float(model.divergence.total(batch, factors))
                    self._residual += 2 * float(Frobenius().total(batch, factors))
                    self._norm += float(batch.square_norm)
                    progress.advance(task, batch.shape[0])
                    yield H.cpu().numpy()
                    began = time.perf_counter()

    def _blocks(self) -> Iterator[Matrix]:
        if isinstance(self.source, Resident):
            yield self.source.X
        else:
            yield from (block for _, block in self.source.blocks())


def _rows(asked: Asked, model: Model, data: Path) -> tuple[Source, tuple[str, ...] | None]:
    """What is to be coded, and how its rows are called, where that is known."""
    door = data_module(asked.run, asked.allow)
    if isinstance(door, OnDisk):
        source, names = door.source(data), model.feature_names
        if names is not None and source.feature_names not in (None, names):
            raise Refusal(f"{data} has other features than the net was trained on, or in another order; select them.")
        if source.shape[1] != model.W.shape[1]:
            raise Refusal(f"{data} has {source.shape[1]} features, but the net was trained on {model.W.shape[1]}.")
        return source, None
    if not isinstance(door, FileDataModule):  # rows that were generated, or bundled
        door = MatrixFile("", dtype=str(model.W.dtype).removeprefix("torch."), signed=model.signed)
    dataset = door.read(data, model.feature_names)
    try:
        return Resident(model.matrix(dataset.X)), dataset.sample_names
    except Refusal as refusal:
        raise Refusal(f"{data}: {refusal}") from None


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


def _write_npy(path: Path, parts: Iterator[np.ndarray], names: Sequence[str] | None) -> None:
    first = next(parts)
    with NpyWriter(path, first.dtype, first.shape[1:]) as file:
        for H in chain([first], parts):
            file.append(H)


def _write_npz(path: Path, parts: Iterator[np.ndarray], names: Sequence[str] | None) -> None:
    arrays: dict[str, Any] = {"H": np.concatenate(list(parts))}
    if names is not None:
        arrays["sample_names"] = np.asarray(names)
    with path.open("wb") as file:  # given a path, numpy would add its suffix
        np.savez_compressed(file, **arrays)


def _write_csv(path: Path, parts: Iterator[np.ndarray], names: Sequence[str] | None) -> None:
    with path.open("w", newline="") as file:
        for number, frame in enumerate(_frames(parts, names)):
            frame.to_csv(file, index=False, header=number == 0)


def _write_parquet(path: Path, parts: Iterator[np.ndarray], names: Sequence[str] | None) -> None:
    tables = (pyarrow.Table.from_pandas(frame, preserve_index=False) for frame in _frames(parts, names))
    first = next(tables)
    with pyarrow.parquet.ParquetWriter(path, first.schema) as file:
        for table in chain([first], tables):
            file.write_table(table)


def _frames(parts: Iterator[np.ndarray], names: Sequence[str] | None) -> Iterator[pd.DataFrame]:
    begins = 0
    for H in parts:
        frame = pd.DataFrame(H, columns=pd.Index([f"component_{k}" for k in range(H.shape[1])]))
        if names is not None:
            frame.insert(0, "sample", pd.Series(names[begins : begins + len(H)]))
        begins += len(H)
        yield frame


def _write_h5ad(path: Path, H: np.ndarray, model: Model, data: Path) -> None:
    with_factors(data, H, model.W.cpu().numpy(), model.feature_names).write_h5ad(path)


WRITERS: dict[str, Callable[[Path, Iterator[np.ndarray], Sequence[str] | None], None]] = {
    ".npy": _write_npy,
    ".npz": _write_npz,
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}
"""Of H in parts, with the names of the rows where they are known; all but .npz hold a part at a time."""


if __name__ == "__main__":
    main()

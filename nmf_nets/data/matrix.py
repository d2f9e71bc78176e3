"""The user's own file."""

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.io
import scipy.sparse

from nmf_nets.data.base import Dataset, MatrixDataModule
from nmf_nets.matrix import as_matrix
from nmf_nets.refusal import Refusal


class MatrixFile(MatrixDataModule):
    """A matrix with samples as rows from .npy, .npz (dense or scipy sparse), .mtx, .csv, .tsv or .parquet.

    A dense .npz gives the array named X, or its only two-dimensional one. Tables may have a header of feature names.
    index_column: of a table, the name of a column that names the samples.
    transpose: for files with samples as columns.
    image_shape: (height, width), where a row is an image.
    """

    def __init__(
        self,
        path: str | None = None,
        index_column: str | None = None,
        transpose: bool = False,
        image_shape: Sequence[int] | None = None,
        **rows: int | float | str | None,
    ):
        super().__init__(**rows)  # pyright: ignore[reportArgumentType]
        if path is None:
            raise Refusal("data=matrix needs a file: data.path=FILE, with samples as rows.")
        self.path, self.index_column, self.transpose = Path(path).expanduser(), index_column, transpose
        self.image_shape = (image_shape[0], image_shape[1]) if image_shape else None

    def load(self) -> Dataset:
        X, names = read(self.path, self.index_column)
        if self.transpose:
            X, names = X.T, None
        try:
            X = as_matrix(X, self.dtype)
        except Refusal as refusal:
            raise Refusal(f"{self.path}: {refusal}") from None
        if self.image_shape and self.image_shape[0] * self.image_shape[1] != X.shape[1]:
            raise Refusal(f"data.image_shape is {self.image_shape}, but {self.path} has {X.shape[1]} features.")
        return Dataset(X, self.image_shape, names)


def read(path: Path, index_column: str | None = None) -> tuple[Any, tuple[str, ...] | None]:
    """The matrix in the file, and the names of its features where it has them."""
    name = path.name.lower().removesuffix(".gz")
    suffix = name[name.rfind(".") :]
    if suffix not in READERS:
        raise Refusal(f"data.path is {str(path)!r}, but only {', '.join(READERS)} can be read.")
    if not path.is_file():
        raise Refusal(f"data.path is {str(path)!r}, but there is no such file (seen from {Path.cwd()}).")
    try:
        found = READERS[suffix](path)
    except Refusal:
        raise
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise Refusal(f"{path} cannot be read as {suffix}: {str(error).splitlines()[0]}.") from error
    if not isinstance(found, pd.DataFrame):
        return found, None
    return _numbers(found, path, index_column)


def _read_npz(path: Path) -> Any:
    with np.load(path, allow_pickle=False) as file:
        if {"format", "shape"} <= set(file.files):
            return scipy.sparse.load_npz(path)
        if "X" in file.files:
            return file["X"]
        arrays = {name: file[name] for name in file.files}
    planes = [name for name, array in arrays.items() if array.ndim == 2]
    if len(planes) != 1:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise Refusal(f"{path} must hold an array named X, or one two-dimensional array, but it holds {shapes}.")
    return arrays[planes[0]]


def _read_table(separator: str) -> Callable[[Path], pd.DataFrame]:
    def read_table(path: Path) -> pd.DataFrame:
        first = pd.read_csv(path, sep=separator, header=None, nrows=1, dtype=str).iloc[0].tolist()
        counted = [str(j) for j in range(len(first) + 1)]
        # A first line of numbers is data, unless it counts the columns, as pandas does for frames without names.
        is_data = all(_is_number(cell) for cell in first) and first not in (counted[:-1], counted[1:])
        return pd.read_csv(path, sep=separator, header=None if is_data else 0)

    return read_table


READERS: dict[str, Callable[[Path], Any]] = {
    ".npy": lambda path: np.load(path, allow_pickle=False),
    ".npz": _read_npz,
    ".mtx": lambda path: scipy.io.mmread(path),
    ".csv": _read_table(","),
    ".tsv": _read_table("\t"),
    ".parquet": pd.read_parquet,
}


def _numbers(frame: pd.DataFrame, path: Path, index_column: str | None) -> tuple[np.ndarray, tuple[str, ...] | None]:
    if index_column is not None:
        if index_column not in frame.columns:
            shown = ", ".join(map(str, frame.columns[:5]))
            raise Refusal(f"data.index_column is {index_column!r}, but the columns of {path} are {shown}, …")
        frame = frame.drop(columns=index_column)
    if str(frame.columns[0]) == "Unnamed: 0":
        raise Refusal(
            f"{path} has a first column without a name, as pandas writes for row numbers; drop it, or set "
            "data.index_column='Unnamed: 0'."
        )
    odd = frame.select_dtypes(exclude=["number", "bool"])
    numbers = odd.apply(pd.to_numeric, errors="coerce")
    text = np.argwhere((numbers.isna() & odd.notna()).to_numpy())
    if len(text):
        i, j = text[0]
        name = odd.columns[j]
        raise Refusal(
            f"{path} must hold numbers, but column {name!r} has {str(odd.iloc[i, j])!r} in row {i + 1}"
            f"; remove or encode it, or set data.index_column={name} if it names the samples."
        )
    frame = frame.assign(**{str(name): numbers[name] for name in numbers})
    named = all(isinstance(name, str) for name in frame.columns)
    return frame.to_numpy(dtype=float), tuple(frame.columns) if named else None


def _is_number(text: object) -> bool:
    """Whether the cell of a table says a number; an empty one, which pandas gives as a float, does not."""
    try:
        return isinstance(text, str) and float(text) is not None
    except ValueError:
        return False

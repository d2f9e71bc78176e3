"""The user's own file."""

import gzip
import math
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.io
import scipy.sparse

from nmf_nets.as_matrix import as_matrix
from nmf_nets.data.base import Dataset, FileDataModule
from nmf_nets.refusal import Refusal


class MatrixFile(FileDataModule):
    """A matrix with samples as rows from .npy, .npz (dense or scipy sparse), .mtx, .csv, .tsv, .parquet, IDX (-ubyte).

    A dense .npz gives the array named X, or its only two-dimensional one; beside it, sparse or dense, it may hold
    `labels` (a class for every sample), `feature_names` or `vocabulary`, and `image_shape`. Tables may have a header of
    feature names. An IDX file of images (MNIST's) brings its shape, and labels from the file that is named like it.
    index_column: of a table, the name of a column that names the samples.
    transpose: for files with samples as columns.
    image_shape: (height, width), where a row is an image.
    signed: admits negative entries, for semi-NMF.
    """

    def __init__(
        self,
        path: str | None = None,
        index_column: str | None = None,
        transpose: bool = False,
        image_shape: Sequence[int] | None = None,
        signed: bool = False,
        **rows: Any,
    ):
        super().__init__(path, **rows)
        self.index_column, self.transpose, self.signed = index_column, transpose, signed
        self.image_shape = (image_shape[0], image_shape[1]) if image_shape else None

    def read(self, path: Path, feature_names: Sequence[str] | None = None) -> Dataset:
        found = read(path, self.index_column)
        X, names, labels = found.X, found.feature_names, found.labels
        if self.transpose:
            X, names, labels = X.T, None, None
        try:
            X = as_matrix(X, self.dtype, signed=self.signed)
        except Refusal as refusal:
            raise Refusal(f"{path}: {refusal}") from None
        n, m = X.shape
        if self.image_shape and math.prod(self.image_shape) != m:
            raise Refusal(f"data.image_shape is {self.image_shape}, but {path} has {m} features.")
        drawn = found.image_shape if found.image_shape and math.prod(found.image_shape) == m else None
        names = names if names is not None and len(names) == m else None
        if feature_names is not None and names is not None and names != tuple(feature_names):
            raise Refusal(_differing(path, names, feature_names))
        return Dataset(
            X,
            self.image_shape or drawn,
            names,
            labels=labels if labels is not None and labels.shape == (n,) else None,
        )


def _differing(path: Path, names: Sequence[str], asked: Sequence[str]) -> str:
    """How the features of a file differ from those of a net, in a sentence."""
    for j, (name, other) in enumerate(zip(names, asked, strict=False)):
        if name != other:
            return f"{path} has the feature {name!r} in column {j}, where the net was trained on {other!r}."
    return f"{path} has {len(names)} features, but the net was trained on {len(asked)}."


@dataclass(frozen=True)
class Contents:
    """What a file holds: a matrix of any kind, and what it says of its features and samples."""

    X: Any
    feature_names: tuple[str, ...] | None = None
    labels: np.ndarray | None = None
    image_shape: tuple[int, int] | None = None


def read(path: Path, index_column: str | None = None) -> Contents:
    name = path.name.lower().removesuffix(".gz")
    suffix = "-ubyte" if name.endswith("-ubyte") else name[name.rfind(".") :]
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
    if isinstance(found, pd.DataFrame):
        return _numbers(found, path, index_column)
    return found if isinstance(found, Contents) else Contents(found)


def _read_npz(path: Path) -> Contents:
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    if {"format", "shape"} <= set(arrays):
        X = scipy.sparse.load_npz(path)
    elif "X" in arrays:
        X = arrays["X"]
    else:
        planes = [name for name, array in arrays.items() if array.ndim == 2]
        if len(planes) != 1:
            shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
            raise Refusal(f"{path} must hold an array named X, or one two-dimensional array, but it holds {shapes}.")
        X = arrays[planes[0]]
    names = arrays.get("feature_names", arrays.get("vocabulary"))
    shape = arrays.get("image_shape")
    return Contents(
        X,
        None if names is None else tuple(map(str, names.ravel())),
        arrays.get("labels"),
        (int(shape[0]), int(shape[1])) if shape is not None and shape.shape == (2,) else None,
    )


def _read_idx(path: Path) -> Contents:
    """LeCun's format: two zeros, 8 for bytes, the number of dimensions, each as a big-endian integer, the bytes."""
    images = _idx_array(path)
    if images.ndim < 2:
        raise Refusal(f"{path} holds labels, or the like: its shape is {images.shape}; name the file of the images.")
    labels = path.with_name(path.name.replace("images", "labels").replace(f"idx{images.ndim}", "idx1"))
    return Contents(
        images.reshape(len(images), -1),
        labels=_idx_array(labels) if labels != path and labels.is_file() else None,
        image_shape=(images.shape[1], images.shape[2]) if images.ndim == 3 else None,
    )


def _idx_array(path: Path) -> np.ndarray:
    data = gzip.decompress(path.read_bytes()) if path.name.endswith(".gz") else path.read_bytes()
    if data[:3] != b"\0\0\x08" or len(data) < 4 + 4 * data[3]:
        raise ValueError("it does not begin as IDX files of bytes do")
    shape = np.frombuffer(data, ">i4", data[3], 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


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
    "-ubyte": _read_idx,
}


def _numbers(frame: pd.DataFrame, path: Path, index_column: str | None) -> Contents:
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
    return Contents(frame.to_numpy(dtype=float), tuple(frame.columns) if named else None)


def _is_number(text: object) -> bool:
    """Whether the cell of a table says a number; an empty one, which pandas gives as a float, does not."""
    try:
        return isinstance(text, str) and float(text) is not None
    except ValueError:
        return False

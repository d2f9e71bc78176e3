"""What lies in a file: a matrix of any kind, and what is said there of its samples and features."""

import gzip
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.io
import scipy.sparse

from nmf_nets.extras import extra
from nmf_nets.refusal import Refusal, first_line

log = logging.getLogger(__name__)

SHOWN = 5
"""Names in a sentence at most."""


@dataclass(frozen=True)
class Contents:
    """X is a numpy array or a scipy sparse one; nothing of it is checked yet."""

    X: Any
    feature_names: tuple[str, ...] | None = None
    sample_names: tuple[str, ...] | None = None
    labels: np.ndarray | None = None
    image_shape: tuple[int, int] | None = None

    @property
    def T(self) -> "Contents":
        """Samples for features."""
        return Contents(self.X.T, self.sample_names, self.feature_names)

    @property
    def fitting(self) -> "Contents":
        """Without what does not fit X, and is about something else."""
        if self.X.ndim != 2:
            return self
        n, m = self.X.shape
        features, samples, labels, image = self.feature_names, self.sample_names, self.labels, self.image_shape
        return Contents(
            self.X,
            features if features is not None and len(features) == m else None,
            samples if samples is not None and len(samples) == n else None,
            labels if labels is not None and labels.shape == (n,) else None,
            image if image is not None and math.prod(image) == m else None,
        )

    def with_features(self, names: Sequence[str], path: Path) -> "Contents":
        """These features, in this order. Others are left out, with a warning; where the file does not name its
        features, they are taken as they stand.

        Raises Refusal for a feature that is lacking or is there twice, and without names for another number of them.
        """
        own, m = self.feature_names, self.X.shape[-1]
        if own is None:
            if m != len(names):
                raise Refusal(
                    f"{path} has {m} features, without names, but {len(names)} are asked for; give it the same columns."
                )
            return self
        if own == tuple(names):
            return self
        places: dict[str, list[int]] = {}
        for j, name in enumerate(own):
            places.setdefault(name, []).append(j)
        lacking = [name for name in names if name not in places]
        if lacking:
            raise Refusal(
                f"{path} lacks {len(lacking)} of the {len(names)} features that are asked for: {listed(lacking)}; its "
                f"own {m} are {listed(own)}."
            )
        for name in names:
            if len(places[name]) > 1:
                where = " and ".join(map(str, places[name][:2]))
                raise Refusal(
                    f"{path} has the feature {name!r} twice, in columns {where}; give each a name of its own."
                )
        others = sorted(set(places) - set(names))
        if others:
            log.warning(
                f"{path} has {len(others)} features more than are asked for, {listed(others)}: they are left out."
            )
        X = self.X.tocsc() if scipy.sparse.issparse(self.X) else self.X
        return replace(self, X=X[:, [places[name][0] for name in names]], feature_names=tuple(names), image_shape=None)


def listed(names: Sequence[str]) -> str:
    """A few of them."""
    return ", ".join(map(repr, names[:SHOWN])) + (", …" if len(names) > SHOWN else "")


def contents_of(path: Path, key: str | None = None, index_column: str | int | None = None) -> Contents:
    """What lies at the path, read as the end of its name says; no code that a file may hold is run.

    key: which array, in formats that hold several. index_column: of a table, the column that names the samples, by its
    own name or its place from 0.
    Raises Refusal for what cannot be read.
    """
    name = path.name.lower().removesuffix(".gz")
    suffix = "-ubyte" if name.endswith("-ubyte") else name[name.rfind(".") :]
    if suffix not in READERS:
        other = "; data=anndata reads .h5ad" if suffix == ".h5ad" else ""
        raise Refusal(f"{str(path)!r} cannot be read, only {', '.join(READERS)}{other}.")
    if key is not None and suffix not in KEYED:
        raise Refusal(f"data.key is {key!r}, but {path} holds one matrix alone; a key is for {', '.join(KEYED)}.")
    with reading(path, suffix):
        found = READERS[suffix](path, key)
        if isinstance(found, pd.DataFrame):
            return _of_table(found, path, index_column)
        found = found if isinstance(found, Contents) else Contents(found)
        refuse_broken(found.X)
        return found


@contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Makes one sentence of what a library says of a file that it cannot read."""
    try:
        if not path.exists():
            raise Refusal(f"{str(path)!r} cannot be read, as there is no such file (seen from {Path.cwd()}).")
        yield
    except Refusal:
        raise
    except MemoryError as error:
        raise Refusal(
            f"{path} asks for more memory than there is: {first_line(error)}; it is too large for this machine, or "
            "damaged where it says how large it is."
        ) from error
    except Exception as error:  # libraries fail in many ways on a file that is cut off, or is not what it is called
        raise Refusal(f"{path} cannot be read as {kind}: {first_line(error)}.") from error


def refuse_broken(X: Any) -> None:
    """Raises ValueError for indices of a sparse matrix that lead out of it, where compiled loops would follow them."""
    if scipy.sparse.issparse(X) and hasattr(X, "check_format"):
        X.check_format()


# Arrays by name -------------------------------------------------------------------------------------------------------


def _read_npy(path: Path) -> np.ndarray:
    with path.open("rb") as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _read_npz(path: Path, key: str | None) -> Contents:
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    if key is None and {"format", "shape"} <= set(arrays):
        with path.open("rb") as opened:
            return _told(arrays, scipy.sparse.load_npz(opened))
    return _found_in(arrays, path, key)


def _read_hdf5(path: Path, key: str | None) -> Contents:
    with extra("h5py", "hdf5").File(path, "r") as file:
        return _found_in(file, path, key)


def _read_zarr(path: Path, key: str | None) -> Contents:
    return _found_in(extra("zarr", "zarr").open(str(path), mode="r"), path, key)


def _found_in(root: Any, path: Path, key: str | None) -> Contents:
    node = node_in(root, path, key)
    if not is_group(node):
        return _told(root if is_group(root) else {}, whole(node))
    if "barcodes" in node:
        return _of_10x(node)
    return _told(root, _sparse_of(node))


def node_in(root: Any, path: Path, key: str | None) -> Any:
    """The array, or the group of data, indices and indptr, in groups of arrays and of groups: those of h5py and zarr,
    or a dictionary. Raises Refusal where no key says which of several.
    """
    node = root
    if key is not None:
        if not is_group(root) or key not in root:
            held = listed(sorted(root)) if is_group(root) else "one array alone"
            raise Refusal(f"data.key is {key!r}, but {path} holds {held}.")
        node = root[key]
    return _only_one(node, path) if is_group(node) and not is_compressed(node) else node


def _only_one(group: Any, path: Path) -> Any:
    """What is called X, or is the only matrix."""
    nodes = {name: group[name] for name in sorted(group)}
    if "X" in nodes and (is_compressed(nodes["X"]) or not is_group(nodes["X"])):
        return nodes["X"]
    found = [node for node in nodes.values() if is_compressed(node) or len(getattr(node, "shape", ())) == 2]
    if len(found) != 1:
        held = ", ".join(f"{name} {getattr(node, 'shape', '(a group)')}" for name, node in nodes.items())
        raise Refusal(
            f"{path} must hold an array named X, or one two-dimensional array, but it holds {held or 'nothing'}; "
            "choose by data.key=NAME."
        )
    return found[0]


def is_group(node: Any) -> bool:
    """Whether it holds others by their names."""
    return hasattr(node, "keys")


def is_compressed(node: Any) -> bool:
    """Whether it is a sparse matrix."""
    return is_group(node) and all(name in node for name in ("data", "indices", "indptr"))


def _sparse_of(group: Any) -> Any:
    """scipy's, by rows or by columns."""
    data, indices, indptr = (whole(group[name]) for name in ("data", "indices", "indptr"))
    shape, by_columns = layout_of(group)
    kind = scipy.sparse.csc_array if by_columns else scipy.sparse.csr_array
    return kind((data, indices, indptr), shape=shape)


def layout_of(group: Any) -> tuple[tuple[int, int], bool]:
    """The shape of a sparse matrix, and whether it lies there by columns: where AnnData says so, or the number of
    pointers does.
    """
    said = getattr(group, "attrs", {})
    n, m = (int(length) for length in (whole(group["shape"]) if "shape" in group else said["shape"]))
    return (n, m), said.get("encoding-type") == "csc_matrix" or group["indptr"].shape != (n + 1,)


def _of_10x(group: Any) -> Contents:
    """Cells as samples, which stand in columns there, and features by their ids, as names need not be unique."""
    ids = group["features/id"] if "features" in group else group["genes"]
    return Contents(_sparse_of(group).T, names_of(ids), names_of(group["barcodes"]))


def _told(group: Any, X: Any) -> Contents:
    """X, and what stands beside it."""

    def beside(*names: str) -> np.ndarray | None:
        return next((whole(group[name]) for name in names if name in group and not is_group(group[name])), None)

    samples, shape = beside("sample_names"), beside("image_shape")
    labels, classes = beside("labels"), beside("label_names")
    if labels is not None and classes is not None and _count(labels, classes.size):
        labels = np.array(names_of(classes))[labels]
    return Contents(
        X,
        features_beside(group),
        None if samples is None else names_of(samples),
        labels,
        (int(shape[0]), int(shape[1])) if shape is not None and shape.shape == (2,) else None,
    )


def features_beside(group: Any) -> tuple[str, ...] | None:
    """How the features of a matrix in the group are called, if it says so."""
    names = [group[name] for name in ("feature_names", "vocabulary") if name in group and not is_group(group[name])]
    return names_of(names[0]) if names else None


def names_of(node: Any) -> tuple[str, ...]:
    """What an array says, as text."""
    return tuple(map(str, whole(node).ravel()))


def _count(labels: np.ndarray, classes: int) -> bool:
    """Whether all are numbers of classes, from 0 on; else what is called their names is about something else."""
    return labels.dtype.kind in "iu" and labels.size > 0 and 0 <= int(labels.min()) <= int(labels.max()) < classes


def whole(node: Any) -> np.ndarray:
    """All of an array, text as str. Raises Refusal for objects."""
    refuse_objects(node)
    values = np.asarray(node.asstr()[...] if _is_text(node) else node[...])
    if values.dtype.kind == "S":
        return np.char.decode(values, "utf-8")
    return values.astype(str) if values.dtype.kind in "OT" else values


def refuse_objects(node: Any) -> None:
    """Raises Refusal for an array of objects, which are made by running what a file says."""
    codecs = (*getattr(node, "filters", ()), *getattr(node, "compressors", ()))  # zarr's
    pickled = any(getattr(codec, "codec_id", "") == "pickle" for codec in codecs)
    if pickled or (node.dtype.kind == "O" and not _is_text(node)):
        raise Refusal(
            f"{getattr(node, 'name', 'an array')} holds objects, and to make them may run any code; save numbers."
        )


def _is_text(node: Any) -> bool:
    """Of h5py, of any length."""
    return (getattr(node.dtype, "metadata", None) or {}).get("vlen") in (str, bytes)


# Other formats --------------------------------------------------------------------------------------------------------


def _read_mtx(path: Path) -> Any:
    """Raises ValueError for what leads scipy's parser past its buffer: a byte of 0, and a number that is cut off."""
    end = b""
    with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
        for part in iter(lambda: file.read(2**24), b""):
            if b"\0" in part:
                raise ValueError("it holds a byte of 0, which is no text")
            end = (end + part)[-1024:]
    _, _, line = end.rpartition(b"\n")
    words = line.split()
    if words and not words[0].startswith(b"%"):
        try:
            float(words[-1])
        except ValueError:
            raise ValueError(f"it ends with {words[-1][:20]!r}, which is no number: it may be cut off") from None
    return scipy.io.mmread(path)


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


def _read_table(path: Path, separator: str) -> pd.DataFrame:
    first = pd.read_csv(path, sep=separator, header=None, nrows=1, dtype=str).iloc[0].tolist()
    counted = [str(j) for j in range(len(first) + 1)]
    # A first line of numbers is data, unless it counts the columns, as pandas does for frames without names.
    is_data = all(_is_number(cell) for cell in first) and first not in (counted[:-1], counted[1:])
    # The default of pandas rounds wrongly at times, and crashes at exponents that no int32 holds.
    return pd.read_csv(path, sep=separator, header=None if is_data else 0, float_precision="round_trip")  # pyright: ignore


def _of_table(frame: pd.DataFrame, path: Path, index_column: str | int | None) -> Contents:
    samples = None
    if isinstance(index_column, int):
        if not 0 <= index_column < frame.shape[1]:
            raise Refusal(f"data.index_column is {index_column}, but {path} has the columns 0 to {frame.shape[1] - 1}.")
        index_column = frame.columns.tolist()[index_column]
    if index_column is not None:
        if index_column not in frame.columns:
            shown = ", ".join(map(str, frame.columns[:5]))
            raise Refusal(f"data.index_column is {index_column!r}, but the columns of {path} are {shown}, …")
        samples = tuple(map(str, frame.pop(index_column)))
    if not frame.shape[1]:
        raise Refusal(f"{path} has no columns{' but the index column' if samples else ''}; it must hold numbers.")
    if str(frame.columns[0]) == "Unnamed: 0":
        raise Refusal(
            f"{path} has a first column without a name, as pandas writes for row numbers; drop it, or set "
            "data.index_column='Unnamed: 0'."
        )
    odd = frame.select_dtypes(exclude=["number", "bool"])
    numbers = odd.map(_number)
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
    return Contents(frame.to_numpy(dtype=float), tuple(frame.columns) if named else None, samples)


def _number(cell: Any) -> float:
    """NaN for what is none; `pandas.to_numeric` crashes at exponents that no int32 holds."""
    try:
        return float("nan" if "_" in str(cell) else cell)
    except (TypeError, ValueError):
        return np.nan


def _is_number(text: object) -> bool:
    """Whether the cell of a table says a number; an empty one, which pandas gives as a float, does not."""
    try:
        return isinstance(text, str) and float(text) is not None
    except ValueError:
        return False


KEYED = (".npz", ".zarr", ".h5", ".hdf5")
"""Formats that may hold several arrays."""

READERS: dict[str, Callable[[Path, str | None], Any]] = {
    ".npy": lambda path, key: _read_npy(path),
    ".npz": _read_npz,
    ".mtx": lambda path, key: _read_mtx(path),
    ".csv": lambda path, key: _read_table(path, ","),
    ".tsv": lambda path, key: _read_table(path, "\t"),
    ".parquet": lambda path, key: pd.read_parquet(path),
    ".zarr": _read_zarr,
    ".h5": _read_hdf5,
    ".hdf5": _read_hdf5,
    "-ubyte": lambda path, key: _read_idx(path),
}

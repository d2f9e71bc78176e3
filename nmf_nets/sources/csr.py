"""Sparse matrices by rows, on disk."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import scipy.sparse
import torch

from nmf_nets.as_matrix import as_matrix, refuse_kind, target_dtype, torch_dtype
from nmf_nets.contents import reading
from nmf_nets.matrix import SparseMatrix
from nmf_nets.refusal import Refusal
from nmf_nets.sources.base import Source
from nmf_nets.sources.dense import Sliced
from nmf_nets.sources.npy import NpyFile, NpyWriter

PARTS = ("data", "indices", "indptr", "shape", "format")


class Csr(Source):
    """CSR whose values and columns are read by slices; where its rows begin, 8 bytes a row, is kept in memory.

    Raises Refusal for row pointers that are none.
    """

    def __init__(
        self,
        data: Sliced,
        indices: Sliced,
        indptr: np.ndarray,
        n_features: int,
        dtype: torch.dtype | None = None,
        name: str = "X",
        feature_names: tuple[str, ...] | None = None,
    ):
        refuse_kind(data.dtype, name)
        n = len(indptr) - 1
        super().__init__((n, n_features), torch_dtype(target_dtype(data.dtype, dtype)), True, name, feature_names)
        self.data, self.indices, self.indptr = data, indices, indptr.astype(np.int64, copy=False)
        stored = min(data.shape[0], indices.shape[0])
        if self.indptr[0] != 0 or (self.indptr[1:] < self.indptr[:-1]).any() or self.indptr[-1] > stored:
            raise Refusal(
                f"{name} is no CSR: its indptr must ascend from 0 to at most the {stored} values that are stored, but "
                f"goes from {self.indptr[0]} to {self.indptr[-1]}; write it again."
            )
        if indices.dtype.kind not in "iu":
            raise Refusal(f"{name} is no CSR: its indices must be integers, but are {indices.dtype}; write it again.")

    def read(self, start: int, stop: int) -> scipy.sparse.csr_array:
        first, last = self.values_in(0, start), self.values_in(0, stop)
        columns = np.asarray(self.indices[first:last])
        if len(columns) and not 0 <= columns.min() <= columns.max() < self.shape[1]:  # compiled loops would follow it
            where = int(np.flatnonzero((columns < 0) | (columns >= self.shape[1]))[0])
            row = int(np.searchsorted(self.indptr, first + where, side="right")) - 1
            raise Refusal(f"row {row} has a value in column {columns[where]}, but there are {self.shape[1]} features.")
        narrow = np.int32 if max(self.shape[1], last - first) < 2**31 else np.int64
        parts = (
            np.asarray(self.data[first:last]),
            columns.astype(narrow, copy=False),
            (self.indptr[start : stop + 1] - first).astype(narrow),
        )
        return scipy.sparse.csr_array(parts, shape=(stop - start, self.shape[1]))

    def values_in(self, start: int, stop: int) -> int:
        return int(self.indptr[stop] - self.indptr[start])


def open_csr(path: Path, key: str | None = None, dtype: torch.dtype | None = None) -> Csr:
    """The rows of a folder as `CsrWriter` leaves it."""
    with reading(path, "CSR"):
        return csr_of({name: NpyFile(path / f"{name}.npy") for name in PARTS}, path, dtype)


def csr_of(parts: Mapping[str, NpyFile], path: Path, dtype: torch.dtype | None = None) -> Csr:
    """The rows of a matrix that lies in these parts. Raises Refusal for another format of scipy's."""
    kind, (n, m) = parts["format"][...].item().decode(), parts["shape"][...].tolist()
    if kind != "csr":
        raise Refusal(
            f"{path} is {kind}, whose rows do not lie together; save X.tocsr(), or write it block by block with "
            "nmf_nets.sources.csr.CsrWriter."
        )
    indptr = parts["indptr"][...]
    if len(indptr) != n + 1:
        raise Refusal(
            f"{path} is no CSR: it has {n} rows, but {len(indptr)} row pointers, not {n + 1}; write it again."
        )
    return Csr(parts["data"], parts["indices"], indptr, m, dtype, str(path))


class CsrWriter:
    """A folder of data.npy, indices.npy, indptr.npy, shape.npy and format.npy, as unpacking scipy's .npz gives them,
    written block by block: a matrix larger than memory. It is whole when it is closed.

        with CsrWriter("counts.csr", n_features=50_000) as file:
            for block in blocks:        # scipy's or what else `as_matrix` takes
                file.append(block)
    """

    def __init__(self, path: str | Path, n_features: int, dtype: Any = np.float32):
        self.path, self.n_features, self._count = Path(path), n_features, 0
        if self.path.exists():
            raise Refusal(f"{self.path} exists already; remove it, or choose another name.")
        self.path.mkdir(parents=True)
        kinds = (dtype, np.int32 if n_features < 2**31 else np.int64, np.int64)
        self._parts = [NpyWriter(self.path / f"{name}.npy", kind) for name, kind in zip(PARTS, kinds, strict=False)]
        self._parts[2].append(np.zeros(1, np.int64))

    def append(self, X: Any) -> None:
        """Rows, after those that are there. Raises Refusal for what `as_matrix` refuses."""
        block = as_matrix(X, torch_dtype(self._parts[0].dtype), first_row=self._parts[2].rows - 1)
        if block.shape[1] != self.n_features:
            raise Refusal(f"the block has {block.shape[1]} features, but {self.path} has {self.n_features}.")
        csr = block.numpy() if isinstance(block, SparseMatrix) else scipy.sparse.csr_array(block.numpy())
        ends = csr.indptr[1:] + np.int64(self._count)
        for part, values in zip(self._parts, (csr.data, csr.indices, ends), strict=True):
            part.append(values)
        self._count += csr.nnz

    def close(self) -> None:
        for part in self._parts:
            part.close()
        np.save(self.path / "shape.npy", np.array([self._parts[2].rows - 1, self.n_features]))
        np.save(self.path / "format.npy", np.array(b"csr"))

    def __enter__(self) -> "CsrWriter":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, where: TracebackType | None) -> None:
        if error is None:
            self.close()
        else:  # without a shape it is nothing that can be read
            for part in self._parts:
                part.close()

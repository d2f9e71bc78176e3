"""Dense arrays in numpy's own format."""

from collections.abc import Sequence
from pathlib import Path
from types import EllipsisType, TracebackType
from typing import Any, BinaryIO

import numpy as np
import torch

from nmf_nets.contents import reading
from nmf_nets.refusal import Refusal
from nmf_nets.sources.dense import Dense


def open_npy(path: Path, key: str | None = None, dtype: torch.dtype | None = None) -> Dense:
    """The rows of an .npy file in C order."""
    return Dense(NpyFile(path), dtype, str(path))


class NpyFile:
    """An array of an .npy file, of which slices are copied out of the file rather than mapped: pages of a map would
    count as memory of this process for as long as the system likes.

    start: where in the file it begins, for one that lies in an archive.
    Raises Refusal for Fortran order, in which no row lies in one piece, and for a file that is cut off.
    """

    def __init__(self, path: Path, start: int = 0):
        self.path = path
        with reading(path, ".npy"), path.open("rb") as file:
            file.seek(start)
            version = np.lib.format.read_magic(file)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = header(file)
            self._start = file.tell()
        self.shape: tuple[int, ...] = shape
        self.dtype: np.dtype = dtype
        if dtype.hasobject:
            raise Refusal(f"{path} holds objects, and to make them may run any code; save numbers.")
        if fortran and sum(length > 1 for length in shape) > 1:
            raise Refusal(
                f"{path} is in Fortran order, in which no row lies in one piece; save numpy.ascontiguousarray(X), or, "
                "if its columns are the samples, X.T."
            )
        self._width = int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize
        end, length = self._start + (shape[0] if shape else 1) * self._width, path.stat().st_size
        if length < end:
            raise Refusal(
                f"{path} is cut off: its header promises {' × '.join(map(str, shape))} entries of {dtype} up to byte "
                f"{end}, but it has {length}; copy it again."
            )

    def __getitem__(self, part: slice | EllipsisType) -> np.ndarray:
        if part is ...:
            return self._read(0, self.shape)
        start, stop, _ = part.indices(self.shape[0])
        return self._read(start, (max(0, stop - start), *self.shape[1:]))

    def _read(self, start: int, shape: tuple[int, ...]) -> np.ndarray:
        found = np.empty(shape, self.dtype)
        left = found.reshape(-1).view(np.uint8).data
        with self.path.open("rb", buffering=0) as file:
            file.seek(self._start + start * self._width)
            while left:  # one call reads 2 GiB at most
                count = file.readinto(left)
                if not count:
                    raise Refusal(
                        f"{self.path} ends {len(left)} bytes before its header says that it does; copy it again."
                    )
                left = left[count:]
        return found


class NpyWriter:
    """An .npy file that grows by rows, larger than memory if need be; its header says how many when it is closed.

    width: the shape of a row; () for a vector.
    """

    def __init__(self, path: str | Path, dtype: Any, width: Sequence[int] = ()):
        self.dtype, self.width, self.rows = np.dtype(dtype), tuple(width), 0
        path = Path(path)
        self._file: BinaryIO = path.open("wb")
        self._write_header()

    def append(self, rows: np.ndarray) -> None:
        """Raises Refusal for rows of another width."""
        if rows.shape[1:] != self.width:
            raise Refusal(f"rows of the shape {rows.shape[1:]} cannot be appended to those of {self.width}.")
        np.ascontiguousarray(rows, self.dtype).tofile(self._file)
        self.rows += len(rows)

    def close(self) -> None:
        if not self._file.closed:
            self._file.seek(0)
            self._write_header()
            self._file.close()

    def __enter__(self) -> "NpyWriter":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.close()

    def _write_header(self) -> None:
        """numpy leaves room in it for the number of rows to grow."""
        said = np.lib.format.dtype_to_descr(self.dtype)
        header = {"descr": said, "fortran_order": False, "shape": (self.rows, *self.width)}
        np.lib.format.write_array_header_1_0(self._file, header)

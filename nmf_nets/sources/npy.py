"""A dense array in numpy's own format."""

from pathlib import Path

import numpy as np
import torch

from nmf_nets.as_matrix import refuse_kind, target_dtype, torch_dtype
from nmf_nets.contents import reading
from nmf_nets.refusal import Refusal
from nmf_nets.sources.base import Source


class Npy(Source):
    """An .npy file in C order.

    Rows are copied out of the file rather than mapped: pages of a map would count as this process's memory for as long
    as the system likes.
    """

    def __init__(self, path: str | Path, dtype: torch.dtype | None = None):
        path = Path(path)
        with reading(path, ".npy"), path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, self.stored = header(file)
            self._offset = file.tell()
        refuse_kind(self.stored, str(path))
        super().__init__(shape, torch_dtype(target_dtype(self.stored, dtype)), False, str(path))
        if fortran and min(shape) > 1:
            raise Refusal(
                f"{path} is in Fortran order, in which no row lies in one piece; save numpy.ascontiguousarray(X), or, "
                "if its columns are the samples, X.T."
            )
        expected = self._offset + shape[0] * shape[1] * self.stored.itemsize
        if path.stat().st_size < expected:
            raise Refusal(
                f"{path} is cut off: its header promises {shape[0]} × {shape[1]} entries of {self.stored}, {expected} "
                f"bytes, but it has {path.stat().st_size}."
            )
        self.path = path

    def read(self, start: int, stop: int) -> np.ndarray:
        rows = np.empty((stop - start, self.shape[1]), self.stored)
        read_fully(self.path, rows, self._offset + start * self.shape[1] * self.stored.itemsize)
        return rows

    def values_in(self, start: int, stop: int) -> int:
        return (stop - start) * self.shape[1]


def read_fully(path: Path, into: np.ndarray, offset: int) -> None:
    """Fills a contiguous array with the bytes of the file from there on. Raises Refusal where they end."""
    left = memoryview(into.reshape(-1).view(np.uint8))
    with path.open("rb", buffering=0) as file:
        file.seek(offset)
        while left:  # one call reads 2 GiB at most
            count = file.readinto(left)
            if not count:
                raise Refusal(f"{path} ends {len(left)} bytes before its header says that it does; copy it again.")
            left = left[count:]

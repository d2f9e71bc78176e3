"""Codes in a file."""

import os
from io import BytesIO
from pathlib import Path
from zlib import crc32

import numpy as np
import torch

from nmf_nets.codes.base import WritableCodes
from nmf_nets.refusal import Refusal, first_line
from nmf_nets.shapes import Codes


class OnDisk(WritableCodes):
    """H of all rows of X as one .npy file, of which any number of processes read and write rows of their own.

    By plain reads and writes: what the system keeps of the file in memory is not memory of this process.
    checksum: CRC-32 of the rows since `begin`, as they were put.
    """

    def __init__(self, path: Path, n_samples: int, n_components: int, dtype: torch.dtype):
        self.path, self.shape = path, (n_samples, n_components)
        self.dtype = np.dtype(str(dtype).removeprefix("torch."))
        self.checksum = 0
        self._header = _header(self.shape, self.dtype)
        self._width = n_components * self.dtype.itemsize

    def make(self) -> None:
        """The file, with room for all rows where there is none of this kind yet; by one process, before all others.

        Raises Refusal where the disk has no room.
        """
        size = len(self._header) + self.shape[0] * self._width
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("r+b" if self.path.exists() else "w+b") as file:
                if file.read(len(self._header)) != self._header:
                    file.truncate(0)
                    file.seek(0)
                    file.write(self._header)
                    file.flush()
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, size)
                file.truncate(size)
        except OSError as error:
            raise Refusal(
                f"{self.path} cannot be made: {first_line(error)}; codes of {self.shape[0]} rows take {size} bytes."
            ) from error

    def begin(self) -> None:
        self.checksum = 0

    def rows(self, start: int, stop: int) -> Codes:
        data = self._read(start, stop)
        return torch.from_numpy(np.frombuffer(data, self.dtype).reshape(-1, self.shape[1]))

    def put(self, start: int, H: Codes) -> None:
        data = memoryview(H.cpu().contiguous().numpy().astype(self.dtype, copy=False).tobytes())
        self.checksum = crc32(data, self.checksum)
        with self.path.open("r+b", buffering=0) as file:
            file.seek(self._place(start))
            while data:  # one call writes 2 GiB at most
                data = data[file.write(data) :]

    def sync(self) -> None:
        """All that was put has reached the disk."""
        with self.path.open("r+b") as file:
            os.fsync(file.fileno())

    def checksum_of(self, start: int, stop: int, height: int = 2**16) -> int:
        """CRC-32 of these rows as they lie there; −1 where the file ends before them, or is of another kind."""
        try:
            with self.path.open("rb") as file:
                if file.read(len(self._header)) != self._header:
                    return -1
            found = 0
            for first in range(start, stop, height):
                found = crc32(self._read(first, min(stop, first + height)), found)
            return found
        except OSError:
            return -1

    def _place(self, row: int) -> int:
        return len(self._header) + row * self._width

    def _read(self, start: int, stop: int) -> bytearray:
        data = bytearray((stop - start) * self._width)
        left = memoryview(data)
        with self.path.open("rb", buffering=0) as file:
            file.seek(self._place(start))
            while left:
                got = file.readinto(left)
                if not got:
                    raise OSError(f"{self.path} ends {len(left)} bytes before the end of its row {stop - 1}")
                left = left[got:]
        return data


def _header(shape: tuple[int, int], dtype: np.dtype) -> bytes:
    """Of a .npy file."""
    stream = BytesIO()
    described = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, described)
    return stream.getvalue()

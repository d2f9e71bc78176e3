"""Files that appear at once or not at all, and files whose bytes can be proved whole."""

import errno
import hashlib
import os
import shutil
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import BinaryIO

from nmf_nets.refusal import Refusal, first_line

SEAL = struct.Struct("<8sQ32s")
"""A mark, the length of what stands before it, and its SHA-256."""
MARK = b"nmf_nets"
BLOCK = 2**20


class FullDisk(Refusal):
    """What was there before the file that did not fit is there still."""


class SealedFile:
    """A file that ends with a seal, its length and its SHA-256, and `earlier`, the one that stood there before.

    The seal comes to its place by the same renaming as what it seals, so that neither is ever without the other.
    torch.load and numpy.load, of .npy also as a map of memory, read what stands before it as if it were not there.
    Nothing that was saved is deleted but the one before `earlier`: a file that is found broken when the next comes is
    set aside as NAME.broken, and `earlier` stays.
    """

    def __init__(self, path: Path):
        self.path = path
        self.earlier = path.with_name(f"{path.stem}.earlier{path.suffix}")
        self._known_whole = False

    @contextmanager
    def replacing(self) -> Iterator[Path]:
        """Where to write instead, as often and in whatever order; sealed, it takes the place of the file."""
        whole = self._known_whole or fault(self.path) is None
        with replacing(self.path, self.earlier if whole else _free_name(self.path)) as unfinished:
            yield unfinished
            _seal(unfinished)
        self._known_whole = True

    def newest_whole(self) -> Path | None:
        """The file, or else the earlier one; None where there is neither.

        Raises Refusal where all that there are are broken.
        """
        faults = {path: fault(path) for path in (self.path, self.earlier) if path.exists()}
        for path, found in faults.items():
            if found is None:
                return path
        if not faults:
            return None
        said = ", and ".join(f"{path} {found}" for path, found in faults.items())
        raise Refusal(f"{said}; put a copy of one in its place, or move them away to begin anew.")


def fault(path: Path) -> str | None:
    """What is wrong with a sealed file; None if it has the bytes that were sealed."""
    try:
        with path.open("rb") as file:
            length = os.fstat(file.fileno()).st_size - SEAL.size
            if length < 0:
                return f"has {length + SEAL.size} bytes, which is less than the seal of a whole file"
            file.seek(length)
            mark, sealed, digest = SEAL.unpack(file.read(SEAL.size))
            if mark != MARK:
                return "has no seal at its end: it was cut off, or something else wrote it"
            if length != sealed:
                return f"has {length} bytes before its seal, but had {sealed} when it was saved"
            file.seek(0)
            return None if _sha256(file, length) == digest else "has other bytes than were saved: its SHA-256 differs"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({first_line(error)})"


def write(path: Path, data: bytes) -> None:
    """All of the file or none of it, also after a loss of power."""
    with replacing(path) as unfinished:
        unfinished.write_bytes(data)


@contextmanager
def replacing(path: Path, earlier: Path | None = None) -> Iterator[Path]:
    """Where to write instead; what is there in the end has reached the disk when it takes the place of the file.

    earlier: where the file goes that stood there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".unfinished")
    try:
        with refusing_a_full_disk(path):
            yield unfinished
            with unfinished.open("rb+") as file:
                os.fsync(file.fileno())
    except BaseException:
        unfinished.unlink(missing_ok=True)  # or a disk would be full of what is of no use
        raise
    if earlier is not None and path.exists():
        os.replace(path, earlier)
    os.replace(unfinished, path)
    if hasattr(os, "O_DIRECTORY"):  # names reach the disk on their own; Windows has no such call
        directory = os.open(path.parent, os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


@contextmanager
def refusing_a_full_disk(path: Path) -> Iterator[None]:
    """Raises FullDisk where writing a file, or what a directory holds, fails for want of space or of a quota of it."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        free = shutil.disk_usage(path if path.is_dir() else path.parent).free
        raise FullDisk(
            f"{path} could not be saved ({os.strerror(error.errno)}): {free / 2**20:.1f} MiB of its disk are free; "
            "make room there, then go on from what was saved before."
        ) from error


def _seal(path: Path) -> None:
    with path.open("rb+") as file:
        length = file.seek(0, os.SEEK_END)
        file.seek(0)
        digest = _sha256(file, length)
        file.seek(length)
        file.write(SEAL.pack(MARK, length, digest))


def _sha256(file: BinaryIO, length: int) -> bytes:
    """Of so many bytes from where the file stands."""
    digest = hashlib.sha256()
    while length and (block := file.read(min(BLOCK, length))):
        digest.update(block)
        length -= len(block)
    return digest.digest()


def _free_name(path: Path) -> Path:
    names = (path.with_name(f"{path.name}.broken{number or ''}") for number in count())
    return next(name for name in names if not name.exists())

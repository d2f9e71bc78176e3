"""Archives of numpy's and scipy's that are not compressed."""

import zipfile
from pathlib import Path

import numpy as np
import torch

from nmf_nets.contents import features_beside, node_in, reading
from nmf_nets.refusal import Refusal
from nmf_nets.sources.base import Source
from nmf_nets.sources.csr import csr_of
from nmf_nets.sources.dense import Dense
from nmf_nets.sources.npy import NpyFile


def open_npz(path: Path, key: str | None = None, dtype: torch.dtype | None = None) -> Source:
    """The rows of CSR as `scipy.sparse.save_npz(…, compressed=False)` leaves it, or of an array of `numpy.savez`."""
    with reading(path, ".npz"):
        members = _members(path)
        if key is None and {"format", "shape"} <= set(members):
            return csr_of(members, path, dtype)
        return Dense(node_in(members, path, key), dtype, str(path), features_beside(members))


def _members(path: Path) -> dict[str, NpyFile]:
    """Each begins after a local header, which ends with two lengths."""
    found = {}
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        for member in archive.infolist():
            if member.compress_type != zipfile.ZIP_STORED:
                raise Refusal(
                    f"{path} is compressed, so that no rows of it can be read alone; save it by numpy.savez or "
                    "scipy.sparse.save_npz(…, compressed=False)."
                )
            file.seek(member.header_offset + 26)
            name, extra = np.frombuffer(file.read(4), "<u2").tolist()
            found[member.filename.removesuffix(".npy")] = NpyFile(path, member.header_offset + 30 + name + extra)
    return found

"""Sources by the end of their name."""

from collections.abc import Callable
from pathlib import Path

import torch

from nmf_nets.refusal import Refusal
from nmf_nets.sources.base import Source
from nmf_nets.sources.csr import open_csr
from nmf_nets.sources.groups import open_hdf5, open_zarr
from nmf_nets.sources.npy import open_npy
from nmf_nets.sources.npz import open_npz
from nmf_nets.sources.parquet import open_parquet

OPENERS: dict[str, Callable[[Path, str | None, torch.dtype | None], Source]] = {
    ".npy": open_npy,
    ".npz": open_npz,
    ".csr": open_csr,
    ".zarr": open_zarr,
    ".h5": open_hdf5,
    ".hdf5": open_hdf5,
    ".h5ad": open_hdf5,
    ".parquet": open_parquet,
}

KEYED = (".npz", ".zarr", ".h5", ".hdf5", ".h5ad")
"""Formats that may hold several arrays."""


def source_of(path: str | Path, key: str | None = None, dtype: torch.dtype | None = None) -> Source:
    """The rows of a file, read when they are asked for. A folder without another ending is taken for CSR.

    key: which array, of formats that hold several; a layer, or `raw`, of AnnData's files.
    dtype: float32 or float64; None keeps these, and makes torch's default of other numbers.
    Raises Refusal for what cannot be read by rows.
    """
    path = Path(path).expanduser()
    suffix = path.suffix.lower()
    if suffix not in OPENERS and path.is_dir():
        suffix = ".csr"
    if suffix not in OPENERS:
        raise Refusal(
            f"{str(path)!r} cannot be read by rows, only {', '.join(OPENERS)} can; convert it, block by block with "
            "nmf_nets.sources.csr.CsrWriter or nmf_nets.sources.npy.NpyWriter if it does not fit in memory."
        )
    if key is not None and suffix not in KEYED:
        raise Refusal(f"key is {key!r}, but {path} holds one matrix alone; a key is for {', '.join(KEYED)}.")
    return OPENERS[suffix](path, key, dtype)

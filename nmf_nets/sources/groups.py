"""Groups of arrays: HDF5, AnnData's files and zarr."""

from pathlib import Path
from typing import Any

import torch

from nmf_nets.contents import features_beside, is_group, layout_of, listed, names_of, node_in, reading, whole
from nmf_nets.extras import extra
from nmf_nets.refusal import Refusal
from nmf_nets.sources.base import Source
from nmf_nets.sources.csr import Csr
from nmf_nets.sources.dense import Dense

CHUNKS = 2**26
"""Bytes of chunks that HDF5 keeps unpacked, as rows of one chunk may be asked for in several blocks."""


def open_hdf5(path: Path, key: str | None = None, dtype: torch.dtype | None = None) -> Source:
    """The rows of a dataset, or of a group of data, indices, indptr and shape; of AnnData's files those of X, `raw`, or
    of a layer.
    """
    with reading(path, "HDF5"):
        return _source_in(extra("h5py", "hdf5").File(path, "r", rdcc_nbytes=CHUNKS), path, key, dtype)


def open_zarr(path: Path, key: str | None = None, dtype: torch.dtype | None = None) -> Source:
    """As `open_hdf5`, of a zarr store."""
    with reading(path, "zarr"):
        return _source_in(extra("zarr", "zarr").open(str(path), mode="r"), path, key, dtype)


def _source_in(root: Any, path: Path, key: str | None, dtype: torch.dtype | None) -> Source:
    annotated = is_group(root) and (path.suffix == ".h5ad" or root.attrs.get("encoding-type") == "anndata")
    node = _annotated(root, path, key) if annotated else node_in(root, path, key)
    if not is_group(node):
        names = _variables(root, key) if annotated else features_beside(root) if is_group(root) else None
        return Dense(node, dtype, str(path), names)
    (n, m), by_columns = layout_of(node)
    if "barcodes" in node:  # of 10x Genomics: features × cells, by cells
        if node["indptr"].shape != (m + 1,):
            raise Refusal(f"{path} holds {m} cells, but {node['indptr'].shape[0]} pointers to them, not {m + 1}.")
        names = names_of(node["features/id"] if "features" in node else node["genes"])
        return Csr(node["data"], node["indices"], whole(node["indptr"]), n, dtype, str(path), names)
    if by_columns:
        raise Refusal(
            f"{path} holds its matrix by columns (CSC), of which no row lies in one piece; write it by rows: "
            "X.tocsr(), or adata.X = adata.X.tocsr() before adata.write_h5ad(…)."
        )
    names = _variables(root, key) if annotated else features_beside(root)
    return Csr(node["data"], node["indices"], whole(node["indptr"]), m, dtype, str(path), names)


def _annotated(root: Any, path: Path, key: str | None) -> Any:
    """X, raw.X or a layer, as data=anndata finds them."""
    layers = root.get("layers", {})
    held = {"raw": root["raw"]["X"]} if "raw" in root and "X" in root["raw"] else {}
    held |= {name: layers[name] for name in layers if name not in held}
    if key in (None, "X") and "X" in root:
        return root["X"]
    if key is None or key not in held:
        raise Refusal(f"{path} has {listed(['X', *held] if 'X' in root else list(held))}, but not {key or 'X'}.")
    return held[key]


def _variables(root: Any, key: str | None) -> tuple[str, ...] | None:
    var = root["raw"]["var"] if key == "raw" and "raw" in root else root["var"]
    return names_of(var[var.attrs["_index"]]) if is_group(var) and "_index" in var.attrs else None

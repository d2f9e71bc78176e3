"""The doors that read files: what is cut off, turned, lengthened, named wrongly, or lies of its size."""

import gzip
import io
import json
import os
import pickle
import struct
import warnings
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import scipy.io
import scipy.sparse
import torch
from hostile.doors import attempt, door
from hypothesis import strategies as st
from PIL import Image
from scipy.io import wavfile

from nmf_nets.as_matrix import as_matrix
from nmf_nets.contents import contents_of
from nmf_nets.data.anndata import AnnDataFile
from nmf_nets.data.audio import Audio
from nmf_nets.data.images import Images
from nmf_nets.data.matrix import MatrixFile
from nmf_nets.data.text import Text
from nmf_nets.run_directory import RunDirectory
from nmf_nets.signatures import read_catalogue

X = np.arange(12.0).reshape(4, 3)
LONG = 10**12


def _npy(X: Any, **how: Any) -> bytes:
    held = io.BytesIO()
    np.save(held, X, **how)
    return held.getvalue()


def _npz(**arrays: Any) -> bytes:
    held = io.BytesIO()
    np.savez(held, **arrays)
    return held.getvalue()


def _written(write: Callable[[Path], Any], name: str) -> bytes:
    with TemporaryDirectory() as directory, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(directory) / name
        write(path)
        return path.read_bytes()


def _npy_claims(shape: str, dtype: str = "<f8") -> bytes:
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (63 - (10 + len(header)) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + b"\0" * 64


def _zip_of(**members: bytes) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as file:
        for name, data in members.items():
            file.writestr(f"{name}.npy", data)
    return held.getvalue()


def _sparse_npz(kind: str = "csr", **changes: Any) -> bytes:
    S = scipy.sparse.csr_array(X)
    arrays = {"format": kind.encode(), "shape": S.shape, "data": S.data, "indices": S.indices, "indptr": S.indptr}
    return _npz(**(arrays | changes))


def _hdf5(fill: Callable[[Any], Any]) -> bytes:
    import h5py

    def write(path: Path) -> None:
        with h5py.File(path, "w") as file:
            fill(file)

    return _written(write, "x.h5")


def _h5_sparse(**changes: Any) -> bytes:
    S = scipy.sparse.csr_array(X)

    def fill(file: Any) -> None:
        group = file.create_group("X")
        for name, values in {
            "data": S.data,
            "indices": S.indices,
            "indptr": S.indptr,
            "shape": S.shape,
            **changes,
        }.items():
            group[name] = values

    return _hdf5(fill)


def _h5ad(path: Path) -> None:
    import anndata

    obs, var = pd.DataFrame(index=list("abcd")), pd.DataFrame(index=list("xyz"))
    anndata.AnnData(scipy.sparse.csr_matrix(X), obs=obs, var=var, layers={"raw": X}).write_h5ad(path)


def _png(mode: str = "L", size: tuple[int, int] = (3, 4)) -> bytes:
    held = io.BytesIO()
    Image.new(mode, size).save(held, "PNG")
    return held.getvalue()


def _png_claims(width: int, height: int) -> bytes:
    import zlib

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(b"\0" * 9))
        + chunk(b"IEND", b"")
    )


def _wav(dtype: str = "<i2", channels: int = 1) -> bytes:
    held = io.BytesIO()
    wavfile.write(held, 8000, (np.arange(2048).reshape(-1, channels) % 100).astype(dtype))
    return held.getvalue()


def _idx(*shape: int, data: bytes = b"\1" * 12) -> bytes:
    return struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape) + data


SEEDS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "npy": ("x.npy", lambda: _npy(X)),
    "npy of floats": ("x.npy", lambda: _npy(np.asfortranarray(X, np.float32))),
    "npy of records": ("x.npy", lambda: _npy(np.zeros(3, [("a", "f8"), ("b", "i4")]))),
    "npy of objects": ("x.npy", lambda: _npy(np.array([[{}]], dtype=object), allow_pickle=True)),
    "npy of a long claim": ("x.npy", lambda: _npy_claims(f"({LONG}, 3)")),
    "npy of a longer claim": ("x.npy", lambda: _npy_claims(f"({LONG}, {LONG})")),
    "npy of a negative claim": ("x.npy", lambda: _npy_claims("(-4, 3)")),
    "npy of a wide type": ("x.npy", lambda: _npy_claims("(2, 2)", "<U1000000000")),
    "npz": ("x.npz", lambda: _npz(X=X, labels=np.arange(4), feature_names=np.array(["a", "b", "c"]))),
    "npz of a long claim": ("x.npz", lambda: _zip_of(X=_npy_claims(f"({LONG}, 3)"))),
    "npz sparse": ("x.npz", lambda: _sparse_npz()),
    "npz of many rows": ("x.npz", lambda: _sparse_npz(shape=(LONG, 3))),
    "npz of many columns": ("x.npz", lambda: _sparse_npz(shape=(4, LONG))),
    "npz by columns, of many": ("x.npz", lambda: _sparse_npz("csc", shape=(3, LONG))),
    "npz of coordinates": (
        "x.npz",
        lambda: _npz(format=b"coo", shape=(LONG, 3), row=np.array([0, 1]), col=np.array([0, 1]), data=np.ones(2)),
    ),
    "npz of diagonals": (
        "x.npz",
        lambda: _npz(format=b"dia", shape=(LONG, LONG), offsets=np.array([0]), data=np.ones((1, 2))),
    ),
    "npz that leads out": ("x.npz", lambda: _sparse_npz(indices=np.full(11, 7))),
    "npz that leads back": ("x.npz", lambda: _sparse_npz(indptr=np.array([0, 9, 3, 5, 11]))),
    "npz of blocks": (
        "x.npz",
        lambda: _npz(
            format=b"bsr", shape=(4, 4), data=np.ones((1, 0, 0)), indices=np.array([0]), indptr=np.array([0, 1])
        ),
    ),
    "mtx": ("x.mtx", lambda: _written(lambda path: scipy.io.mmwrite(path, scipy.sparse.coo_array(X)), "x.mtx")),
    "mtx dense": ("x.mtx", lambda: _written(lambda path: scipy.io.mmwrite(path, X), "x.mtx")),
    "mtx of many rows": (
        "x.mtx",
        lambda: f"%%MatrixMarket matrix coordinate real general\n{LONG} 3 1\n1 1 2\n".encode(),
    ),
    "mtx of many entries": (
        "x.mtx",
        lambda: f"%%MatrixMarket matrix coordinate real general\n3 3 {LONG}\n1 1 2\n".encode(),
    ),
    "mtx dense of many rows": ("x.mtx", lambda: f"%%MatrixMarket matrix array real general\n{LONG} 3\n1\n".encode()),
    "mtx symmetric": ("x.mtx", lambda: b"%%MatrixMarket matrix coordinate pattern symmetric\n3 3 2\n1 1\n3 1\n"),
    "mtx complex": ("x.mtx", lambda: b"%%MatrixMarket matrix coordinate complex general\n3 3 1\n1 1 2 3\n"),
    "csv": ("x.csv", lambda: b"a,b,c\n1,2,3\n4,5,6\n"),
    "csv without a header": ("x.csv", lambda: b"1,2,3\n4,5,6\n"),
    "csv in quotes": ("x.csv", lambda: b'"a","b"\n"1","2"\n'),
    "csv of large numbers": ("x.csv", lambda: b"a,b\n1e308,2e308\n1,99999999999999999999999\n"),
    "csv with names": ("x.csv", lambda: "\u03b5,a,a\nx,1,2\ny,3,\n".encode()),
    "csv packed": ("x.csv.gz", lambda: gzip.compress(b"a,b,c\n1,2,3\n4,5,6\n", mtime=0)),
    "tsv": ("x.tsv", lambda: b"a\tb\n1\t2\n"),
    "parquet": (
        "x.parquet",
        lambda: _written(lambda path: pd.DataFrame(X, columns=list("abc")).to_parquet(path), "x.parquet"),
    ),
    "h5": ("x.h5", lambda: _hdf5(lambda file: file.update({"X": X, "labels": np.arange(4)}))),
    "h5 of many rows": ("x.h5", lambda: _hdf5(lambda file: file.create_dataset("X", (LONG, 3), chunks=(1, 3)))),
    "h5 sparse": ("x.h5", _h5_sparse),
    "h5 sparse of many rows": ("x.h5", lambda: _h5_sparse(shape=(LONG, 3))),
    "h5 sparse that leads out": ("x.h5", lambda: _h5_sparse(indices=np.full(11, 99))),
    "idx": ("x-images-idx3-ubyte", lambda: _idx(3, 2, 2)),
    "idx of many": ("x-images-idx3-ubyte", lambda: _idx(2**31 - 1, 2**31 - 1, 4)),
    "idx of none": ("x-images-idx3-ubyte", lambda: _idx(0, 2, 2, data=b"")),
    "idx packed": ("x-images-idx3-ubyte.gz", lambda: gzip.compress(_idx(3, 2, 2), mtime=0)),
    "h5ad": ("x.h5ad", lambda: _written(_h5ad, "x.h5ad")),
    "png": ("x.png", _png),
    "png of colours": ("x.png", lambda: _png("RGBA")),
    "png of 16 bits": ("x.png", lambda: _png("I;16")),
    "png of many pixels": ("x.png", lambda: _png_claims(100_000, 100_000)),
    "png of more pixels": ("x.png", lambda: _png_claims(2**31 - 1, 2**31 - 1)),
    "wav": ("x.wav", _wav),
    "wav of floats": ("x.wav", lambda: _wav("<f4", 2)),
    "txt": ("x.txt", lambda: "one two three\ntwo three four \u03b5\n".encode()),
    "pickle": ("x.npy", lambda: pickle.dumps({"X": X})),
}
seed_of = cache(lambda name: (SEEDS[name][0], SEEDS[name][1]()))

READERS: dict[str, Callable[[Path], Any]] = {
    ".h5ad": lambda path: AnnDataFile(path),
    ".png": lambda path: Images(path, background=0.0),
    ".wav": lambda path: Audio(path, n_fft=64, hop=16),
    ".txt": lambda path: Text(path),
}


@st.composite
def mutated(draw: Any, seeds: Any = None) -> tuple[str, str, bytes]:
    """The seed's name, the name of the file, and its bytes after a few mutations."""
    seed = draw(st.sampled_from(list(seeds or SEEDS)))
    name, data = seed_of(seed)
    return seed, name, draw(mutations(data))


@st.composite
def mutations(draw: Any, data: bytes) -> bytes:
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, max(0, min(len(data), draw(st.sampled_from([16, 128, 4096, 10**9]))) - 1)))
        kind = draw(
            st.sampled_from(["flip", "flip", "cut", "swap", "insert", "double", "number", "digits", "large", "other"])
        )
        if kind == "flip" and data:
            data = data[:place] + bytes([data[place] ^ (1 << draw(st.integers(0, 7)))]) + data[place + 1 :]
        elif kind == "cut":
            data = data[:place]
        elif kind == "swap":
            width = draw(st.integers(1, 16))
            data = (
                data[:place]
                + data[place + width : place + 2 * width]
                + data[place : place + width]
                + data[place + 2 * width :]
            )
        elif kind == "insert":
            data = data[:place] + draw(st.binary(min_size=1, max_size=8)) + data[place:]
        elif kind == "double":
            data = data + data[place:]
        elif kind == "number":
            number = draw(st.sampled_from([0, 1, 2**31 - 1, 2**32 - 1, 10**12, 2**63 - 1]))
            data = data[:place] + struct.pack("<Q", number) + data[place + 8 :]
        elif kind == "large":
            data = data[:place] + b"\xff" * 4 + data[place + 4 :]
        elif kind == "digits":
            data = (
                data[:place]
                + draw(st.sampled_from([b"999999999999", b"-1", b"nan", b"1e999", b"\n", b",,", b"'", b'"']))
                + data[place + 1 :]
            )
        elif kind == "other":
            _, other = seed_of(draw(st.sampled_from(["npy", "csv", "png", "wav", "h5"])))
            data = data[:place] + other[place:]
    return data


def read_of(path: Path) -> Any:
    ending = path.suffix
    if ending in READERS:
        return READERS[ending](path).load()
    return contents_of(path)


def _read(name: str, data: bytes) -> None:
    with TemporaryDirectory() as directory:
        path = Path(directory) / name
        path.write_bytes(data)
        with warnings.catch_warnings(), attempt() as refused:
            warnings.simplefilter("ignore")  # a word of a library about a file is a word
            found = read_of(path)
            made = as_matrix(found.X)
            assert bool(torch.isfinite(made.values).all() & (made.values >= 0).all())
        assert refused.because is None or str(path) in str(refused.because) or "X" in str(refused.because)
        assert path.read_bytes() == data, "the file was changed"


@door(mutated(), examples=350, typed=True)
def broken_file(inputs: tuple[str, str, bytes]) -> None:
    _, name, data = inputs
    _read(name, data)


@door(
    st.tuples(st.sampled_from([name for name, _ in SEEDS.values()]), st.binary(max_size=200)), examples=60, typed=True
)
def file_of_anything(inputs: tuple[str, bytes]) -> None:
    _read(*inputs)


@door(
    st.tuples(st.sampled_from(list(SEEDS)), st.sampled_from([name for name, _ in SEEDS.values()])),
    examples=100,
    typed=True,
)
def file_by_another_name(inputs: tuple[str, str]) -> None:
    seed, name = inputs
    _read(name, seed_of(seed)[1])


PATHS = (
    "",
    ".",
    "/",
    "\u03b5\u03bb.npy",
    "a b.npy",
    "nowhere.npy",
    "x" * 300 + ".npy",
    "x.npy\0",
    "~nobody/x.npy",
    "x.npy/",
    "-",
    "con.csv",
    "x",
    ".npy",
    "folder.npy",
    "..",
)


@door(
    st.tuples(
        st.sampled_from(PATHS),
        st.sampled_from([None, "", "X", "a/b", "../X"]),
        st.sampled_from([None, 0, -1, 99, "a", ""]),
    ),
    examples=60,
    typed=True,
)
def odd_path(inputs: tuple[str, str | None, Any]) -> None:
    name, key, column = inputs
    with TemporaryDirectory() as directory:
        (Path(directory) / "folder.npy").mkdir()
        with warnings.catch_warnings(), attempt():
            warnings.simplefilter("ignore")
            MatrixFile(os.path.join(directory, name), key=key, index_column=column).load()


# What training leaves ------------------------------------------------------------------------------------------------


@door(mutations(b"Type,S1,S2\nA[C>A]A,0.5,0.25\nA[C>A]C,0.5,0.75\n"), examples=60, typed=True)
def catalogue_file(raw: bytes) -> None:
    with TemporaryDirectory() as directory, warnings.catch_warnings(), attempt():
        warnings.simplefilter("ignore")
        path = Path(directory) / "x.csv"
        path.write_bytes(raw)
        read_catalogue(path, ["A[C>A]A", "A[C>A]C"])


LEFT = {
    "config.yaml": b"directory: here\nencoder:\n  _target_: nmf_nets.encoders.mlp.MLP\n",
    "metrics.jsonl": json.dumps({"step": 1, "time": 0.5, "loss": 2.0}).encode() + b"\n",
}


@door(
    st.sampled_from(list(LEFT)).flatmap(lambda name: st.tuples(st.just(name), mutations(LEFT[name]))),
    examples=120,
    typed=True,
)
def run_directory(inputs: tuple[str, bytes]) -> None:
    name, raw = inputs
    with TemporaryDirectory() as directory:
        path = Path(directory) / name
        path.write_bytes(raw)
        run = RunDirectory(Path(directory))
        with warnings.catch_warnings(), attempt():
            warnings.simplefilter("ignore")
            {"config.yaml": run.saved_config, "metrics.jsonl": run.measurements}[name]()

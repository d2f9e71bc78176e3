"""Laws of the sources: a block is the rows of the whole matrix, cut where they would be cut in any part of it."""

import re
import threading
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch

from nmf_nets.as_matrix import as_matrix
from nmf_nets.matrix import SparseMatrix
from nmf_nets.refusal import Refusal
from nmf_nets.sources.base import Source
from nmf_nets.sources.csr import CsrWriter
from nmf_nets.sources.npy import NpyWriter
from nmf_nets.sources.open import source_of
from nmf_nets.sources.resident import Resident
from nmf_nets.sources.weighted import Weighted

anndata, h5py, zarr = (pytest.importorskip(name) for name in ("anndata", "h5py", "zarr"))

N, M = 61, 7
X = np.random.default_rng(0).poisson(0.5, (N, M)) * np.random.default_rng(1).random((N, M))
X[20:24] = 0  # rows without a value
CSR = scipy.sparse.csr_array(X)


def npy(folder, X):
    np.save(folder / "X.npy", X)
    return folder / "X.npy"


def npz(folder, X):
    np.savez(folder / "X.npz", X=X, other=np.ones(3))
    return folder / "X.npz"


def parquet(folder, X):
    pd.DataFrame(X, columns=[f"f{j}" for j in range(X.shape[1])]).to_parquet(folder / "X.parquet", row_group_size=9)
    return folder / "X.parquet"


def hdf5(folder, X):
    with h5py.File(folder / "X.h5", "w") as file:
        file.create_dataset("X", data=X, chunks=(5, 3), compression="gzip")
    return folder / "X.h5"


def zarr_array(folder, X):
    zarr.save_array(str(folder / "X.zarr"), X)
    return folder / "X.zarr"


def annotated(folder, X):
    anndata.AnnData(np.zeros_like(X), layers={"counts": X}).write_h5ad(folder / "dense.h5ad")
    return folder / "dense.h5ad"


def scipy_npz(folder, X):
    scipy.sparse.save_npz(folder / "csr.npz", scipy.sparse.csr_array(X), compressed=False)
    return folder / "csr.npz"


def csr(folder, X):
    with CsrWriter(folder / "X.csr", X.shape[1], X.dtype) as file:
        for i in range(0, len(X), 10):
            file.append(scipy.sparse.csr_array(X[i : i + 10]))
    return folder / "X.csr"


def hdf5_group(folder, X):
    with h5py.File(folder / "csr.h5", "w") as file:
        group = file.create_group("counts")
        for name in ("data", "indices", "indptr"):
            group[name] = getattr(scipy.sparse.csr_array(X), name)
        group["shape"] = X.shape
    return folder / "csr.h5"


def annotated_csr(folder, X):
    anndata.AnnData(scipy.sparse.csr_matrix(X)).write_h5ad(folder / "X.h5ad")
    return folder / "X.h5ad"


def zarr_group(folder, X):
    group = zarr.open_group(str(folder / "csr.zarr"), mode="w")
    for name in ("data", "indices", "indptr"):
        group.create_array(name, data=getattr(scipy.sparse.csr_array(X), name))
    group.attrs["shape"] = X.shape
    return folder / "csr.zarr"


ON_DISK = {
    make.__name__: (make, key)
    for make, key in (
        (npy, None),
        (npz, "X"),
        (parquet, None),
        (hdf5, "X"),
        (zarr_array, None),
        (annotated, "counts"),
        (scipy_npz, None),
        (csr, None),
        (hdf5_group, "counts"),
        (annotated_csr, None),
        (zarr_group, None),
    )
}
RESIDENT = {"resident": np.asarray, "resident, sparse": scipy.sparse.csr_array}
MEMBERS = (*RESIDENT, *ON_DISK)


def made(name, folder, X, dtype=None) -> Source:
    if name in RESIDENT:
        return Resident(as_matrix(RESIDENT[name](X), dtype))
    write, key = ON_DISK[name]
    return source_of(write(folder, X), key, dtype)


@pytest.fixture(params=MEMBERS)
def source(request, tmp_path) -> Source:
    return made(request.param, tmp_path, X)


def test_a_span_is_the_rows_of_the_whole(source):
    assert source.shape == (N, M)
    assert source.dtype == torch.float64
    for start, stop in ((0, N), (0, 1), (19, 25), (20, 24), (60, 61)):
        found = source.span(start, stop)
        assert isinstance(found, SparseMatrix) == source.is_sparse
        assert np.array_equal(found.dense().numpy(), X[start:stop])
        assert source.values_in(start, stop) == (
            CSR.indptr[stop] - CSR.indptr[start] if source.is_sparse else found.values.numel()
        )


@pytest.mark.parametrize("values", [1, 20, 45, 10**9])
@pytest.mark.parametrize(("start", "stop"), [(0, N), (0, 30), (30, N), (21, 22)])
def test_blocks_are_the_rows_in_order(source, start, stop, values):
    parts, blocks = zip(*source.blocks(start, stop, values), strict=True)
    assert [row for part in parts for row in range(part.start, part.stop)] == list(range(start, stop))
    assert np.array_equal(torch.cat([block.dense() for block in blocks]).numpy(), X[start:stop])


@pytest.mark.parametrize("values", [8, 20, 45])
def test_blocks_of_a_part_are_cut_where_those_of_the_whole_are(source, values):
    whole = source.cuts(values=values)
    assert len(whole) > 3
    for start, stop in ((5, N), (13, 50), (0, 40)):
        assert source.cuts(start, stop, values) == [start, *(cut for cut in whole if start < cut < stop), stop]
    longest = max(source.values_in(i, i + 1) for i in range(N))
    for first, last in pairwise(whole):
        assert source.values_in(first, last) < values + longest


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("stored", [np.float64, np.float32, np.uint8])
def test_blocks_are_of_the_dtype_that_is_asked_for(name, stored, dtype, tmp_path):
    given = np.floor(X * 3).astype(stored)
    source = made(name, tmp_path, given, dtype)
    assert source.dtype == dtype
    assert source.span(3, 9).dtype == dtype
    assert np.array_equal(source.span(3, 9).dense().numpy(), given[3:9])


@pytest.mark.parametrize("name", sorted(set(ON_DISK) - {"csr"}))
@pytest.mark.parametrize(("value", "says"), [(-1.0, "must be non-negative"), (np.nan, "nan"), (np.inf, "inf")])
def test_a_bad_entry_is_refused_with_its_row_in_the_file_when_its_block_is_due(name, value, says, tmp_path):
    bad = X.copy()
    bad[41, 2] = value
    source = made(name, tmp_path, bad)
    seen = []
    with pytest.raises(Refusal, match=rf"{says}.*X\[41, 2\]|X\[41, 2\].*{says}"):
        seen.extend(part for part, _ in source.blocks(values=10))
    assert seen[-1].stop <= 41 < seen[-1].stop + 10
    assert not readers()


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("nmf-source")]


def test_the_thread_ends_with_the_loop(source):
    for _ in source.blocks(values=10):
        assert readers()
        break
    assert not readers()
    list(source.blocks(values=10))
    assert not readers()


class Counted(Source):
    """Says which rows were read."""

    def __init__(self):
        super().__init__((40, 1), torch.float64, False)
        self.rows = []

    def read(self, start, stop):
        self.rows.append((start, stop))
        return np.ones((stop - start, 1))

    def values_in(self, start, stop):
        return stop - start


def test_one_block_is_read_ahead_and_no_more():
    source = Counted()
    blocks = source.blocks(values=10)
    for read in (2, 3, 4, 4):
        next(blocks)
        while len(source.rows) < read and readers():
            pass
        assert len(source.rows) == read
    blocks.close()


def test_rows_that_cannot_be_read_are_refused_in_one_sentence(tmp_path):
    path = hdf5(tmp_path, X)
    source, whole = source_of(path), path.read_bytes()
    with h5py.File(path) as file:
        place = file["X"].id.get_chunk_info(file["X"].id.get_num_chunks() - 1).byte_offset
    path.write_bytes(whole[:place] + bytes(len(whole) - place))
    with pytest.raises(Refusal, match="rows 0 to 61 cannot be read"):
        source.span(0, N)


def test_rows_that_are_not_there_are_refused(source):
    for start, stop in ((0, N + 1), (-1, 2), (5, 5)):
        with pytest.raises(Refusal, match=str(N)):
            source.span(start, stop)


def test_an_npy_file_in_fortran_order_or_cut_off_is_refused_with_what_to_do(tmp_path):
    np.save(tmp_path / "fortran.npy", np.asfortranarray(X))
    with pytest.raises(Refusal, match="ascontiguousarray"):
        source_of(tmp_path / "fortran.npy")
    np.save(tmp_path / "X.npy", X)
    (tmp_path / "short.npy").write_bytes((tmp_path / "X.npy").read_bytes()[:-8])
    with pytest.raises(Refusal, match="cut off"):
        source_of(tmp_path / "short.npy")
    source = source_of(tmp_path / "X.npy")
    (tmp_path / "X.npy").write_bytes((tmp_path / "short.npy").read_bytes())
    assert np.array_equal(source.span(0, N - 1).dense().numpy(), X[:-1])
    with pytest.raises(Refusal, match="ends 8 bytes before"):
        source.span(N - 1, N)


def test_what_is_written_block_by_block_is_whole_when_it_is_closed_and_nothing_before(tmp_path):
    bad = X.copy()
    bad[41, 2] = -1
    with pytest.raises(Refusal, match=re.escape("X[41, 2]")):
        csr(tmp_path, bad)
    with pytest.raises(Refusal, match="shape"):
        source_of(tmp_path / "X.csr")
    with pytest.raises(Refusal, match="exists already"):
        csr(tmp_path, X)
    with NpyWriter(tmp_path / "X.npy", np.float64, (M,)) as file:
        for i in range(0, N, 10):
            file.append(X[i : i + 10])
        with pytest.raises(Refusal, match="appended"):
            file.append(X[:, 1:])
    assert np.array_equal(np.load(tmp_path / "X.npy"), X)


def test_rows_that_do_not_lie_together_are_refused_with_what_to_do(tmp_path):
    CSC = scipy.sparse.csc_array(X)
    scipy.sparse.save_npz(tmp_path / "csc.npz", CSC, compressed=False)
    scipy.sparse.save_npz(tmp_path / "packed.npz", CSR)
    anndata.AnnData(scipy.sparse.csc_matrix(X)).write_h5ad(tmp_path / "csc.h5ad")
    pd.DataFrame({"a": [1.0], "b": ["text"]}).to_parquet(tmp_path / "text.parquet")
    (tmp_path / "X.csv").write_text("1,2")
    remedies = {"csc.npz": "tocsr", "packed.npz": "compressed=False", "csc.h5ad": "tocsr", "text.parquet": "column 'b'"}
    for name, remedy in {**remedies, "X.csv": "CsrWriter", "nothing.npy": "no such file"}.items():
        with pytest.raises(Refusal, match=remedy):
            source_of(tmp_path / name)
    with pytest.raises(Refusal, match="key is for"):
        source_of(npy(tmp_path, X), "X")


def test_a_sparse_matrix_that_leads_out_of_itself_is_refused_with_its_row(tmp_path):
    path = csr(tmp_path, X)
    indices, indptr = np.load(path / "indices.npy"), np.load(path / "indptr.npy")
    indices[indptr[30]] = M
    np.save(path / "indices.npy", indices)
    assert np.array_equal(source_of(path).span(0, 30).dense().numpy(), X[:30])
    with pytest.raises(Refusal, match=f"row 30 has a value in column {M}"):
        source_of(path).span(25, 35)
    for broken in (indptr[:-1], indptr[::-1].copy(), indptr + 1):
        np.save(path / "indptr.npy", broken)
        with pytest.raises(Refusal, match="no CSR"):
            source_of(path)


@pytest.mark.parametrize("name", ["annotated_csr", "annotated", "parquet"])
def test_features_have_the_names_that_the_file_gives_them(name, tmp_path):
    names = made(name, tmp_path, X).feature_names
    assert names == tuple(f"f{j}" if name == "parquet" else str(j) for j in range(M))


@pytest.mark.parametrize("of_weights", ["npy", "csr"])
@pytest.mark.parametrize("of_X", ["npy", "csr"])
def test_weights_lie_beside_it_and_where_they_are_zero_X_may_hold_anything(of_X, of_weights, tmp_path):
    V = np.random.default_rng(2).integers(0, 3, (N, M)).astype(float)
    V[10:20] = 0  # nothing of a whole block
    given = np.where(V > 0, X, np.nan) if of_X == "npy" else X
    (tmp_path / "V").mkdir()
    source = Weighted(made(of_X, tmp_path, given), made(of_weights, tmp_path / "V", V))
    whole = as_matrix(given, weights=V if of_weights == "npy" else scipy.sparse.csr_array(V))
    for part, block in source.blocks(values=20):
        assert torch.equal(block.values, whole.span(part.start, part.stop).values)
        assert torch.equal(block.given_weights, whole.span(part.start, part.stop).given_weights)
    with pytest.raises(Refusal, match="shape"):
        Weighted(made(of_X, tmp_path / "V", X[:, 1:]) if of_X != of_weights else Resident(as_matrix(X[1:])), source)


@pytest.mark.parametrize("shape", [(4,), (2, 3, 4), (0, 3)])
def test_other_shapes_and_what_is_no_number_are_refused(shape, tmp_path):
    with pytest.raises(Refusal, match="shape"):
        source_of(npy(tmp_path, np.ones(shape)))
    with pytest.raises(Refusal, match="real numbers"):
        source_of(npy(tmp_path, np.ones((2, 2), complex)))

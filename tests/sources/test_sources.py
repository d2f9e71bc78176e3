"""Laws of the sources: a block is the rows of the whole matrix, cut where they would be cut in any part of it."""

import threading
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse
import torch

from nmf_nets.as_matrix import as_matrix
from nmf_nets.matrix import SparseMatrix
from nmf_nets.refusal import Refusal
from nmf_nets.sources.base import Source
from nmf_nets.sources.npy import Npy
from nmf_nets.sources.resident import Resident

N, M = 61, 7
X = np.random.default_rng(0).poisson(0.5, (N, M)) * np.random.default_rng(1).random((N, M))
X[20:24] = 0  # rows without a value
CSR = scipy.sparse.csr_array(X)


def npy(folder, X, dtype=None):
    np.save(folder / "X.npy", X)
    return Npy(folder / "X.npy", dtype)


DENSE = {"resident": lambda folder, X, dtype=None: Resident(as_matrix(X, dtype)), "npy": npy}
SPARSE = {"resident, sparse": lambda folder, X, dtype=None: Resident(as_matrix(scipy.sparse.csr_array(X), dtype))}
MEMBERS = {**DENSE, **SPARSE}
ON_DISK = {name: make for name, make in MEMBERS.items() if "resident" not in name}


@pytest.fixture(params=MEMBERS)
def source(request, tmp_path) -> Source:
    return MEMBERS[request.param](tmp_path, X)


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
    source = MEMBERS[name](tmp_path, given, dtype)
    assert source.dtype == dtype
    assert source.span(3, 9).dtype == dtype
    assert np.array_equal(source.span(3, 9).dense().numpy(), given[3:9])


@pytest.mark.parametrize("name", ON_DISK)
@pytest.mark.parametrize(("value", "says"), [(-1.0, "must be non-negative"), (np.nan, "nan"), (np.inf, "inf")])
def test_a_bad_entry_is_refused_with_its_row_in_the_file_when_its_block_is_due(name, value, says, tmp_path):
    bad = X.copy()
    bad[41, 2] = value
    source = ON_DISK[name](tmp_path, bad)
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


def test_rows_that_are_not_there_are_refused(source):
    for start, stop in ((0, N + 1), (-1, 2), (5, 5)):
        with pytest.raises(Refusal, match=str(N)):
            source.span(start, stop)


def test_an_npy_file_in_fortran_order_or_cut_off_is_refused_with_what_to_do(tmp_path):
    np.save(tmp_path / "fortran.npy", np.asfortranarray(X))
    with pytest.raises(Refusal, match="ascontiguousarray"):
        Npy(tmp_path / "fortran.npy")
    np.save(tmp_path / "X.npy", X)
    (tmp_path / "short.npy").write_bytes((tmp_path / "X.npy").read_bytes()[:-8])
    with pytest.raises(Refusal, match="cut off"):
        Npy(tmp_path / "short.npy")
    source = Npy(tmp_path / "X.npy")
    (tmp_path / "X.npy").write_bytes((tmp_path / "short.npy").read_bytes())
    assert np.array_equal(source.span(0, N - 1).dense().numpy(), X[:-1])
    with pytest.raises(Refusal, match="ends 8 bytes before"):
        source.span(N - 1, N)


@pytest.mark.parametrize("shape", [(4,), (2, 3, 4), (0, 3)])
def test_other_shapes_and_what_is_no_number_are_refused(shape, tmp_path):
    with pytest.raises(Refusal, match="shape"):
        npy(tmp_path, np.ones(shape))
    with pytest.raises(Refusal, match="real numbers"):
        npy(tmp_path, np.ones((2, 2), complex))

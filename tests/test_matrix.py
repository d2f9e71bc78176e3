import gc
import warnings
import weakref
from copy import copy

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nmf_nets.as_matrix import as_matrix
from nmf_nets.matrix import DenseMatrix, SparseMatrix
from nmf_nets.refusal import Refusal
from nmf_nets.sparse_product import WIDE, sparse_product

FORMATS = ["csr", "csc", "coo", "lil", "dok", "bsr", "dia"]
CONTAINERS = [getattr(scipy.sparse, f"{name}_{kind}") for name in FORMATS for kind in ("array", "matrix")]
NARROW = ["float16", "bool", "int8", "uint8", "int32", "int64", "uint64"]


def table(n: int = 7, m: int = 5, seed: int = 0) -> np.ndarray:
    """About half zeros, with an empty row and an empty column."""
    chance = np.random.default_rng(seed)
    A = chance.random((n, m)) * (chance.random((n, m)) < 0.6)
    A[2], A[:, 3] = 0, 0
    return A


def whole(n: int = 7, m: int = 5) -> np.ndarray:
    """Whole numbers: exact in every dtype."""
    return np.floor(4 * table(n, m))


def values_of(X: np.ndarray) -> torch.Tensor:
    return as_matrix(X).dense()


# The door: what it accepts --------------------------------------------------------------------------------------------


def memory_mapped(A: np.ndarray, path, mode: str) -> np.ndarray:
    np.save(path / "X.npy", A)
    return np.load(path / "X.npy", mmap_mode=mode)


def read_only(A: np.ndarray) -> np.ndarray:
    A = A.copy()
    A.flags.writeable = False
    return A


def packed_field(A: np.ndarray) -> np.ndarray:
    records = np.zeros(A.shape, dtype=[("flag", "u1"), ("x", A.dtype)])
    records["x"] = A
    return records["x"]


LAYOUTS = {
    "C order": np.ascontiguousarray,
    "Fortran order": np.asfortranarray,
    "read-only": read_only,
    "read-only Fortran order": lambda A: read_only(np.asfortranarray(A)),
    "rows reversed": lambda A: A[::-1].copy()[::-1],
    "both sides reversed": lambda A: A[::-1, ::-1].copy()[::-1, ::-1],
    "every second column of a wider array": lambda A: np.repeat(A, 2, axis=1)[:, ::2],
    "big-endian": lambda A: A.astype(A.dtype.newbyteorder(">")),
    "big-endian and reversed": lambda A: A[::-1].astype(A.dtype.newbyteorder(">"))[::-1],
    "field of packed records": packed_field,
    "masked array without a mask": np.ma.masked_array,
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_of_numpy_gives_the_same_numbers_in_the_same_dtype(layout, dtype):
    A = table().astype(dtype)
    X = as_matrix(LAYOUTS[layout](A))
    assert isinstance(X, DenseMatrix)
    assert X.shape == A.shape
    assert torch.equal(X.values, torch.from_numpy(A))


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_memory_mapped_arrays_are_read_and_left_alone(mode, tmp_path):
    A = table()
    assert torch.equal(values_of(memory_mapped(A, tmp_path, mode)), torch.from_numpy(A))
    assert np.array_equal(np.load(tmp_path / "X.npy"), A)


@pytest.mark.parametrize("order", [">", "<"])
@pytest.mark.parametrize("dtype", NARROW)
def test_narrow_and_whole_numbers_become_the_default_dtype(dtype, order):
    A = whole() > 1 if dtype == "bool" else whole()
    X = as_matrix(A.astype(np.dtype(dtype).newbyteorder(order)))
    assert X.dtype == torch.get_default_dtype()
    assert torch.equal(X.values, torch.from_numpy(A).to(X.dtype))


def test_nested_lists():
    assert torch.equal(values_of([[0, 1], [2, 3]]), torch.tensor([[0.0, 1], [2, 3]]))
    assert torch.equal(values_of([[0.5, 1], [2, 3]]), torch.tensor([[0.5, 1], [2, 3]], dtype=torch.float64))


DENSE_INPUTS = {"numpy": np.array, "list": np.ndarray.tolist, "torch": torch.tensor, "pandas": pd.DataFrame}
SPARSE_INPUTS = {"scipy": scipy.sparse.csr_array, "torch CSR": lambda A: torch.tensor(A).to_sparse_csr()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", [*DENSE_INPUTS, *SPARSE_INPUTS])
def test_the_dtype_asked_for_is_the_dtype_given(kind, dtype):
    for A in (whole(), whole().astype(np.float32), whole().astype(np.int64)):
        X = as_matrix((DENSE_INPUTS | SPARSE_INPUTS)[kind](A), dtype)
        assert X.dtype == dtype
        assert torch.equal(X.dense(), torch.from_numpy(A).to(dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_matrix_passes_the_door_as_it_is(dtype):
    for X in (as_matrix(table()), as_matrix(scipy.sparse.csr_array(table()))):
        assert as_matrix(X) is X
        assert as_matrix(X, X.dtype) is X
        assert as_matrix(X, dtype).dtype == dtype


TORCH_DTYPES = ["float64", "float32", "float16", "bfloat16", "bool", "uint8", "int32", "int64"]


def duplicated_coo(A: torch.Tensor) -> torch.Tensor:
    """Every entry a second time, as 0."""
    place = torch.nonzero(A).T
    values = torch.cat([A[A > 0], torch.zeros_like(A[A > 0])])
    return torch.sparse_coo_tensor(torch.cat([place, place], 1), values, A.shape, check_invariants=True)


TORCH_LAYOUTS = {
    "strided": lambda A: A,
    "transposed": lambda A: A.T.contiguous().T,
    "COO": torch.Tensor.to_sparse_coo,
    "COO with duplicates": duplicated_coo,
    "CSR": torch.Tensor.to_sparse_csr,
    "CSC": torch.Tensor.to_sparse_csc,
}


@pytest.mark.parametrize("dtype", TORCH_DTYPES)
@pytest.mark.parametrize("layout", TORCH_LAYOUTS)
def test_torch_tensors_of_every_layout_and_dtype(layout, dtype):
    A = torch.from_numpy(whole()).to(getattr(torch, dtype))
    X = as_matrix(TORCH_LAYOUTS[layout](A))
    assert X.is_sparse == layout.startswith("C")
    assert X.dtype == (A.dtype if dtype in ("float32", "float64") else torch.get_default_dtype())
    assert torch.equal(X.dense(), A.to(X.dtype))


@pytest.mark.parametrize("layout", ["strided", "CSR"])
def test_data_carry_no_gradient(layout):
    A = TORCH_LAYOUTS[layout](torch.from_numpy(table())).requires_grad_()
    assert not as_matrix(A).values.requires_grad


FRAMES = {
    "float64": pd.DataFrame(whole()),
    "float32": pd.DataFrame(whole().astype(np.float32)),
    "int64": pd.DataFrame(whole().astype(int)),
    "bool": pd.DataFrame(whole() > 1),
    "floats beside bools": pd.DataFrame({"a": [0.5, 2], "b": [True, False]}),
    "floats beside integers": pd.DataFrame({"a": [0.5, 2], "b": [3, 0]}),
    "nullable Int64": pd.DataFrame(whole().astype(int)).astype("Int64"),
    "nullable Float32 beside boolean": pd.DataFrame(
        {"a": pd.array([0.5, 2], "Float32"), "b": pd.array([True, False], "boolean")}
    ),
    "arrow": pd.DataFrame(whole()).astype("float64[pyarrow]"),
    "two columns of one name": pd.DataFrame(whole()[:, :2], columns=["a", "a"]),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_pandas_frames_of_numbers(kind):
    X = as_matrix(FRAMES[kind])
    expected = np.array(FRAMES[kind].values.tolist(), dtype=float)
    assert X.dtype in (torch.float32, torch.float64)
    assert np.array_equal(X.values.double().numpy(), expected)


@pytest.mark.parametrize("container", CONTAINERS, ids=lambda c: c.__name__)
@pytest.mark.parametrize("dtype", ["float64", "float32", "bool", "int8", "int64", "longdouble"])
def test_every_scipy_format_gives_the_same_csr(container, dtype):
    A = (whole() > 1) if dtype == "bool" else whole().astype(dtype)
    X = as_matrix(container(A))
    assert isinstance(X, SparseMatrix)
    kept = {"float32": torch.float32, "float64": torch.float64, "longdouble": torch.float64}
    assert X.dtype == kept.get(dtype, torch.get_default_dtype())
    assert torch.equal(X.dense(), torch.from_numpy(A.astype(float)).to(X.dtype))
    assert len(X.values) == np.count_nonzero(A)


@pytest.mark.parametrize("dtype", ["float16", ">f8", ">f4"])
@pytest.mark.parametrize("name", ["csr", "csc", "coo"])
def test_sparse_data_of_a_foreign_dtype(name, dtype):
    A = getattr(scipy.sparse, f"{name}_array")(whole())
    A.data = A.data.astype(dtype)
    X = as_matrix(A)
    assert X.dtype == (torch.float64 if dtype == ">f8" else torch.float32)
    assert torch.equal(X.dense().double(), torch.from_numpy(whole()))


def csr(A: np.ndarray, index: type = np.int32) -> scipy.sparse.csr_array:
    A = scipy.sparse.csr_array(A)
    A.indptr, A.indices = A.indptr.astype(index), A.indices.astype(index)
    return A


def unsorted(A: np.ndarray) -> scipy.sparse.csr_array:
    A = csr(A)
    order = np.concatenate([np.arange(a, b)[::-1] for a, b in zip(A.indptr[:-1], A.indptr[1:], strict=True)])
    return scipy.sparse.csr_array((A.data[order], A.indices[order], A.indptr), shape=A.shape)


def duplicated(A: np.ndarray) -> scipy.sparse.csr_array:
    """Every entry as a quarter and three quarters of it."""
    A = csr(A)
    pieces = np.stack([0.25 * A.data, 0.75 * A.data], axis=1).ravel()
    return scipy.sparse.csr_array((pieces, np.repeat(A.indices, 2), 2 * A.indptr), shape=A.shape)


def with_explicit_zeros(A: np.ndarray) -> scipy.sparse.csr_array:
    full = scipy.sparse.csr_array(A + 1)
    full.data = A.ravel().copy()
    return full


def with_frozen_buffers(A: np.ndarray) -> scipy.sparse.csr_array:
    A = csr(A)
    for part in (A.data, A.indices, A.indptr):
        part.flags.writeable = False
    return A


SPARSE = {
    "int32 indices": csr,
    "int64 indices": lambda A: csr(A, np.int64),
    "unsorted indices": unsorted,
    "duplicates": duplicated,
    "explicit zeros": with_explicit_zeros,
    "read-only buffers": with_frozen_buffers,
}


@pytest.mark.parametrize("kind", SPARSE)
def test_a_csr_is_made_canonical_and_the_callers_object_stays_as_it_was(kind):
    A = SPARSE[kind](table())
    before = [part.copy() for part in (A.data, A.indices, A.indptr)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        X = as_matrix(A)
    for part, old in zip((A.data, A.indices, A.indptr), before, strict=True):
        assert np.array_equal(part, old)
        assert part.dtype == old.dtype
    canonical = csr(table())
    assert np.array_equal(X.csr.crow_indices().numpy(), canonical.indptr)
    assert np.array_equal(X.csr.col_indices().numpy(), canonical.indices)
    assert np.array_equal(X.values.numpy(), canonical.data)


def test_duplicates_are_judged_by_their_sum():
    def at(*values):
        place = np.ones(len(values), dtype=int)
        return scipy.sparse.coo_array((np.array(values, dtype=float), (place, place)), shape=(2, 3))

    assert as_matrix(at(3, -1)).dense()[1, 1] == 2
    assert len(as_matrix(at(1, -1)).values) == 0
    with pytest.raises(Refusal, match=r"X\[1, 1\] is -2"):
        as_matrix(at(1, -3))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", ["C order", "Fortran order", "every second column of a wider array"])
def test_nothing_is_copied_where_nothing_has_to_change(layout, dtype):
    A = LAYOUTS[layout](table().astype(dtype))
    assert as_matrix(A).values.data_ptr() == A.ctypes.data
    assert as_matrix(A, as_matrix(A).dtype).values.data_ptr() == A.ctypes.data
    T = torch.from_numpy(A)
    assert as_matrix(T).values.data_ptr() == T.data_ptr()
    S = csr(A)
    X = as_matrix(S)
    assert X.values.data_ptr() == S.data.ctypes.data
    assert X.csr.col_indices().data_ptr() == S.indices.ctypes.data
    assert X.csr.crow_indices().data_ptr() == S.indptr.ctypes.data


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float64]),
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=6),
        elements=st.floats(0, 1e6, allow_subnormal=False, width=32) | st.just(0.0),
    ),
    st.sampled_from(CONTAINERS),
)
def test_what_goes_through_the_door_comes_out_unchanged(A, container):
    dense, sparse = as_matrix(A), as_matrix(container(A))
    assert torch.equal(dense.values, torch.from_numpy(A))
    assert torch.equal(sparse.dense(), torch.from_numpy(A))
    assert torch.equal(sparse.T.dense(), torch.from_numpy(A.T))
    assert bool((sparse.values > 0).all())


# The door: what it refuses --------------------------------------------------------------------------------------------

KINDS = {
    **DENSE_INPUTS,
    "Fortran order": np.asfortranarray,
    "read-only": read_only,
    "nullable frame": lambda A: pd.DataFrame(A).astype("Float64"),
    **SPARSE_INPUTS,
    "CSC": scipy.sparse.csc_array,
    "COO": scipy.sparse.coo_array,
    "DOK": scipy.sparse.dok_array,
    "unsorted": unsorted,
    "duplicates": duplicated,
    "torch COO": lambda A: torch.tensor(A).to_sparse_coo(),
    "torch CSC": lambda A: torch.tensor(A).to_sparse_csc(),
}


@pytest.mark.parametrize(
    ("value", "law"),
    [
        (np.nan, r"must be finite, but X\[2, 3\] is nan"),
        (np.inf, r"must be finite, but X\[2, 3\] is inf"),
        (-np.inf, r"must be finite, but X\[2, 3\] is -inf"),
        (-0.5, r"must be non-negative, but X\[2, 3\] is -0.5"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_the_first_bad_entry_is_named(kind, value, law):
    A = table()
    A[2, 3], A[4, 0], A[2, 4] = value, -1, np.nan  # [4, 0] is the first one in column order
    with pytest.raises(Refusal, match=law):
        as_matrix(KINDS[kind](A))


@pytest.mark.parametrize("kind", ["numpy", "scipy", "torch", "torch CSR", "pandas"])
def test_negative_whole_numbers_are_refused(kind):
    A = whole().astype(np.int64)
    A[3, 1] = -2
    with pytest.raises(Refusal, match=r"X\[3, 1\] is -2"):
        as_matrix((DENSE_INPUTS | SPARSE_INPUTS)[kind](A))


@pytest.mark.parametrize("kind", ["numpy", "scipy", "torch", "torch CSR", "pandas"])
def test_what_the_dtype_asked_for_cannot_hold_is_refused(kind):
    A = table()
    A[3, 1] = 1e300
    with pytest.raises(Refusal, match=r"X\[3, 1\] is inf; clip it, or choose a wider dtype"):
        as_matrix((DENSE_INPUTS | SPARSE_INPUTS)[kind](A), torch.float32)


def test_missing_values_of_a_nullable_frame_are_refused():
    frame = pd.DataFrame({"a": pd.array([1, 2], "Int64"), "b": pd.array([None, 4], "Int64")})
    with pytest.raises(Refusal, match=r"X\[0, 1\] is nan; drop or impute"):
        as_matrix(frame)


def test_masked_entries_are_refused():
    with pytest.raises(Refusal, match=r"X\[1, 2\] is masked"):
        as_matrix(np.ma.masked_array(np.ones((3, 4)), np.arange(12).reshape(3, 4) == 6))


@pytest.mark.parametrize("column", [["x", "y"], pd.Categorical(["x", "y"]), pd.to_datetime(["2020", "2021"])])
def test_a_column_that_is_not_of_numbers_is_named(column):
    with pytest.raises(Refusal, match=r"column 'gene' is of type .*; drop or encode it"):
        as_matrix(pd.DataFrame({"count": [1.0, 2.0], "gene": column}))


ONE_DIMENSION = {
    "numpy": np.ones(3),
    "list": [1.0, 2.0],
    "torch": torch.ones(3),
    "torch COO": torch.ones(3).to_sparse_coo(),
    "pandas": pd.Series([1.0, 2.0]),
    "scipy": scipy.sparse.coo_array(np.ones(3)),
}


@pytest.mark.parametrize("kind", ONE_DIMENSION)
def test_one_dimension_is_refused_with_its_remedy(kind):
    with pytest.raises(Refusal, match=r"two dimensions .*one sample is X\[None, :\], one feature X\[:, None\]"):
        as_matrix(ONE_DIMENSION[kind])


@pytest.mark.parametrize("X", [np.float64(3), 3.0, np.ones((2, 2, 2)), torch.ones(2, 2, 2), torch.tensor(1.0)])
def test_another_number_of_dimensions_is_refused(X):
    with pytest.raises(Refusal, match="must have two dimensions"):
        as_matrix(X)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
@pytest.mark.parametrize("make", [np.zeros, torch.zeros, scipy.sparse.csr_array, lambda s: pd.DataFrame(np.zeros(s))])
def test_an_empty_matrix_is_refused(make, shape):
    with pytest.raises(Refusal, match="at least one sample and one feature"):
        as_matrix(make(shape))


NOT_REAL = {
    "complex": np.ones((2, 2), dtype=complex),
    "complex torch": torch.ones(2, 2, dtype=torch.complex64),
    "complex scipy": scipy.sparse.csr_array(np.eye(2, dtype=complex)),
    "complex torch COO": torch.eye(2, dtype=torch.complex64).to_sparse_coo(),
    "strings": [["a", "b"]],
    "numbers as strings": np.array([["1", "2"]]),
    "objects": np.array([[1, None]], dtype=object),
    "dates": np.zeros((2, 2), dtype="M8[s]"),
    "None": None,
}


@pytest.mark.parametrize("kind", NOT_REAL)
def test_what_is_not_a_real_number_is_refused(kind):
    with pytest.raises(Refusal, match="must hold real numbers, but its dtype is"):
        as_matrix(NOT_REAL[kind])


def test_rows_of_different_lengths_are_refused():
    with pytest.raises(Refusal, match="rows of one length"):
        as_matrix([[1, 2], [3]])


# The laws of both kinds -----------------------------------------------------------------------------------------------

SHAPES = {"tall": (40, 6), "wide": (5, 30), "one row": (1, 8), "one column": (9, 1), "one entry": (1, 1)}


def both(shape: str = "tall", dtype: torch.dtype = torch.float64) -> tuple[DenseMatrix, SparseMatrix]:
    n, m = SHAPES[shape]
    chance = np.random.default_rng(1)
    A = chance.random((n, m)) * (chance.random((n, m)) < 0.5)
    A[0, 0] = 0.7
    if n > 4:
        A[2] = 0
    if m > 4:
        A[:, 3] = 0
    dense, sparse = as_matrix(A, dtype), as_matrix(scipy.sparse.csr_array(A), dtype)
    assert isinstance(dense, DenseMatrix)
    assert isinstance(sparse, SparseMatrix)
    return dense, sparse


def factors(X, n_components: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    chance = torch.Generator().manual_seed(2)
    n, m = X.shape
    return tuple(torch.rand(s, generator=chance, dtype=X.dtype) for s in ((n, n_components), (n_components, m)))


def at_stored(X, values: torch.Tensor) -> torch.Tensor:
    """Numbers that lie where the values of X are, as a dense tensor, 0 where X is."""
    return X.with_values(values.expand(X.values.shape)).dense() * (X.dense() > 0)


LAWS = {
    "shape": lambda X: torch.tensor(X.shape),
    "dense": lambda X: X.dense(),
    "transpose": lambda X: X.T.dense(),
    "transpose of transpose": lambda X: X.T.T.dense(),
    "product": lambda X: X @ factors(X)[1].T,
    "product of transpose": lambda X: X.T @ factors(X)[0],
    "wide product": lambda X: X @ factors(X, WIDE + 1)[1].T,
    "wide product of transpose": lambda X: X.T @ factors(X, WIDE)[0],
    "rows": lambda X: X.rows(torch.tensor([X.shape[0] - 1, 0, 0])).dense(),
    "rows in int32": lambda X: X.rows(torch.tensor([X.shape[0] - 1, 0], dtype=torch.int32)).dense(),
    "rows from the end": lambda X: X.rows(torch.tensor([-1, -X.shape[0]])).dense(),
    "no rows": lambda X: X.rows(torch.tensor([], dtype=torch.long)).dense(),
    "rows of transpose": lambda X: X.T.rows(torch.arange(X.shape[1]).flip(0)).dense(),
    "transpose of rows": lambda X: X.rows(torch.arange(X.shape[0]).flip(0)).T.dense(),
    "span": lambda X: X.span(X.shape[0] // 3, X.shape[0]).dense(),
    "empty span": lambda X: X.span(0, 0).dense(),
    "span of rows of span": lambda X: X.span(0, X.shape[0]).rows(torch.arange(X.shape[0])).span(0, 1).dense(),
    "sample": lambda X: at_stored(X, X.sample(*factors(X))),
    "sample of transpose": lambda X: at_stored(X.T, X.T.sample(factors(X)[1].T, factors(X)[0].T)),
    "with_values": lambda X: X.with_values(2 * X.values).dense(),
    "columns": lambda X: at_stored(X, X.columns(torch.arange(1.0, X.shape[1] + 1, dtype=X.dtype))),
    "of_rows": lambda X: at_stored(X, X.of_rows(torch.arange(1.0, X.shape[0] + 1, dtype=X.dtype))),
    "row_sum": lambda X: X.row_sum(X.values),
    "row_max": lambda X: X.row_max(X.values),
    "row_max of transpose": lambda X: X.T.row_max(X.T.values),
    "sum": lambda X: X.sum,
    "square_norm": lambda X: X.square_norm,
    "mean": lambda X: X.mean,
    "blocks": lambda X: torch.cat([block.dense() for _, block in X.blocks(entries=7)]),
    "float32": lambda X: X.to(torch.float32).dense(),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("law", LAWS)
def test_sparse_is_dense(law, shape, dtype):
    dense, sparse = (LAWS[law](X) for X in both(shape, dtype))
    assert dense.dtype == sparse.dtype
    assert dense.shape == sparse.shape
    torch.testing.assert_close(sparse, dense, rtol=8 * torch.finfo(dtype).eps, atol=0)


NUMPY = {
    "transpose": lambda A: A.T,
    "product": lambda A: A @ factors(both()[0])[1].numpy().T,
    "product of transpose": lambda A: A.T @ factors(both()[0])[0].numpy(),
    "rows": lambda A: A[[len(A) - 1, 0, 0]],
    "rows from the end": lambda A: A[[-1, -len(A)]],
    "span": lambda A: A[len(A) // 3 :],
    "sample": lambda A: (factors(both()[0])[0] @ factors(both()[0])[1]).numpy() * (A > 0),
    "columns": lambda A: np.arange(1.0, A.shape[1] + 1) * (A > 0),
    "of_rows": lambda A: np.arange(1.0, A.shape[0] + 1)[:, None] * (A > 0),
    "row_sum": lambda A: A.sum(1),
    "row_max": lambda A: A.max(1),
    "sum": lambda A: A.sum(),
    "square_norm": lambda A: (A**2).sum(),
    "mean": lambda A: A.mean(),
    "blocks": lambda A: A,
}


@pytest.mark.parametrize("law", NUMPY)
def test_both_kinds_are_what_numpy_says(law):
    for X in both():
        np.testing.assert_allclose(LAWS[law](X).numpy(), NUMPY[law](X.dense().numpy()), rtol=1e-14)


@pytest.mark.parametrize("shape", SHAPES)
def test_blocks_are_consecutive_and_no_larger_than_asked_or_one_row(shape):
    for X in both(shape):
        blocks = list(X.blocks(entries=12))
        assert [i for rows, _ in blocks for i in range(rows.start, rows.stop)] == list(range(X.shape[0]))
        assert all(block.shape[0] == rows.stop - rows.start for rows, block in blocks)
        assert len(blocks) > 1 or X.values.numel() <= 12 or X.shape[0] == 1
        assert len(list(X.blocks())) == 1
        if not X.is_sparse:
            assert all(block.values.numel() <= 12 or block.shape[0] == 1 for _, block in blocks)


def test_sums_of_float32_are_taken_in_float64():
    A = np.full((1000, 1000), 0.1, dtype=np.float32)
    exact = 1e6 * float(np.float32(0.1))
    for X in (as_matrix(A), as_matrix(scipy.sparse.csr_array(A))):
        assert float(X.sum) == pytest.approx(exact, rel=1e-10)
        assert float(X.square_norm) == pytest.approx(exact * float(np.float32(0.1)), rel=1e-10)
        assert float(X.mean) == pytest.approx(0.1, rel=1e-7)
        assert X.mean.dtype == torch.float32


def test_a_matrix_without_a_single_number_goes_everywhere():
    dense, sparse = as_matrix(np.zeros((6, 5))), as_matrix(scipy.sparse.csr_array((6, 5)))
    for law in LAWS.values():
        torch.testing.assert_close(law(sparse), law(dense), rtol=0, atol=0)


@pytest.mark.parametrize("index", [torch.int32, torch.int64])
@pytest.mark.parametrize("threads", [1, 2])
def test_wide_products_do_not_depend_on_threads_or_the_width_of_indices(index, threads, monkeypatch):
    A = scipy.sparse.random_array((500, 300), density=0.2, random_state=3)
    X, D = as_matrix(A).csr, torch.rand(300, 40, dtype=torch.float64)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    expected = sparse_product(X, D)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    other = torch.sparse_csr_tensor(
        X.crow_indices().to(index), X.col_indices().to(index), X.values(), X.shape, check_invariants=True
    )
    assert torch.equal(sparse_product(other, D), expected)
    np.testing.assert_allclose(expected.numpy(), A @ D.numpy(), rtol=1e-13)


def test_factors_of_another_dtype_are_refused_by_narrow_and_wide_products():
    for width in (2, WIDE):
        with pytest.raises(RuntimeError):
            both(dtype=torch.float32)[1] @ torch.rand(6, width, dtype=torch.float64)


def test_the_transpose_is_kept_and_knows_its_origin():
    for X in both():
        assert X.T is X.T
        assert X.to(X.dtype) is X
        assert X.to(X.device) is X
    assert X.T.T is X


def test_the_transpose_is_a_csr_with_sorted_columns():
    X = both()[1].T.csr
    for start, stop in zip(X.crow_indices()[:-1], X.crow_indices()[1:], strict=True):
        assert bool((X.col_indices()[start:stop].diff() > 0).all())


@pytest.mark.parametrize("shape", SHAPES)
def test_the_gradient_of_a_product_is_the_same(shape):
    gradients = []
    for X in both(shape):
        D = factors(X)[1].T.contiguous().requires_grad_()
        (X @ D).square().sum().backward()
        gradients.append(D.grad)
        assert torch.autograd.gradcheck(lambda D, X=X: X @ D, D, fast_mode=True)
    torch.testing.assert_close(*gradients, rtol=1e-13, atol=0)


@pytest.mark.parametrize("mkl", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_gradient_of_a_sample_is_the_same(shape, mkl, monkeypatch):
    if not mkl:
        monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: False)
    gradients = []
    for X in both(shape):
        H, W = (M.requires_grad_() for M in factors(X))
        (at_stored(X, X.sample(H, W)) if not X.is_sparse else X.sample(H, W)).square().sum().backward()
        gradients.append((H.grad, W.grad))
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-13, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("law", ["sample", "sample of transpose"])
@pytest.mark.parametrize("shape", SHAPES)
def test_sampling_needs_no_mkl(shape, law, dtype, monkeypatch):
    dense, sparse = both(shape, dtype)
    with monkeypatch.context() as without:
        without.setattr(torch.backends.mkl, "is_available", lambda: False)
        without.setattr(torch.sparse, "sampled_addmm", None)
        sampled = LAWS[law](sparse)
    torch.testing.assert_close(sampled, LAWS[law](dense), rtol=8 * torch.finfo(dtype).eps, atol=0)


def test_what_is_sparse_never_becomes_dense(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "to_dense", None)
    n = 100_000
    chance = np.random.default_rng(3)
    i, j = chance.integers(n, size=(2, 1000))
    A = scipy.sparse.coo_array((chance.random(1000) + 0.5, (i, j)), shape=(n, n)).tocsr()
    X = as_matrix(A)
    H, W = factors(X, 2)
    np.testing.assert_allclose((X @ W.T).numpy(), A @ W.T.numpy(), rtol=1e-13)
    np.testing.assert_allclose((X.T @ H).numpy(), A.T @ H.numpy(), rtol=1e-13)
    rows = torch.from_numpy(i[:50])
    np.testing.assert_allclose(X.rows(rows).row_sum(X.rows(rows).values).numpy(), A[i[:50]].sum(1), rtol=1e-13)
    assert len(X.span(0, n // 2).values) == A[: n // 2].nnz
    row, column = A.nonzero()
    np.testing.assert_allclose(X.sample(H, W).numpy(), (H[row] * W.T[column]).sum(1).numpy(), rtol=1e-13)
    assert float(X.sum) == pytest.approx(A.sum())
    assert float(X.mean) == pytest.approx(A.sum() / n**2)
    assert float(X.square_norm) == pytest.approx((A.data**2).sum())
    assert [block.shape for _, block in X.blocks()] == [(n, n)]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", [np.asarray, scipy.sparse.csr_array])
def test_detached_is_the_same_matrix_without_a_graph(kind, weighted):
    X = as_matrix(kind(table()), weights=kind(table() > 0) if weighted else None)
    assert X.detach() is X
    if isinstance(X, DenseMatrix):
        made = DenseMatrix(X.values.clone().requires_grad_(), X.weights)
        assert not made.detach().values.requires_grad
        assert torch.equal(made.detach().values, X.values)
        assert made.detach().weights is X.weights


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_a_matrix_and_its_transpose_end_with_their_last_use(kind):
    X = as_matrix(np.eye(3) if kind == "dense" else scipy.sparse.csr_array(np.eye(3)))
    gc.disable()
    try:
        assert X.T.T is X
        assert torch.equal(copy(X.T).T.dense(), X.dense())
        seen, T = weakref.ref(X), X.T
        del X
        assert seen() is None
        assert torch.equal(T.T.dense(), torch.eye(3, dtype=torch.float64))
    finally:
        gc.enable()

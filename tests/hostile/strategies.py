"""What strangers give: numbers, tables of them, and every form in which a table can come."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse
import torch
from hypothesis import strategies as st

from nmf_nets.matrix import DenseMatrix

TAME = (0.0, 0.0, 0.25, 1.0, 1.0, 2.5, 7.0, 255.0)
TINY = (5e-324, 1e-310, 1e-45, 1.2e-38, 1e-30)
HUGE = (1e30, 1e38, 3.4e38, 3.5e38, 1e154, 1e300, 1.79e308)
BAD = (np.nan, np.inf, -np.inf, -1.0, -1e-320, -1e300, -0.0)
SHAPES = ((1, 1), (1, 5), (5, 1), (2, 2), (3, 4), (4, 3), (6, 6), (40, 2), (2, 40))
EMPTY = ((0, 0), (0, 3), (3, 0))
SCALES = (1.0, 1.0, 1e-8, 1e8, 1e-30, 1e30, 1e-160, 1e150)


@dataclass(frozen=True)
class Given:
    """A value as it is handed in, and the numbers that it holds; None where it holds none, or none that can be used."""

    value: Any
    truth: np.ndarray | None
    form: str

    def __repr__(self) -> str:
        return f"Given({self.form}, {self.value!r})"


# Tables --------------------------------------------------------------------------------------------------------------


@st.composite
def tables(draw: Any, empty: bool = False, bad: bool = False, extremes: bool = True) -> np.ndarray:
    """Of float64, non-negative and finite unless `bad`; with rows and columns of zeros now and then."""
    n, m = draw(st.sampled_from(SHAPES + (EMPTY if empty else ())))
    pool = TAME + (draw(st.sampled_from([(), (), TINY, HUGE, TINY + HUGE])) if extremes else ())
    pool += draw(st.sampled_from([(), BAD])) if bad else ()
    chance = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))  # an entry each would take most of the time
    X = chance.choice(np.array(pool), (n, m))
    with np.errstate(over="ignore", under="ignore"):
        X = X * (draw(st.sampled_from(SCALES)) if extremes else 1.0)
    X = X if bad else np.minimum(X, np.finfo(float).max)
    if draw(st.booleans()) and n * m:
        X[draw(st.integers(0, n - 1))] = 0
        X[:, draw(st.integers(0, m - 1))] = 0
    return X


def good(X: np.ndarray | None, dtype: Any = np.float64, signed: bool = False) -> bool:
    """Whether it is two-dimensional, not empty, and finite and non-negative as numbers of that dtype."""
    if X is None or X.ndim != 2 or 0 in X.shape:
        return False
    with np.errstate(over="ignore"):
        X = X.astype(dtype)
    return bool(np.isfinite(X).all() and (signed or (X >= 0).all()))


# Forms ---------------------------------------------------------------------------------------------------------------


def _as(dtype: str) -> Callable[[np.ndarray], Given]:
    def form(X: np.ndarray) -> Given:
        with np.errstate(all="ignore"):
            made = np.nan_to_num(X, posinf=1e4).clip(-100, 100) if np.dtype(dtype).kind in "iub" else X
            made = made.clip(0) if np.dtype(dtype).kind == "u" else made
            made = made.astype(dtype)
        return Given(made, made.astype(np.float64) if made.dtype.kind in "biuf" else None, dtype)

    return form


def _longdouble(X: np.ndarray) -> Given:
    return Given(X.astype(np.longdouble), X, "longdouble")


def _view(name: str, of: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], Given]:
    return lambda X: Given(of(X), X, name)


def _read_only(X: np.ndarray) -> np.ndarray:
    X = X.copy()
    X.flags.writeable = False
    return X


def _strided(X: np.ndarray) -> np.ndarray:
    wide = np.full((2 * X.shape[0], 2 * X.shape[1]), -7.0)
    wide[::2, 1::2] = X
    return wide[::2, 1::2]


def _unaligned(X: np.ndarray) -> np.ndarray:
    records = np.zeros(X.shape, dtype=np.dtype([("a", np.int8), ("x", np.float64)]))
    records["x"] = X
    return records["x"]


def _masked(X: np.ndarray) -> Given:
    mask = np.zeros(X.shape, bool)
    if X.size:
        mask.flat[-1] = True
    return Given(np.ma.array(X, mask=mask), None, "masked")


class Holder:
    """numpy makes an array of it."""

    def __init__(self, X: np.ndarray):
        self.X = X

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.X if dtype is None else self.X.astype(dtype)


NUMPY: tuple[Callable[[np.ndarray], Given], ...] = (
    *(_as(dtype) for dtype in ("f2", "f4", "f8", ">f4", ">f8", "i1", ">i2", "i8", "u1", "u8", "?", "c16", "O", "U9")),
    lambda X: Given(np.zeros(X.shape, "M8[s]"), None, "datetime"),
    lambda X: Given(np.zeros(X.shape, [("a", "f8"), ("b", "i4")]), None, "structured"),
    _longdouble,
    _view("as it is", lambda X: X),
    _view("Fortran", np.asfortranarray),
    _view("from the end", lambda X: X[::-1, ::-1].copy()[::-1, ::-1]),
    _view("every other", _strided),
    _view("unaligned", _unaligned),
    _view("read-only", _read_only),
    _view("matrix", lambda X: X.view(np.matrix)),
    _view("masked nowhere", np.ma.array),
    _masked,
    lambda X: Given(Holder(X), X, "__array__"),
    lambda X: Given(X.tolist(), X if X.size else None, "lists"),
    lambda X: Given(tuple(map(tuple, X)), X if X.size else None, "tuples"),
    lambda X: Given(X[0] if len(X) else X.ravel(), np.zeros(1), "one dimension"),
    lambda X: Given(X[None], X[None], "three dimensions"),
)


def _tensor(name: str, of: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[np.ndarray], Given]:
    def form(X: np.ndarray) -> Given:
        made = of(torch.from_numpy(X.copy()))
        held = made.detach().to_dense()
        return Given(made, None if held.is_complex() else held.double().numpy(), f"torch {name}")

    return form


def _block_rows(X: torch.Tensor) -> torch.Tensor:
    return X.to_sparse_bsr((1, 1)) if X.numel() else X


def _uncoalesced(X: torch.Tensor) -> torch.Tensor:
    place = torch.nonzero(X == X).T
    values = X[*place]
    return torch.sparse_coo_tensor(
        torch.cat([place, place], 1), torch.cat([values, values]), X.shape, check_invariants=False
    )


TORCH: tuple[Callable[[np.ndarray], Given], ...] = (
    *(
        _tensor(str(dtype), lambda X, dtype=dtype: X.nan_to_num(0, 1e4, -1e4).clamp(-100, 100).to(dtype))
        for dtype in (torch.uint8, torch.int8, torch.int64, torch.bool)
    ),
    *(
        _tensor(str(dtype), lambda X, dtype=dtype: X.to(dtype))
        for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.complex64)
    ),
    _tensor("as it is", lambda X: X),
    _tensor("requires_grad", lambda X: X.clone().requires_grad_()),
    _tensor("of a graph", lambda X: X.clone().requires_grad_() * 1.0),
    _tensor("transposed", lambda X: X.T.contiguous().T),
    _tensor("expanded", lambda X: X[:1].expand(X.shape) if len(X) else X),
    _tensor("COO", lambda X: X.to_sparse_coo()),
    _tensor("COO of half precision", lambda X: X.to(torch.bfloat16).to_sparse_coo()),
    _tensor("COO with duplicates", _uncoalesced),
    _tensor("CSR", lambda X: X.to_sparse_csr()),
    _tensor("CSC", lambda X: X.to_sparse_csc()),
    _tensor("BSR", _block_rows),
    _tensor("three dimensions", lambda X: X[None].to_sparse_coo()),
)


def _sparse(format: str, of: Callable[[Any], Any] = lambda S: S, name: str = "") -> Callable[[np.ndarray], Given]:
    def form(X: np.ndarray) -> Given:
        made = of(scipy.sparse.coo_array(X).asformat(format))
        with np.errstate(all="ignore"):
            held = np.asarray(made.todense())
        return Given(made, held.astype(np.float64) if held.dtype.kind in "biuf" else None, f"{format} {name}")

    return form


def _duplicated(S: Any) -> Any:
    S = S.tocoo()
    place = np.concatenate([S.row, S.row[::-1]]), np.concatenate([S.col, S.col[::-1]])
    return scipy.sparse.coo_array((np.concatenate([S.data, S.data[::-1]]) / 4, place), shape=S.shape)


def _unsorted(S: Any) -> Any:
    """CSR whose columns stand in descending order, with explicit zeros, duplicates and indices of 64 bits."""
    rows = [np.flatnonzero(row != 0)[::-1] for row in np.asarray(S.todense())]
    rows = [np.concatenate([columns, columns[:1]]) for columns in rows]
    data = [
        np.concatenate([row[columns[:-1]], row[columns[-1:]] * 0]) if len(columns) else []
        for row, columns in zip(S.toarray(), rows, strict=True)
    ]
    indptr = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    flat = np.concatenate([*rows, np.zeros(0)]).astype(np.int64)
    return scipy.sparse.csr_array((np.concatenate([*data, np.zeros(0)]), flat, indptr), shape=S.shape)


def _locked(S: Any) -> Any:
    S = S.copy()
    for part in (S.data, S.indices, S.indptr):
        part.flags.writeable = False
    return S


SCIPY: tuple[Callable[[np.ndarray], Given], ...] = (
    *(_sparse(format) for format in ("csr", "csc", "coo", "lil", "dok", "dia")),
    _sparse("bsr", lambda S: scipy.sparse.bsr_array(S) if 0 not in S.shape else S.tocsr()),
    _sparse("csr", scipy.sparse.csr_matrix, "matrix"),
    _sparse("coo", _duplicated, "with duplicates"),
    _sparse("csr", lambda S: _duplicated(S).tocsr(), "with duplicates"),
    _sparse("csr", _unsorted, "unsorted"),
    _sparse("csr", _locked, "read-only"),
    _sparse("csr", lambda S: S.astype(complex), "complex"),
    _sparse("csr", lambda S: S.astype(np.longdouble), "longdouble"),
    _sparse("csr", lambda S: S != 0, "bool"),
    lambda X: Given(scipy.sparse.coo_array(X[0] if len(X) else X.ravel()), np.zeros(1), "coo of one dimension"),
)


def _frame(name: str, of: Callable[[pd.DataFrame], Any], numbers: bool = True) -> Callable[[np.ndarray], Given]:
    return lambda X: Given(of(pd.DataFrame(X)), X if numbers else None, f"frame {name}")


def _integers(X: np.ndarray) -> Given:
    whole = np.nan_to_num(X, posinf=100).clip(-100, 100).round()
    return Given(pd.DataFrame(whole).astype("Int64"), whole, "frame of nullable integers")


def _lacking(X: np.ndarray) -> Given:
    truth = np.ones(X.shape)
    frame = pd.DataFrame(truth).astype("Int64")
    if X.size:
        frame.iloc[0, 0], truth[0, 0] = pd.NA, np.nan
    return Given(frame, truth, "frame with NA")


PANDAS: tuple[Callable[[np.ndarray], Given], ...] = (
    _frame("as it is", lambda frame: frame),
    _frame("nullable", lambda frame: frame.astype("Float64")),
    _frame("of one name", lambda frame: frame.set_axis(["a"] * frame.shape[1], axis=1)),
    _frame("of unlike columns", lambda frame: frame.assign(**{"0": 1}).iloc[:, : frame.shape[1]]),
    _frame("of text", lambda frame: frame.astype(str), numbers=False),
    _frame("of categories", lambda frame: frame.astype(str).astype("category"), numbers=False),
    _frame("of moments", lambda frame: frame.map(lambda x: pd.Timestamp(0)), numbers=False),
    _frame("of pyarrow", lambda frame: frame.astype("float64[pyarrow]")),
    _frame("sparse", lambda frame: frame.astype(pd.SparseDtype(float, 0.0))),
    _integers,
    _lacking,
    lambda X: Given(pd.Series(X.ravel()), np.zeros(1), "series"),
)

NOTHING: tuple[Callable[[np.ndarray], Given], ...] = tuple(
    lambda X, make=make, name=name: Given(make(), None, name)
    for name, make in {
        "None": lambda: None,
        "text": lambda: "X.npy",
        "bytes": lambda: b"\0\1",
        "dictionary": lambda: {"X": [[1.0]]},
        "set": lambda: {1.0, 2.0},
        "generator": lambda: (row for row in [[1.0, 2.0]]),
        "function": lambda: len,
        "class": lambda: np.ndarray,
        "object": object,
        "nothing": list,
        "nothing in a row": lambda: [[]],
        "ragged": lambda: [[1.0], [2.0, 3.0]],
        "a text in a row": lambda: [[1.0, "a"], [2.0, 3.0]],
        "None in a row": lambda: [[1.0, None]],
        "a tensor in a list": lambda: [torch.ones(2), torch.ones(3)],
        "NaN": lambda: np.nan,
        "an integer without end": lambda: [[10**400]],
        "a deep list": lambda: [[[[[[1.0]]]]]],
        "class of frames": lambda: pd.DataFrame,
        "class of tensors": lambda: torch.Tensor,
        "a module": lambda: np,
    }.items()
)

OURS: tuple[Callable[[np.ndarray], Given], ...] = (
    lambda X: Given(DenseMatrix(torch.from_numpy(X.copy())), X, "DenseMatrix") if good(X) else Given(X, X, "as it is"),
)

FORMS = NUMPY + TORCH + SCIPY + PANDAS + NOTHING + OURS


def given(forms: Any = FORMS, **table: bool) -> st.SearchStrategy[Given]:
    """A table in one of the forms."""
    return st.builds(made, tables(**table), st.sampled_from(forms))


def made(X: np.ndarray, form: Callable[[np.ndarray], Given]) -> Given:
    """In that form, whatever numpy, torch and scipy have to say of it."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return form(X)


SAMPLE = np.array([[1.0, 2.0], [0.0, 3.0]])
NUMBERS = tuple(form for form in FORMS if np.array_equal(made(SAMPLE, form).truth, SAMPLE))
"""The forms that hold the numbers of the table, whichever those are."""


# What was handed in, before and after --------------------------------------------------------------------------------


def fingerprint(value: Any) -> Any:
    """Equal for what is equal to the bit; None for what has no numbers to change."""
    if isinstance(value, Given):
        return fingerprint(value.value)
    if isinstance(value, Holder):
        return fingerprint(value.X)
    if isinstance(value, DenseMatrix):
        return fingerprint(value.values)
    if isinstance(value, torch.Tensor):
        held = value.detach()
        if held.layout == torch.strided:
            return str(held.dtype), tuple(held.shape), str(held.tolist())
        parts = (held._indices(), held._values()) if held.layout == torch.sparse_coo else (held.values(),)
        return tuple(fingerprint(part) for part in parts)
    if scipy.sparse.issparse(value):
        names = ("data", "indices", "indptr", "row", "col", "offsets")
        if value.format == "lil":
            return str(value.rows.tolist()), str(value.data.tolist())
        if value.format == "dok":
            return str(sorted(value.items()))
        return tuple(
            getattr(value, name).tobytes() for name in names if isinstance(getattr(value, name, None), np.ndarray)
        )
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, value.tobytes()
    if isinstance(value, pd.DataFrame | pd.Series):
        return value.to_csv(), str(getattr(value, "dtypes", None))
    if isinstance(value, list | tuple):
        return tuple(fingerprint(part) for part in value)
    if isinstance(value, dict):
        return tuple((key, fingerprint(part)) for key, part in value.items())
    return value if isinstance(value, int | float | str | type(None)) else None

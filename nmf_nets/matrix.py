"""The data matrix, dense or sparse, and the one door where data are checked."""

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from nmf_nets.refusal import Refusal
from nmf_nets.shapes import PerSample, Rows, Scalar

# Said once a process, to users who did not choose torch's CSR; what of it is used here is tested here.
warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta state", UserWarning)


class Matrix(ABC):
    """X, non-negative and finite, of shape (n_samples, n_features); its `values` are all entries or the stored ones.

    weights: v ≥ 0 where `values` are, D = Σ v d(x | x̂); what is not stored was then not observed. None counts every
    entry once, and what is not stored is zero.

    The divergences and updates are written in `@`, `sample`, `with_values`, `columns` and `row_sum`, so that
    one text serves both kinds and nothing sparse becomes dense.
    """

    values: Tensor
    weights: Tensor | None

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]: ...

    @property
    @abstractmethod
    def T(self) -> "Matrix":
        """Xᵀ; made once and kept."""

    @abstractmethod
    def __matmul__(self, D: Tensor) -> Tensor:
        """X D, dense; differentiable in D."""

    @abstractmethod
    def sample(self, H: Tensor, W: Tensor) -> Tensor:
        """(H W) where `values` are, in O(r) work for each value."""

    @abstractmethod
    def with_values(self, values: Tensor) -> "Matrix":
        """The same pattern with other values, without weights."""

    @abstractmethod
    def columns(self, w: Tensor) -> Tensor:
        """w_j where `values` are."""

    @abstractmethod
    def of_rows(self, h: Tensor) -> Tensor:
        """h_i where `values` are."""

    @abstractmethod
    def row_sum(self, values: Tensor) -> PerSample:
        """The sum over each row of numbers that lie where `values` are."""

    @abstractmethod
    def row_max(self, values: Tensor) -> PerSample:
        """The largest in each row of non-negative numbers that lie where `values` are; 0 for an empty row."""

    @abstractmethod
    def rows(self, index: Rows) -> "Matrix": ...

    @abstractmethod
    def span(self, start: int, stop: int) -> "Matrix":
        """Rows start … stop − 1."""

    @abstractmethod
    def dense(self) -> Tensor:
        """All entries as a tensor: for one block at a time, never for a whole sparse matrix."""

    @abstractmethod
    def numpy(self) -> Any:
        """As other libraries take it, on the host: an array in row order, or scipy's CSR; shared where possible."""

    @abstractmethod
    def to(self, *args: Any) -> "Matrix":
        """In another dtype or on another device; itself where nothing changes, so that its transpose is kept."""

    @property
    def dtype(self) -> torch.dtype:
        return self.values.dtype

    @property
    def device(self) -> torch.device:
        return self.values.device

    @property
    def is_sparse(self) -> bool:
        return self.values.dim() == 1

    @property
    def given_weights(self) -> Tensor:
        """The weights of a matrix that has some."""
        assert self.weights is not None
        return self.weights

    @cached_property
    def mass(self) -> float | Scalar:
        """How many entries count: n m, or Σ v in float64."""
        return float(math.prod(self.shape)) if self.weights is None else self.weights.sum(dtype=torch.float64)

    @cached_property
    def sum(self) -> Scalar:
        """Σ v x in float64."""
        return self._summed(lambda x: x)

    @cached_property
    def square_norm(self) -> Scalar:
        """Σ v x² in float64."""
        return self._summed(torch.square)

    @cached_property
    def self_entropy(self) -> Scalar:
        """Σ v x log x in float64, with 0 log 0 = 0."""
        return self._summed(lambda x: torch.xlogy(x, x))

    def _summed(self, of: Callable[[Tensor], Tensor]) -> Scalar:
        """Σ v f(x) in float64, a few rows or values at a time: a copy in float64 would be twice the data."""
        values, weights = self.values, self.weights
        width = max(1, 2**18 * len(values) // max(1, values.numel()))
        parts = [values.new_zeros((), dtype=torch.float64)]
        for start in range(0, len(values), width):
            part = slice(start, start + width)
            found = of(values[part].double())
            parts.append((found if weights is None else weights[part] * found).sum())
        return torch.stack(parts).sum()

    @cached_property
    def mean(self) -> Scalar:
        """Σ v x / Σ v over all entries, stored or not, in the dtype of X: the scale of the data."""
        return (self.sum / self.mass).to(self.dtype)

    def blocks(self, entries: int = 2**22) -> Iterator[tuple[slice, "Matrix"]]:
        """Consecutive rows with about so many values in each block."""
        n = self.shape[0]
        height = max(1, entries * n // max(1, self.values.numel()))
        for start in range(0, n, height):
            stop = min(n, start + height)
            yield slice(start, stop), self.span(start, stop)


class DenseMatrix(Matrix):
    """A tensor of shape (n_samples, n_features)."""

    def __init__(self, values: Tensor, weights: Tensor | None = None):
        self.values, self.weights = values, weights
        self._transpose: DenseMatrix | None = None

    @property
    def shape(self) -> tuple[int, int]:
        return self.values.shape[0], self.values.shape[1]

    @property
    def T(self) -> "DenseMatrix":
        if self._transpose is None:
            self._transpose = DenseMatrix(self.values.T, None if self.weights is None else self.weights.T)
            self._transpose._transpose = self
        return self._transpose

    def __matmul__(self, D: Tensor) -> Tensor:
        return self.values @ D

    def sample(self, H: Tensor, W: Tensor) -> Tensor:
        return H @ W

    def with_values(self, values: Tensor) -> "DenseMatrix":
        return DenseMatrix(values)

    def columns(self, w: Tensor) -> Tensor:
        return w.expand(self.shape)

    def of_rows(self, h: Tensor) -> Tensor:
        return h[:, None]

    def row_sum(self, values: Tensor) -> PerSample:
        return values.sum(1)

    def row_max(self, values: Tensor) -> PerSample:
        return values.amax(1)

    def rows(self, index: Rows) -> "DenseMatrix":
        return DenseMatrix(self.values[index], None if self.weights is None else self.weights[index])

    def span(self, start: int, stop: int) -> "DenseMatrix":
        return DenseMatrix(self.values[start:stop], None if self.weights is None else self.weights[start:stop])

    def dense(self) -> Tensor:
        return self.values

    def numpy(self) -> np.ndarray:
        return np.ascontiguousarray(self.values.cpu().numpy())

    def to(self, *args: Any) -> "DenseMatrix":
        values = self.values.to(*args)
        if values is self.values:
            return self
        return DenseMatrix(values, None if self.weights is None else self.weights.to(*args))


class SparseMatrix(Matrix):
    """CSR without duplicates; the CSR of the transpose is made at first use and kept beside it.

    Without weights it holds no explicit zeros; with weights a stored zero is a zero that was observed.
    """

    def __init__(self, csr: Tensor, weights: Tensor | None = None):
        self.csr, self.weights = csr, weights
        self._transpose: SparseMatrix | None = None

    @property
    def values(self) -> Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.csr.values()

    @property
    def shape(self) -> tuple[int, int]:
        return self.csr.shape[0], self.csr.shape[1]

    @property
    def T(self) -> "SparseMatrix":
        if self._transpose is None:
            weights = None if self.weights is None else self.with_values(self.weights)._transposed().values()
            self._transpose = SparseMatrix(self._transposed(), weights)
            self._transpose._transpose = self
        return self._transpose

    def _transposed(self) -> Tensor:
        n, m = self.shape
        if self.device.type == "cpu":  # torch would take three times the memory
            t = self.numpy().T.tocsr()
            return _csr(torch.from_numpy(t.indptr), torch.from_numpy(t.indices), torch.from_numpy(t.data), (m, n))
        csc = self.csr.to_sparse_csc()
        return _csr(csc.ccol_indices(), csc.row_indices(), csc.values(), (m, n))

    def __matmul__(self, D: Tensor) -> Tensor:
        if D.requires_grad and torch.is_grad_enabled():
            return _SparseProduct.apply(D, self)  # pyright: ignore[reportReturnType]
        return self.csr @ D

    def sample(self, H: Tensor, W: Tensor) -> Tensor:
        if self.device.type == "cuda" or torch.backends.mkl.is_available():
            return torch.sparse.sampled_addmm(self.csr, H.contiguous(), W.contiguous(), beta=0.0).values()
        W = W.T.contiguous()
        parts = zip(self._row_of_value.split(2**20), self._column_of_value.split(2**20), strict=True)
        return torch.cat([(H[i] * W[j]).sum(1) for i, j in parts])

    def with_values(self, values: Tensor) -> "SparseMatrix":
        return SparseMatrix(_csr(self.csr.crow_indices(), self.csr.col_indices(), values, self.shape))

    def columns(self, w: Tensor) -> Tensor:
        return w[self._column_of_value]

    def of_rows(self, h: Tensor) -> Tensor:
        return h[self._row_of_value]

    def row_sum(self, values: Tensor) -> PerSample:
        return values.new_zeros(self.shape[0]).index_add_(0, self._row_of_value, values)

    def row_max(self, values: Tensor) -> PerSample:
        return values.new_zeros(self.shape[0]).scatter_reduce_(0, self._row_of_value, values, "amax")

    def rows(self, index: Rows) -> "SparseMatrix":
        index = torch.where(index < 0, index + self.shape[0], index)
        start = self.csr.crow_indices().long()[index]
        length = self.csr.crow_indices().long()[index + 1] - start
        crow = torch.cat([length.new_zeros(1), length.cumsum(0)])
        offset = torch.repeat_interleave(start - crow[:-1], length)
        taken = offset + torch.arange(len(offset), device=offset.device)
        csr = _csr(crow, self._column_of_value[taken], self.values[taken], (len(index), self.shape[1]))
        return SparseMatrix(csr, None if self.weights is None else self.weights[taken])

    def span(self, start: int, stop: int) -> "SparseMatrix":
        crow = self.csr.crow_indices()[start : stop + 1]
        first, last = int(crow[0]), int(crow[-1])
        columns, values = self._column_of_value[first:last], self.values[first:last]
        csr = _csr(crow - first, columns, values, (stop - start, self.shape[1]))
        return SparseMatrix(csr, None if self.weights is None else self.weights[first:last])

    def dense(self) -> Tensor:
        return self.csr.to_dense()

    def numpy(self) -> scipy.sparse.csr_array:
        parts = (self.values, self._column_of_value, self.csr.crow_indices())
        return scipy.sparse.csr_array(tuple(part.cpu().numpy() for part in parts), shape=self.shape)

    def to(self, *args: Any) -> "SparseMatrix":
        csr = self.csr.to(*args)
        if csr is self.csr:
            return self
        return SparseMatrix(csr, None if self.weights is None else self.weights.to(*args))

    @property
    def _column_of_value(self) -> Tensor:
        return self.csr.col_indices()

    @cached_property
    def _row_of_value(self) -> Tensor:
        crow = self.csr.crow_indices()
        return torch.repeat_interleave(torch.arange(self.shape[0], device=crow.device), crow.diff())


class _SparseProduct(torch.autograd.Function):
    """X D with the backward pass on the stored transpose: torch's own multiplies by `csr.t()`, 6 to 8 times slower."""

    @staticmethod
    def forward(ctx: Any, D: Tensor, X: SparseMatrix) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.X = X
        return X.csr @ D

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return ctx.X.T.csr @ gradient, None


def _csr(crow: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    return torch.sparse_csr_tensor(crow.to(columns.dtype), columns, values, shape, check_invariants=False)


# The door -------------------------------------------------------------------------------------------------------------


def as_matrix(X: Any, dtype: torch.dtype | None = None, weights: Any = None, name: str = "X") -> Matrix:
    """X as a `Matrix`, without a copy where dtype and layout allow.

    Accepts numpy arrays, nested lists, torch tensors (strided, COO, CSR, CSC), pandas frames and every scipy sparse
    format. float32 and float64 are kept; float16, integers and bool become torch's default dtype. Duplicates are
    summed and explicit zeros dropped, on a copy.
    weights: v ≥ 0 of the shape of X, dense or sparse; or a mask. Where v = 0 the entry was not observed,
    and X may hold anything there, NaN too. Sparse weights hold the observed entries, zeros among them; dense weights
    make sparse data dense, as they have its size already.
    name: what refusals call it.
    Raises Refusal for NaN, infinity, a negative entry (with the first position), for any number of dimensions but
    two, for an empty matrix and for entries that are not real numbers.
    """
    if weights is not None:
        return _weighted(X, weights, dtype)
    if isinstance(X, Matrix):
        return X if dtype in (None, X.dtype) else X.to(dtype)
    if isinstance(X, Tensor):
        X = X.detach()
        if X.layout != torch.strided:
            return _sparse(_scipy_of(X), dtype, name).to(X.device)
        return _dense(X, dtype, name)
    if scipy.sparse.issparse(X):
        return _sparse(X, dtype, name)
    if hasattr(X, "dtypes") and hasattr(X, "to_numpy"):
        X = _numpy_of(X)
    if np.ma.is_masked(X):
        place = ", ".join(str(i) for i in np.argwhere(np.ma.getmaskarray(X))[0])
        raise Refusal(f"{name} must be complete, but {name}[{place}] is masked; drop or impute it, or give weights.")
    try:
        array = np.asarray(X)
    except ValueError as error:
        raise Refusal(f"{name} must be a table of numbers with rows of one length; numpy says: {error}.") from error
    _refuse_kind(array.dtype, name)
    if any(step < 0 or step % array.itemsize for step in array.strides):  # torch has no such strides
        array = np.ascontiguousarray(array)
    array = _cast(array, _target_dtype(array.dtype, dtype))
    # torch wants a writable buffer; nothing here writes, but a read-only array must not warn.
    return _dense(torch.from_numpy(array if array.flags.writeable else array.copy()), dtype, name)


def _weighted(X: Any, weights: Any, dtype: torch.dtype | None) -> Matrix:
    """X where it was observed; nothing else of it is looked at."""
    (X, device), (V, _) = _host_array(X), _host_array(weights)
    for name, M in (("X", X), ("weights", V)):
        _refuse_kind(M.dtype, name)
        _refuse_shape(tuple(M.shape), name)
    if X.shape != V.shape:
        raise Refusal(f"weights must have the shape of X, {X.shape}, but have {V.shape}.")
    target = _target_dtype(X.dtype, dtype)
    if scipy.sparse.issparse(V):
        pattern = _sparse(V, _torch_dtype(target), "weights")
        place = pattern._row_of_value.numpy().copy(), pattern._column_of_value.numpy().copy()  # scipy wants to own them
        taken = (scipy.sparse.csr_array(X) if scipy.sparse.issparse(X) else X)[place]
        values = _cast(np.asarray(taken.todense() if scipy.sparse.issparse(taken) else taken).ravel(), target)
        for which in np.flatnonzero(~((values >= 0) & np.isfinite(values)))[:1]:
            _refuse_entry(int(place[0][which]), int(place[1][which]), float(values[which]))
        found: Matrix = SparseMatrix(pattern.with_values(torch.from_numpy(values)).csr, pattern.values)
    else:
        V = _dense(torch.from_numpy(V.astype(target)), None, "weights").values
        values = _cast(X.toarray() if scipy.sparse.issparse(X) else X, target)
        found = DenseMatrix(_dense(torch.from_numpy(np.where(V.numpy() > 0, values, target.type(0))), None).values, V)
    if not bool((found.weights > 0).any()):  # pyright: ignore[reportOptionalOperand]
        raise Refusal("weights must be positive somewhere, but all are 0; no entry of X counts.")
    return found.to(device)


def _host_array(X: Any) -> tuple[Any, torch.device]:
    """As numpy's array or a scipy sparse one, and the device that it came from."""
    if isinstance(X, Matrix):
        return X.numpy(), X.device
    if isinstance(X, Tensor):
        host = X.detach()
        return (host.cpu().numpy() if host.layout == torch.strided else _scipy_of(host)), X.device
    if scipy.sparse.issparse(X):
        return X, torch.device("cpu")
    if hasattr(X, "dtypes") and hasattr(X, "to_numpy"):
        X = _numpy_of(X)
    return (np.ma.filled(X.astype(float), np.nan) if np.ma.isMaskedArray(X) else np.asarray(X)), torch.device("cpu")


def _dense(X: Tensor, dtype: torch.dtype | None, name: str = "X") -> DenseMatrix:
    if X.is_complex():
        raise Refusal(f"{name} must hold real numbers, but its dtype is {X.dtype}; take its absolute value first.")
    _refuse_shape(tuple(X.shape), name)
    if dtype is not None or X.dtype not in (torch.float32, torch.float64):
        X = X.to(dtype or torch.get_default_dtype())
    if not bool((X >= 0).all() & torch.isfinite(X).all()):
        i, j = (int(k) for k in torch.nonzero(~((X >= 0) & torch.isfinite(X)))[0])
        _refuse_entry(i, j, float(X[i, j]), name)
    return DenseMatrix(X)


def _sparse(X: Any, dtype: torch.dtype | None, name: str = "X") -> SparseMatrix:
    _refuse_kind(X.dtype, name)
    _refuse_shape(tuple(X.shape), name)
    target = _target_dtype(X.dtype, dtype)
    if X.format in ("lil", "dok"):  # these convert entry by entry; the others cast at once
        X = X.tocoo()
    csr: Any = scipy.sparse.csr_array(_cast(X, target))
    if not csr.has_canonical_format or not csr.data.all():
        csr = csr.copy()
        csr.sum_duplicates()
        _refuse_bad_stored(csr, name)
        csr.eliminate_zeros()
    _refuse_bad_stored(csr, name)
    index = np.int32 if max(*csr.shape, csr.nnz) < 2**31 else np.int64
    parts = [csr.indptr.astype(index, copy=False), csr.indices.astype(index, copy=False), csr.data]
    crow, columns, values = (torch.from_numpy(part if part.flags.writeable else part.copy()) for part in parts)
    return SparseMatrix(_csr(crow, columns, values, (csr.shape[0], csr.shape[1])))


def _scipy_of(X: Tensor) -> scipy.sparse.csr_array:
    if X.dim() != 2:
        _refuse_shape(tuple(X.shape))
    X = X.cpu().to_sparse_coo().coalesce()
    values = X.values()
    values = (values.float() if values.dtype in (torch.bfloat16, torch.float16) else values).numpy()
    return scipy.sparse.csr_array(scipy.sparse.coo_array((values, tuple(X.indices().numpy())), shape=tuple(X.shape)))


def _target_dtype(own: np.dtype, asked: torch.dtype | None) -> np.dtype:
    if asked is None:
        own = own.newbyteorder("=")
        asked = (
            torch.float64 if own == np.float64 else torch.float32 if own == np.float32 else torch.get_default_dtype()
        )
    return np.dtype(str(asked).removeprefix("torch."))


def _torch_dtype(dtype: np.dtype) -> torch.dtype:
    return torch.float64 if dtype == np.float64 else torch.float32


def _cast(X: Any, target: np.dtype) -> Any:
    """The same object where it has that dtype; what overflows becomes infinite, to be refused with its place."""
    with np.errstate(over="ignore"):
        return X.astype(target, copy=False)


def _numpy_of(frame: Any) -> np.ndarray:
    """The numbers of a frame, also where its columns differ in dtype or are nullable."""
    if not hasattr(frame.dtypes, "items"):
        return frame.to_numpy()
    _refuse_text_columns(frame)
    array = frame.to_numpy()
    return array if array.dtype.kind in "biuf" else frame.to_numpy(dtype=np.float64, na_value=np.nan)


def _refuse_kind(dtype: np.dtype, name: str = "X") -> None:
    if dtype.kind not in "biuf":
        raise Refusal(f"{name} must hold real numbers, but its dtype is {dtype}; drop or encode what is not a number.")


def _refuse_text_columns(frame: Any) -> None:
    for name, dtype in frame.dtypes.items():
        if getattr(dtype, "kind", "O") not in "biuf":
            raise Refusal(f"X must hold real numbers, but column {name!r} is of type {dtype}; drop or encode it.")


def _refuse_shape(shape: tuple[int, ...], name: str = "X") -> None:
    if len(shape) != 2:
        remedy = f"; one sample is {name}[None, :], one feature {name}[:, None]" if len(shape) == 1 else ""
        raise Refusal(f"{name} must have two dimensions (samples, features), but its shape is {shape}{remedy}.")
    if 0 in shape:
        raise Refusal(f"{name} must have at least one sample and one feature, but its shape is {shape}.")


def _refuse_bad_stored(csr: scipy.sparse.csr_array, name: str) -> None:
    bad = np.flatnonzero(~((csr.data >= 0) & np.isfinite(csr.data)))
    if len(bad):
        row = int(np.searchsorted(csr.indptr, bad[0], side="right")) - 1
        _refuse_entry(row, int(csr.indices[bad[0]]), float(csr.data[bad[0]]), name)


def _refuse_entry(i: int, j: int, value: float, name: str = "X") -> None:
    place = f"{name}[{i}, {j}]"
    if math.isnan(value):
        raise Refusal(f"{name} must be finite, but {place} is nan; drop or impute what is missing, or give weights.")
    if math.isinf(value):
        raise Refusal(f"{name} must be finite, but {place} is {value}; clip it, or choose a wider dtype.")
    raise Refusal(f"{name} must be non-negative, but {place} is {value:.6g}; shift, clip or drop negative entries.")

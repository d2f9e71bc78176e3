"""The one door where data are checked."""

import math
from typing import Any

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from nmf_nets.matrix import DenseMatrix, Matrix, SparseMatrix, csr_tensor
from nmf_nets.refusal import Refusal, first_line


def as_matrix(
    X: Any,
    dtype: torch.dtype | None = None,
    weights: Any = None,
    name: str = "X",
    signed: bool = False,
    first_row: int | None = None,
) -> Matrix:
    """X as a `Matrix`, without a copy where dtype and layout allow.

    Accepts numpy arrays, nested lists, torch tensors (strided, COO, CSR, CSC), pandas frames and every scipy sparse
    format. float32 and float64 are kept; longdouble becomes float64, and float16, integers and bool torch's default
    dtype. Duplicates are summed and explicit zeros dropped, on a copy.
    weights: v ≥ 0 of the shape of X, dense or sparse; or a mask. Where v = 0 the entry was not observed,
    and X may hold anything there, NaN too. Sparse weights hold the observed entries, zeros among them; dense weights
    make sparse data dense, as they have its size already.
    name: what refusals call it.
    signed: admits negative entries, for semi-NMF; without weights.
    first_row: where X is a block of a larger matrix, its place in it: refusals count rows from there, and nothing of it
    need have been observed.
    Raises Refusal for NaN, infinity, a negative entry (with the first position), for any number of dimensions but
    two, for an empty matrix, for entries that are not real numbers and for another dtype than float32 and float64.
    """
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype in (torch.float32, torch.float64)):
        raise Refusal(f"dtype is {dtype!r}, but must be torch.float32, torch.float64, or None for that of {name}.")
    if weights is not None:
        if signed:
            raise Refusal("signed data take no weights; impute what is missing, or shift the data to be non-negative.")
        found = _weighted(X, weights, dtype, first_row or 0)
        if first_row is None and not bool((found.given_weights > 0).any()):
            raise Refusal("weights must be positive somewhere, but all are 0; no entry of X counts.")
        return found
    least, first_row = -math.inf if signed else 0.0, first_row or 0
    if isinstance(X, Matrix):
        return X if dtype in (None, X.dtype) else _in_dtype(X, dtype, name)
    if isinstance(X, Tensor):
        X = X.detach()
        if X.layout != torch.strided:
            return _sparse(_scipy_of(X, name), dtype, name, least, first_row).to(X.device)
        return _dense(X, dtype, name, least, first_row)
    if scipy.sparse.issparse(X):
        return _sparse(X, dtype, name, least, first_row)
    if is_frame(X):
        X = _numpy_of(X, name)
    if np.ma.is_masked(X):
        place = ", ".join(str(i) for i in np.argwhere(np.ma.getmaskarray(X))[0])
        raise Refusal(f"{name} must be complete, but {name}[{place}] is masked; drop or impute it, or give weights.")
    array = _numbers_of(X, name)
    if any(step < 0 or step % array.itemsize for step in array.strides):  # torch has no such strides
        array = array.copy(order="C")  # numpy calls a single entry contiguous whatever its strides are
    array = _cast(array, target_dtype(array.dtype, dtype))
    # torch wants a writable buffer; nothing here writes, but a read-only array must not warn.
    return _dense(torch.from_numpy(array if array.flags.writeable else array.copy()), dtype, name, least, first_row)


def _in_dtype(X: Any, dtype: torch.dtype, name: str) -> Matrix:
    found = X.to(dtype)
    for place in torch.nonzero(~torch.isfinite(found.values))[:1].tolist():
        i, j = (
            place if isinstance(X, DenseMatrix) else (int(X.row_of_value[place[0]]), int(X.column_of_value[place[0]]))
        )
        _refuse_entry(i, j, float(found.values[tuple(place)]), name)
    return found


def _weighted(X: Any, weights: Any, dtype: torch.dtype | None, first_row: int) -> Matrix:
    """X where it was observed; nothing else of it is looked at."""
    (X, device), (V, _) = host_array(X, "X"), host_array(weights, "weights")
    for name, M in (("X", X), ("weights", V)):
        refuse_kind(M.dtype, name)
        refuse_shape(tuple(M.shape), name)
    if X.shape != V.shape:
        raise Refusal(f"weights must have the shape of X, {X.shape}, but have {V.shape}.")
    target = target_dtype(X.dtype, dtype)
    if scipy.sparse.issparse(V):
        pattern = _sparse(V, torch_dtype(target), "weights", first_row=first_row)
        place = pattern.row_of_value.numpy().copy(), pattern.column_of_value.numpy().copy()  # scipy wants to own them
        taken = (scipy.sparse.csr_array(X) if scipy.sparse.issparse(X) else X)[place]
        values = _cast(np.asarray(taken.todense() if scipy.sparse.issparse(taken) else taken).ravel(), target)
        for which in np.flatnonzero(~((values >= 0) & np.isfinite(values)))[:1]:
            _refuse_entry(first_row + int(place[0][which]), int(place[1][which]), float(values[which]))
        found: Matrix = SparseMatrix(pattern.with_values(torch.from_numpy(values)).csr, pattern.values)
    else:
        V = _dense(torch.from_numpy(_cast(V, target).copy()), None, "weights", first_row=first_row).values
        values = _cast(X.toarray() if scipy.sparse.issparse(X) else X, target)
        seen = torch.from_numpy(np.where(V.numpy() > 0, values, target.type(0)))
        found = DenseMatrix(_dense(seen, None, first_row=first_row).values, V)
    if not math.isfinite(float(found.mass)):
        raise Refusal("weights have a sum that float64 does not hold; divide them by the largest.")
    return found.to(device)


def host_array(X: Any, name: str) -> tuple[Any, torch.device]:
    """As numpy's array or a scipy sparse one, and the device that it came from."""
    if isinstance(X, Matrix):
        return X.numpy(), X.device
    if isinstance(X, Tensor):
        host = X.detach()
        return (_widened(host.cpu()).numpy() if host.layout == torch.strided else _scipy_of(host, name)), X.device
    if scipy.sparse.issparse(X):
        return X, torch.device("cpu")
    array = _numbers_of(_numpy_of(X, name) if is_frame(X) else X, name)
    return (np.ma.filled(X.astype(float), np.nan) if np.ma.isMaskedArray(X) else array), torch.device("cpu")


def _numbers_of(X: Any, name: str) -> np.ndarray:
    try:
        array = np.asarray(X)
    except (ValueError, TypeError, OverflowError) as error:
        raise Refusal(
            f"{name} must be a table of numbers with rows of one length; numpy says: {first_line(error)}."
        ) from error
    refuse_kind(array.dtype, name)
    return array


def _dense(
    X: Tensor, dtype: torch.dtype | None, name: str = "X", least: float = 0.0, first_row: int = 0
) -> DenseMatrix:
    if X.is_complex():
        raise Refusal(f"{name} must hold real numbers, but its dtype is {X.dtype}; take its absolute value first.")
    refuse_shape(tuple(X.shape), name)
    if dtype is not None or X.dtype not in (torch.float32, torch.float64):
        X = X.to(dtype or torch.get_default_dtype())
    low, high = torch.aminmax(X)  # NaN where there is one
    if not (bool(low >= least) and math.isfinite(low) and math.isfinite(high)):
        i, j = (int(k) for k in torch.nonzero(~((least <= X) & torch.isfinite(X)))[0])
        _refuse_entry(first_row + i, j, float(X[i, j]), name)
    return DenseMatrix(X)


def _sparse(X: Any, dtype: torch.dtype | None, name: str = "X", least: float = 0.0, first_row: int = 0) -> SparseMatrix:
    refuse_kind(X.dtype, name)
    refuse_shape(tuple(X.shape), name)
    target = target_dtype(X.dtype, dtype)
    if X.format in ("lil", "dok"):  # these convert entry by entry; the others cast at once
        X = X.tocoo()
    try:
        csr: Any = scipy.sparse.csr_array(_cast(X, target))
    except MemoryError as error:
        raise Refusal(
            f"{name} of the shape {X.shape} takes more memory by rows than there is; leave out rows that are empty."
        ) from error
    if not csr.has_canonical_format or not csr.data.all():
        csr = csr.copy()
        csr.sum_duplicates()
        _refuse_bad_stored(csr, name, least, first_row)
        csr.eliminate_zeros()
    _refuse_bad_stored(csr, name, least, first_row)
    index = np.int32 if max(*csr.shape, csr.nnz) < 2**31 else np.int64
    parts = [csr.indptr.astype(index, copy=False), csr.indices.astype(index, copy=False), csr.data]
    crow, columns, values = (torch.from_numpy(part if part.flags.writeable else part.copy()) for part in parts)
    return SparseMatrix(csr_tensor(crow, columns, values, (csr.shape[0], csr.shape[1])))


def _scipy_of(X: Tensor, name: str) -> scipy.sparse.csr_array:
    if X.dim() != 2:
        refuse_shape(tuple(X.shape), name)
    X = X.cpu().to_sparse_coo().coalesce()
    values = _widened(X.values()).numpy()
    return scipy.sparse.csr_array(scipy.sparse.coo_array((values, tuple(X.indices().numpy())), shape=tuple(X.shape)))


def _widened(X: Tensor) -> Tensor:
    """In a dtype that numpy and scipy have."""
    return X.float() if X.dtype in (torch.bfloat16, torch.float16) else X


def target_dtype(own: np.dtype, asked: torch.dtype | None) -> np.dtype:
    """Of the matrix that is made of numbers of a dtype, where another is asked for or not."""
    if asked is None:
        own = own.newbyteorder("=")
        wide = own.kind == "f" and own.itemsize >= 8  # also numpy's longdouble
        asked = torch.float64 if wide else torch.float32 if own == np.float32 else torch.get_default_dtype()
    return np.dtype(str(asked).removeprefix("torch."))


def torch_dtype(dtype: np.dtype) -> torch.dtype:
    return torch.float64 if dtype == np.float64 else torch.float32


def _cast(X: Any, target: np.dtype) -> Any:
    """The same object where it has that dtype; what overflows becomes infinite, to be refused with its place."""
    with np.errstate(over="ignore"):
        return X.astype(target, copy=False)


def is_frame(X: Any) -> bool:
    """Whether it is a table as pandas has them."""
    return hasattr(X, "dtypes") and hasattr(X, "to_numpy") and not isinstance(X, type)


def _numpy_of(frame: Any, name: str = "X") -> np.ndarray:
    """The numbers of a frame, also where its columns differ in dtype or are nullable."""
    if not hasattr(frame.dtypes, "items"):
        return frame.to_numpy()
    _refuse_text_columns(frame, name)
    array = frame.to_numpy()
    return array if array.dtype.kind in "biuf" else frame.to_numpy(dtype=np.float64, na_value=np.nan)


def refuse_kind(dtype: np.dtype, name: str = "X") -> None:
    """Raises Refusal unless it is one of real numbers."""
    if dtype.kind not in "biuf":
        raise Refusal(f"{name} must hold real numbers, but its dtype is {dtype}; drop or encode what is not a number.")


def _refuse_text_columns(frame: Any, name: str) -> None:
    for column, dtype in frame.dtypes.items():
        if getattr(dtype, "kind", "O") not in "biuf":
            raise Refusal(
                f"{name} must hold real numbers, but column {column!r} is of type {dtype}; drop or encode it."
            )


def refuse_shape(shape: tuple[int, ...], name: str = "X") -> None:
    """Raises Refusal unless it is that of a matrix with an entry."""
    if len(shape) != 2:
        remedy = f"; one sample is {name}[None, :], one feature {name}[:, None]" if len(shape) == 1 else ""
        raise Refusal(f"{name} must have two dimensions (samples, features), but its shape is {shape}{remedy}.")
    if 0 in shape:
        raise Refusal(f"{name} must have at least one sample and one feature, but its shape is {shape}.")


def _refuse_bad_stored(csr: scipy.sparse.csr_array, name: str, least: float, first_row: int) -> None:
    bad = np.flatnonzero(~((csr.data >= least) & np.isfinite(csr.data)))
    if len(bad):
        row = int(np.searchsorted(csr.indptr, bad[0], side="right")) - 1
        _refuse_entry(first_row + row, int(csr.indices[bad[0]]), float(csr.data[bad[0]]), name)


def _refuse_entry(i: int, j: int, value: float, name: str = "X") -> None:
    place = f"{name}[{i}, {j}]"
    if math.isnan(value):
        raise Refusal(f"{name} must be finite, but {place} is nan; drop or impute what is missing, or give weights.")
    if math.isinf(value):
        raise Refusal(f"{name} must be finite, but {place} is {value}; clip it, or choose a wider dtype.")
    raise Refusal(
        f"{name} must be non-negative, but {place} is {value:.6g}; shift, clip or drop negative entries, or "
        "use semi-NMF, experiment=semi, which admits them."
    )

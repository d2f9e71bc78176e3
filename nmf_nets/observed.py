"""What of an X was observed."""

from typing import Any

import numpy as np
import scipy.sparse
import torch

from nmf_nets.as_matrix import as_matrix
from nmf_nets.matrix import Matrix
from nmf_nets.refusal import Refusal

Missing = float | str | None
"""What stands for an entry that was not observed: nothing does, NaN, or that a sparse matrix does not store it."""


def is_nan(missing: object) -> bool:
    return missing == "nan" or (isinstance(missing, float) and bool(np.isnan(missing)))


def refuse_missing(missing: object) -> None:
    """Raises Refusal unless it is a Missing."""
    if not (missing is None or missing == "unstored" or is_nan(missing)):
        raise Refusal(
            f"missing is {missing!r}, but must be None, np.nan (or 'nan') where NaN stands for what was not observed, "
            "or 'unstored' for sparse data of which only what is stored was."
        )


def observed(
    X: Any,
    weights: Any,
    missing: Missing,
    dtype: torch.dtype | None = None,
    signed: bool = False,
    allow: str = "missing=np.nan",
) -> Matrix:
    """X with the weights of its entries, which are 0 where it was not observed; without any where all of it was.

    X: an array or a scipy sparse one. allow: what a user writes so that NaN is allowed.
    Raises Refusal, where X was observed, for NaN and for what `as_matrix` refuses.
    """
    if missing == "unstored":
        seen = _stored(X, allow)
    elif _has_nan(X) and not (missing is None and weights is not None):
        seen = _not_nan(X, missing, allow)
    else:
        seen = None
    if seen is not None:
        weights = seen if weights is None else _common(seen, weights)
    return as_matrix(X, dtype, weights, signed=signed)


def _has_nan(X: Any) -> bool:
    values = X.data if scipy.sparse.issparse(X) else X
    return values.dtype.kind == "f" and bool(np.isnan(values).any())


def _stored(X: Any, allow: str) -> Any:
    if not scipy.sparse.issparse(X):
        raise Refusal(
            "what is unstored is not observed in sparse data alone, but X is dense, which stores every entry; give a "
            f"sparse X, or {allow} and NaN where nothing was observed."
        )
    seen = scipy.sparse.csr_array(X, copy=True)
    seen.sum_duplicates()
    seen.data[:] = 1
    return seen


def _not_nan(X: Any, missing: Missing, allow: str) -> Any:
    if missing is None:
        place = "" if scipy.sparse.issparse(X) else f" at {np.argwhere(np.isnan(X))[0].tolist()}"
        raise Refusal(f"Input X contains NaN{place}; set {allow} to fit what was observed, or impute it.")
    if scipy.sparse.issparse(X):
        raise Refusal(
            "X is sparse and stores NaN, but what it does not store is zero, and a mask of all that is dense. Store "
            "what was observed alone and let missing be 'unstored', or give a dense X."
        )
    return ~np.isnan(X)


def _common(seen: Any, weights: Any) -> Any:
    """The weights where it was seen."""
    V: Any = weights if scipy.sparse.issparse(weights) else np.asarray(weights)
    if V.shape != seen.shape:
        raise Refusal(f"weights must have the shape of X, {seen.shape}, but have {V.shape}.")
    if scipy.sparse.issparse(seen):
        return seen.multiply(V).tocsr()
    return V.multiply(seen).tocsr() if scipy.sparse.issparse(V) else np.where(seen, V, 0)

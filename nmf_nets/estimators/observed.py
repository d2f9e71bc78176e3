"""What of an X was observed."""

from typing import Any, Literal

import numpy as np
import scipy.sparse

from nmf_nets.as_matrix import as_matrix
from nmf_nets.matrix import Matrix
from nmf_nets.refusal import Refusal

Missing = float | Literal["nan", "unstored"] | None
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


def observed(X: Any, weights: Any, missing: Missing, signed: bool = False) -> Matrix:
    """X with the weights of its entries, which are 0 where it was not observed; without any where all of it was.

    X: floats, an array or scipy's CSR or CSC.
    Raises Refusal, where X was observed, for NaN, for negative entries and for what `as_matrix` refuses.
    """
    seen = _seen(X, weights, missing)
    if seen is not None and weights is not None:
        weights = _common(seen, weights)
    elif seen is not None:
        weights = seen
    elif weights is None and not signed:
        refuse_negative(X, "NMF (input X)")
    return as_matrix(X, weights=weights, signed=signed)


def refuse_negative(M: Any, whom: str) -> None:
    """In scikit-learn's words, with the place."""
    negative = np.argwhere(M < 0) if isinstance(M, np.ndarray) else np.transpose((M < 0).nonzero())
    for i, j in negative[:1]:
        raise Refusal(
            f"Negative values in data passed to {whom}: {M[i, j]:.6g} at [{i}, {j}]; shift, clip or drop them, or use "
            "semi-NMF (solver='semi-hals'), which admits them in X."
        )


def _seen(X: Any, weights: Any, missing: Missing) -> Any:
    """1 where X says that it was observed, None where it says so everywhere or leaves it to the weights."""
    sparse = scipy.sparse.issparse(X)
    if missing == "unstored":
        if not sparse:
            raise Refusal(
                "missing='unstored' is for sparse data, but X is dense, which stores every entry; give a scipy sparse "
                "X, or missing=np.nan and NaN where nothing was observed."
            )
        seen = scipy.sparse.csr_array(X, copy=True)
        seen.sum_duplicates()
        seen.data[:] = 1
        return seen
    nan = np.isnan(X.data if sparse else X)
    if not nan.any() or (missing is None and weights is not None):
        return None
    if missing is None:
        place = "" if sparse else " at [{}, {}]".format(*np.argwhere(nan)[0])
        raise Refusal(f"Input X contains NaN{place}; set missing=np.nan to fit what was observed, or impute it.")
    if sparse:
        raise Refusal(
            "X is sparse and stores NaN, but what it does not store is zero, and a mask of all that is dense. Store "
            "what was observed alone and set missing='unstored', or give a dense X."
        )
    return ~nan


def _common(seen: Any, weights: Any) -> Any:
    """The weights where it was seen."""
    V: Any = weights if scipy.sparse.issparse(weights) else np.asarray(weights)
    if V.shape != seen.shape:
        raise Refusal(f"weights must have the shape of X, {seen.shape}, but have {V.shape}.")
    if scipy.sparse.issparse(seen):
        return seen.multiply(V).tocsr()
    return V.multiply(seen).tocsr() if scipy.sparse.issparse(V) else np.where(seen, V, 0)

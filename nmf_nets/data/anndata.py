"""Single-cell and other annotated data, as AnnData writes them."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse

from nmf_nets.contents import Contents, contents_of, listed, reading, refuse_broken
from nmf_nets.data.base import TableDataModule
from nmf_nets.extras import extra
from nmf_nets.refusal import Refusal

OBSM, VARM = "X_nmf", "nmf"
"""Where a file gets H and Wᵀ."""


class AnnDataFile(TableDataModule):
    """A matrix of an .h5ad file, observations as samples; sparse ones stay sparse, names are obs_names and var_names.

    layer: null for X, `raw` for raw.X, which may have more variables, or the name of a layer. A layer that is called
    raw is found if there is no raw.X.
    labels: the column of obs that has a class for every sample. Rows that a trained net codes may lack it.
    Refuses scaled data, which have negative entries, with the name of what in the file has none.
    """

    def __init__(
        self, path: str | Path | None = None, layer: str | None = None, labels: str | None = None, **table: Any
    ):
        super().__init__(path, **table)
        self.layer, self.labels = layer, labels

    def contents(self, path: Path) -> Contents:
        with reading(path, ".h5ad"):
            found = self._chosen(path, _read(path))
            refuse_broken(found.X)
            return found

    def weights_in(self, path: Path) -> Contents:
        return contents_of(path)

    def _chosen(self, path: Path, data: Any) -> Contents:
        held = {"raw": data.raw.X} if data.raw is not None else {}
        held = held | {name: X for name, X in data.layers.items() if name not in held}
        if self.layer is not None and self.layer not in held:
            layers = f"{listed(list(held))} and X (data.layer=null)" if held else "X alone (data.layer=null)"
            raise Refusal(f"data.layer is {self.layer!r}, but {path} has {layers}.")
        X = data.X if self.layer is None else held[self.layer]
        if X is None:
            raise Refusal(f"{path} has no X; choose data.layer from {listed(list(held))}.")
        if not self.signed and self.weights is None and _is_negative(X):
            _refuse_scaled(path, X, [name for name, M in held.items() if not _is_negative(M)])
        names = data.raw.var_names if self.layer == "raw" and data.raw is not None else data.var_names
        return Contents(X, tuple(map(str, names)), tuple(map(str, data.obs_names)), self._classes(path, data.obs))

    def _classes(self, path: Path, obs: Any) -> np.ndarray | None:
        if self.labels is None or (self.labels not in obs and path != self.path):
            return None
        if self.labels not in obs:
            raise Refusal(f"data.labels is {self.labels!r}, but the columns of obs in {path} are {listed(list(obs))}.")
        column = obs[self.labels]
        for i in np.flatnonzero(column.isna())[:1]:
            raise Refusal(f"obs[{self.labels!r}] of {path} names no class for {obs.index[i]!r}; drop such samples.")
        values = np.asarray(column)
        return values.astype(str) if values.dtype.kind == "O" else values


def _read(path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of files by old versions, and of names that are not unique
        return extra("anndata", "anndata").read_h5ad(path)


def with_factors(path: Path, H: np.ndarray, W: np.ndarray, feature_names: Sequence[str] | None) -> Any:
    """What the file holds, with H as obsm["X_nmf"] and Wᵀ as varm["nmf"]; a variable that W does not know has zeros
    there, and a feature that is no variable, of raw say, is left out.

    Raises Refusal where H has not a row for each observation, or W, without names, not a column for each variable.
    """
    annotated = _read(path)
    if annotated.n_obs != len(H):
        raise Refusal(f"{path} has {annotated.n_obs} observations, but {len(H)} rows were coded; use .parquet, say.")
    if feature_names is None:
        if annotated.n_vars != W.shape[1]:
            raise Refusal(
                f"{path} has {annotated.n_vars} variables, and the net {W.shape[1]} features without names, which "
                "cannot be told apart; use .parquet, say."
            )
        weights = W.T
    else:
        weights = by_variable(W, feature_names, annotated.var_names)
    annotated.obsm[OBSM], annotated.varm[VARM] = H, weights
    return annotated


def by_variable(M: np.ndarray, feature_names: Sequence[str], var_names: Any) -> np.ndarray:
    """Columns of M as rows for the variables, found by name; zeros for those that have none."""
    place = pd.Index(feature_names).get_indexer(var_names.astype(str))
    return np.where(place[:, None] >= 0, M.T[place], 0)


def _refuse_scaled(path: Path, X: Any, others: list[str]) -> None:
    """as_matrix would refuse it too, but does not know what else the file has."""
    if others:
        raise Refusal(
            f"{path} has negative entries, down to {np.nanmin(_numbers(X)):.6g}, as scaled data do, but NMF needs X ≥ 0"
            f"; use data.layer={others[0]}, which has none."
        )


def _numbers(X: Any) -> np.ndarray:
    return X.data if scipy.sparse.issparse(X) else np.asarray(X)


def _is_negative(X: Any) -> bool:
    return bool((_numbers(X) < 0).any())

"""What NMF and MiniBatchNMF share."""

import math
import warnings
from abc import ABC, abstractmethod
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
import scipy.sparse
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from nmf_nets.as_matrix import host_array
from nmf_nets.criterion import Criterion, Terms
from nmf_nets.divergences.base import Divergence
from nmf_nets.effort import Effort
from nmf_nets.factorization import Factorization, finite
from nmf_nets.fit import DIVERGENCES, divergence_of
from nmf_nets.matrix import Matrix
from nmf_nets.observed import Missing, is_nan, observed, refuse_missing
from nmf_nets.penalties.base import Penalty
from nmf_nets.penalties.l1 import L1
from nmf_nets.penalties.l2 import L2
from nmf_nets.refusal import Refusal, first_line, refuse_count, refuse_number
from nmf_nets.shapes import Codes, Components
from nmf_nets.solver import Solver
from nmf_nets.solvers import named
from nmf_nets.starts import INITS, start_of, unit_at, unit_of
from nmf_nets.updates.hals import HALS
from nmf_nets.updates.multiplicative import Multiplicative

LOSSES = [name.replace("_", "-") for name in DIVERGENCES]
SINGULAR = ("nndsvd", "nndsvda", "nndsvdar")
"""Inits that need a singular vector for every component."""

ZEROS = ("nndsvd", "kmeans", "spherical_kmeans", "separable", "rank_factorization")
"""Inits with zeros, which multiplicative steps cannot leave."""

EXACT, STATIONARY = (1000, 1e-7), (300, 1e-5)
"""Half-steps for codes at most, and the part of its first step with which a row is done: of HALS and Newton, and of
multiplicative steps, which come near.
"""


class BaseNMF(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator, ABC):
    """Parameters, input and codes. Here W and H are scikit-learn's in signatures, and ours in all that is called."""

    n_components: int | Literal["auto"] | None
    init: str | None
    solver: Any
    beta_loss: str | float
    tol: float
    max_iter: int
    random_state: Any
    alpha_W: float
    alpha_H: float | Literal["same"]
    l1_ratio: float
    verbose: int
    missing: Missing
    device: str | torch.device | None
    components_: np.ndarray
    n_features_in_: int

    @abstractmethod
    def _fit(self, X: Any, W: Any, H: Any, weights: Any) -> Codes:
        """Sets what ends with an underscore; the codes of the rows of X."""

    @abstractmethod
    def _codes(self, X: Matrix) -> Codes:
        """Of rows, on the components that were found."""

    @property
    @abstractmethod
    def _signed(self) -> bool:
        """Whether X and the components may have any sign."""

    def fit(self, X: Any, y: Any = None, W: Any = None, H: Any = None, weights: Any = None) -> Any:
        """Finds the components of X, and gives the estimator; as fit_transform."""
        self._fit(X, W, H, weights)
        return self

    def fit_transform(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, X: Any, y: Any = None, W: Any = None, H: Any = None, weights: Any = None
    ) -> Any:
        """Finds the components of X and gives the codes of its rows, (n_samples, n_components).

        W, H: with init="custom" where to start, scikit-learn's W the codes and its H the components.
        weights: v ≥ 0 of the shape of X, dense or sparse, or a mask: ½ Σ v (x − x̂)² is lowered, say, and an entry
        with v = 0 was not observed, whatever X holds there.
        """
        return self._fit(X, W, H, weights).cpu().numpy()

    def transform(self, X: Any, weights: Any = None) -> Any:
        """The codes of rows, (n_samples, n_components), each from what of it was observed; components are left."""
        check_is_fitted(self, "components_")
        return self._codes(self._observed(X, weights, reset=False)).cpu().numpy()

    def inverse_transform(self, X: Any) -> np.ndarray:
        """The rows that have these codes, complete where what they were made of was not."""
        check_is_fitted(self, "components_")
        floats: Any = {"accept_sparse": ("csr", "csc"), "dtype": [np.float64, np.float32]}
        X = check_array(X.detach().cpu() if isinstance(X, Tensor) else X, **floats)
        if X.shape[1] != len(self.components_):
            raise Refusal(
                f"X must have {len(self.components_)} columns, a code for each component, but has {X.shape[1]}."
            )
        with np.errstate(over="ignore"):
            rows = X @ self.components_
        if not np.isfinite(rows.data if scipy.sparse.issparse(rows) else rows).all():
            raise Refusal(f"X has codes up to {X.max():.3g}, whose rows {rows.dtype} does not hold; scale them down.")
        return rows

    @property
    def _n_features_out(self) -> int:
        return len(self.components_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = is_nan(self.missing)
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    # What is given ----------------------------------------------------------------------------------------------------

    def _refuse_parameters(self) -> None:
        if self.n_components is not None and self.n_components != "auto":
            refuse_count("n_components", self.n_components)
        if self.init not in (None, "auto", "custom", *INITS):
            raise Refusal(f"init is {self.init!r}, but must be None, custom or one of {', '.join(INITS)}.")
        if not (self.beta_loss in LOSSES or isinstance(self.beta_loss, Real)):
            raise Refusal(f"beta_loss is {self.beta_loss!r}, but must be β, a number, or one of {', '.join(LOSSES)}.")
        refuse_count("max_iter", self.max_iter)
        for name in ("tol", "alpha_W", "alpha_H", "l1_ratio"):
            value = getattr(self, name)
            if name == "alpha_H" and value == "same":
                continue
            refuse_number(name, value, 1.0 if name == "l1_ratio" else None)
        refuse_missing(self.missing)

    def _observed(self, X: Any, weights: Any, reset: bool) -> Matrix:
        X = validate_data(
            self,
            host_array(X, "X")[0] if isinstance(X, Tensor) else X,
            reset=reset,
            accept_sparse=("csr", "csc"),
            dtype=[np.float64, np.float32],
            ensure_all_finite="allow-nan",
        )
        if weights is None and not self._signed:
            refuse_negative(X, "NMF (input X)")
        found = observed(X, weights, self.missing, signed=self._signed)
        try:
            self._divergence.refuse(found)
        except Refusal as refusal:
            if self._divergence.beta > 0:
                raise
            raise Refusal(
                "When beta_loss <= 0 and X contains zeros, the solver may diverge. Please add small values to X, or "
                f"use a positive beta_loss: {refusal}"
            ) from None
        if self.device is None:
            return found
        try:
            return found.to(torch.device(self.device))
        except (RuntimeError, AssertionError, TypeError) as error:
            raise Refusal(f"device is {self.device!r}, but torch cannot use it: {first_line(error)}.") from error

    @property
    def _divergence(self) -> Divergence:
        return divergence_of(self.beta_loss if isinstance(self.beta_loss, str) else float(self.beta_loss))

    def _criterion(self, n_samples: int) -> Criterion:
        """What is lowered: penalties grow on the codes with the features, on the components with the samples."""
        alpha_H = self.alpha_W if self.alpha_H == "same" else self.alpha_H
        on_H, on_W = self._penalties(self.alpha_W * self.n_features_in_), self._penalties(alpha_H * n_samples)
        return Criterion(self._divergence, on_H, on_W)

    def _penalties(self, strength: float) -> Terms:
        l1, l2 = float(strength * self.l1_ratio), float(strength * (1 - self.l1_ratio))
        return Terms((*([L1(l1)] if l1 else []), *([L2(l2)] if l2 else [])))

    def _chance(self) -> torch.Generator:
        """That of `factorize(seed=…)` for an integer."""
        given = self.random_state
        seed = given if isinstance(given, Integral) else check_random_state(given).randint(2**31 - 1)
        return torch.Generator().manual_seed(int(seed))

    def _asked(self, X: Matrix) -> int | None:
        """How many components; None leaves it to what is given."""
        if self.n_components == "auto":
            return None
        return X.shape[1] if self.n_components is None else int(self.n_components)

    def _start(self, X: Matrix, W: Any, H: Any, chance: torch.Generator) -> Factorization:
        (n, m), r = X.shape, self._asked(X)
        if self.init == "custom":
            components = given_factor(H, (r, m), X, "NMF (input H)", self._signed)
            return Factorization(given_factor(W, (n, len(components)), X, "NMF (input W)"), components)
        if W is not None or H is not None:
            warnings.warn(
                "When init!='custom', provided W or H are ignored. Set init='custom' to use them as initialization.",
                RuntimeWarning,
                stacklevel=4,
            )
        r = m if r is None else r
        if self.init in SINGULAR and r > min(n, m):
            raise Refusal(
                f"init = '{self.init}' can only be used when n_components <= min(n_samples, n_features), but they are "
                f"{r} and {min(n, m)}; lower n_components, or use init='random'."
            )
        if self.solver == "mu" and self.init in ZEROS:
            warnings.warn(
                "The multiplicative update ('mu') solver cannot update zeros present in the initialization, and so "
                f"leads to poorer results when used jointly with init={self.init!r}; use another init.",
                UserWarning,
                stacklevel=4,
            )
        init = self.init or ("random_codes" if self._signed else "auto")
        return start_of(init, X, r, chance, self._signed)

    # What is kept -----------------------------------------------------------------------------------------------------

    def _keep(self, W: Components, X: Matrix) -> None:
        self.components_ = finite(W, "components", X).cpu().numpy().copy()
        self.n_components_ = len(W)

    def _components(self, X: Matrix) -> Components:
        """As X is; a copy, as what joblib hands to other processes cannot be written to."""
        return torch.tensor(self.components_).to(X.device, X.dtype)

    def _warn_of_max_iter(self) -> None:
        if self.tol > 0:
            warnings.warn(
                f"Maximum number of iterations {self.max_iter} reached. Increase it to improve convergence.",
                ConvergenceWarning,
                stacklevel=4,
            )


def refuse_negative(M: Any, whom: str) -> None:
    """In scikit-learn's words, with the place."""
    if not isinstance(M, np.ndarray):
        if not (M.data < 0).any():
            return
        M = M.copy()  # scipy sums duplicates in place where it compares
    negative = np.argwhere(M < 0) if isinstance(M, np.ndarray) else np.transpose((M < 0).nonzero())
    for i, j in negative[:1]:
        raise Refusal(
            f"Negative values in data passed to {whom}: {M[i, j]:.6g} at [{i}, {j}]; shift, clip or drop them, or use "
            "semi-NMF (solver='semi-hals'), which admits them in X."
        )


def coordinate_descent(X: Matrix, order: torch.Generator | None = None) -> Solver:
    """Where scikit-learn's cd sweeps once, the sweeps are repeated as long as they move, for as little as the products
    with X cost then. How often is not left to that cost, so that dense and sparse data give the same.
    """
    return Solver(HALS(order)) if X.weights is not None else Solver(HALS(order), Effort(repeats=3, progress=0.3))


def exact_codes(X: Matrix, W: Components, criterion: Criterion, most: int | None = None) -> Codes:
    """Of each row from what of it was observed; by multiplicative steps, for other β than 1 and 2, less exactly.

    most: half-steps, if they are fewer. They are made in units of X and of W, in which squares stay within the dtype.
    """
    D, of_X, of_W = criterion.divergence, unit_of(X), unit_at(float(W.abs().mean()))
    size = of_X / of_W
    on_H = replace(criterion.on_H, penalties=tuple(_of_codes(p, D.beta, of_X, of_W) for p in criterion.on_H.penalties))
    update = named("auto", X, D, on_H).update
    steps, progress = STATIONARY if isinstance(update, Multiplicative) else EXACT
    steps = steps if most is None else min(most, steps)
    H = update(X if of_X == 1 else X.divided(of_X), None, W / of_W, steps, progress, on_H)
    return H if size == 1 else finite(H * size, "the codes", X)


def _of_codes(penalty: Penalty, beta: float, of_X: float, of_W: float) -> Penalty:
    """The penalty of H as one of H / (u / v) beside X / u and W / v, where D is u^−β times what it was."""
    decades = penalty.degree * (math.log10(of_X) - math.log10(of_W)) - beta * math.log10(of_X)
    return penalty if decades == 0 else penalty.times(10 ** min(300.0, decades))


def given_factor(M: Any, shape: tuple[int | None, int], X: Matrix, whom: str, signed: bool = False) -> Tensor:
    """A copy, where X is. Refusals in scikit-learn's words: of nothing, of another shape, of negative entries, of zeros
    alone; TypeError for another dtype than that of X.
    """
    if M is None:
        raise Refusal(f"There is no {whom}; init='custom' starts from W and H, and update_H=False from H.")
    M = check_array(M)
    for length, expected, place in zip(M.shape, shape, ("first", "second"), strict=True):
        if expected not in (None, length):
            raise Refusal(
                f"Array with wrong {place} dimension passed to {whom}. Expected {expected}, but got {length}."
            )
    if not signed:
        refuse_negative(M, whom)
    if not M.any():
        raise Refusal(f"Array passed to {whom} is full of zeros, which no step would leave; start from others.")
    found = torch.tensor(M)
    if found.dtype != X.dtype:
        raise TypeError(
            f"{whom} should have the same dtype as X, {X.dtype}, but has {found.dtype}; convert one of them."
        )
    return found.to(X.device)

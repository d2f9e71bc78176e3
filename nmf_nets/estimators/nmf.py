"""NMF as an estimator of scikit-learn."""

import math
import warnings
from typing import Any, Literal

import numpy as np
import torch

from nmf_nets.criterion import Criterion
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.estimators.amortised import MakeEncoder, amortised, named_encoder
from nmf_nets.estimators.base import BaseNMF, coordinate_descent, exact_codes, given_factor
from nmf_nets.factorization import Factorization
from nmf_nets.fit import factorize
from nmf_nets.matrix import Matrix
from nmf_nets.observed import Missing
from nmf_nets.refusal import Refusal, refuse_count
from nmf_nets.shapes import Codes
from nmf_nets.solver import Solver
from nmf_nets.solvers import SOLVERS, named
from nmf_nets.watch import Moment

LOOK = 10
"""Iterations between two looks at the loss, as in scikit-learn's mu."""


class NMF(BaseNMF):
    """scikit-learn's NMF with its parameters, letters and errors: X ≈ W H, W what `transform` gives, H `components_`.

    D(X | W H) + n_features alpha_W (l1_ratio Σ w + ½ (1 − l1_ratio) ‖W‖²) + n_samples alpha_H (… of H) is lowered.

    n_components, init, beta_loss, max_iter, random_state, alpha_W, alpha_H, l1_ratio: as in scikit-learn, but that what
    an init draws and fills follows the units of X, which then do not matter. Further inits are kmeans,
    spherical_kmeans, separable, random_acol and rank_factorization.
    solver: `cd`, coordinate descent as in scikit-learn, with sweeps that are repeated while they pay: other iterates,
    in less time; `mu`, step for step that of scikit-learn. Or `auto`, the fastest for loss and data, or another one of
    `factorize`, of which `hals` takes the steps of scikit-learn's cd; or a Solver.
    tol: stops when the root of the loss fell in ten iterations by less than this part of what it was at the start,
    which is scikit-learn's rule for mu; the other solvers, which may pause, when it did so twice in turn. 0 never
    stops.
    verbose: says so much of every ten iterations. shuffle: another order of the components in every half-step of cd.
    missing: None refuses NaN; np.nan, or "nan": NaN are entries that were not observed; "unstored": those are what a
    sparse X does not store, such as ratings that were not given. What was not observed does not count.
    encoder: None for codes by half-steps until they are exact. `lista`, `mlp`, `refined` or a function that makes an
    Encoder of a Factorization: a net that is trained on the rows of `fit`, with the components held, and then codes in
    one pass, at a loss: `code_gap_` is how far the loss with its codes of those rows stands above that with exact ones,
    relative. fit_transform gives its codes, too. Where not all was observed, of these `lista` alone sees no zeros.
    encoder_steps: of its training, each on 256 rows at most.
    device: where to compute, "cuda" say.

    Attributes as in scikit-learn; `reconstruction_err_` is of what was observed. `encoder_`: the trained net.
    """

    def __init__(
        self,
        n_components: int | Literal["auto"] | None = "auto",
        *,
        init: str | None = None,
        solver: str | Solver = "cd",
        beta_loss: str | float = "frobenius",
        tol: float = 1e-4,
        max_iter: int = 200,
        random_state: Any = None,
        alpha_W: float = 0.0,
        alpha_H: float | Literal["same"] = "same",
        l1_ratio: float = 0.0,
        verbose: int = 0,
        shuffle: bool = False,
        missing: Missing = None,
        encoder: str | MakeEncoder | None = None,
        encoder_steps: int = 1000,
        device: str | torch.device | None = None,
    ):
        self.n_components = n_components
        self.init = init
        self.solver = solver
        self.beta_loss = beta_loss
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state
        self.alpha_W = alpha_W
        self.alpha_H = alpha_H
        self.l1_ratio = l1_ratio
        self.verbose = verbose
        self.shuffle = shuffle
        self.missing = missing
        self.encoder = encoder
        self.encoder_steps = encoder_steps
        self.device = device

    def _fit(self, X: Any, W: Any, H: Any, weights: Any) -> Codes:
        self._refuse_parameters()
        self._refuse_solver()
        X = self._observed(X, weights, reset=True)
        criterion, chance = self._criterion(X.shape[0]), self._chance()
        start = self._start(X, W, H, chance)
        patience = 1 if self.solver == "mu" else 2
        looks = Looks(self.tol, float(criterion.total(X, start)), patience, self.verbose)
        result = factorize(
            X,
            start.n_components,
            divergence=criterion.divergence,
            solver=self._recipe(X, criterion, chance),
            start=start,
            penalties_H=criterion.on_H.penalties,
            penalties_W=criterion.on_W.penalties,
            max_iter=int(self.max_iter),
            tol=0.0,
            kkt_tol=None,
            check_every=LOOK,
            callback=looks,
        )
        self._keep(result.W, X)
        self.n_iter_ = result.n_iter
        self.reconstruction_err_ = math.sqrt(2 * max(result.divergence_value, 0.0))
        if result.reason == "interrupted":
            raise KeyboardInterrupt
        if self.n_iter_ == self.max_iter:
            self._warn_of_max_iter()
        if self.encoder is None:
            return result.H
        make = named_encoder(self.encoder, X, self._divergence) if isinstance(self.encoder, str) else self.encoder
        criterion = Criterion(criterion.divergence, criterion.on_H)
        self.encoder_, self.code_gap_ = amortised(
            make, X, Factorization(result.H, result.W), criterion, int(self.encoder_steps)
        )
        return self._codes(X)

    def _codes(self, X: Matrix) -> Codes:
        criterion, W = self._criterion(X.shape[0]), self._components(X)
        if self.encoder is None:
            return exact_codes(X, W, criterion)
        self.encoder_.refuse_data(X, criterion.on_H)
        trained = getattr(torch, str(self.components_.dtype))
        with torch.no_grad():
            return self.encoder_(X.to(trained), W.to(trained), terms=criterion.on_H).to(X.dtype)

    # The solver -------------------------------------------------------------------------------------------------------

    @property
    def _signed(self) -> bool:
        if isinstance(self.solver, Solver):
            return self.solver.signed
        return self.solver in SOLVERS and SOLVERS[self.solver](Frobenius()).signed

    def _refuse_solver(self) -> None:
        if not isinstance(self.solver, Solver) and self.solver not in ("cd", "auto", *SOLVERS):
            raise Refusal(f"solver is {self.solver!r}, but must be one of cd, auto, {', '.join(SOLVERS)}, or a Solver.")
        if self.solver == "cd" and self._divergence.beta != 2:
            raise Refusal(
                f"Invalid beta_loss parameter: solver 'cd' does not handle beta_loss = {self.beta_loss!r}; use "
                "solver='auto', or 'mu'."
            )
        if self.encoder is not None:
            refuse_count("encoder_steps", self.encoder_steps)

    def _recipe(self, X: Matrix, criterion: Criterion, chance: torch.Generator) -> Solver:
        if isinstance(self.solver, Solver):
            return self.solver
        if self.solver != "cd":
            return named(self.solver, X, criterion.divergence, criterion.on_H, criterion.on_W)
        return coordinate_descent(X, chance if self.shuffle else None)


class Looks:
    """What is said, and whether to stop, at a look: where in so many looks in turn √L fell by less than tol √L of the
    start.
    """

    def __init__(self, tol: float, loss: float, patience: int = 1, verbose: int = 0):
        self.tol, self.patience, self.verbose, self.without = tol, patience, verbose, 0
        self.first = self.last = math.sqrt(max(loss, 0.0))

    def __call__(self, moment: Moment, factors: Factorization) -> bool:
        before, self.last = self.last, math.sqrt(max(moment.loss, 0.0))
        if self.verbose:
            said = f"Iteration {moment.iteration}, after {moment.seconds:.3f} seconds: loss {moment.loss:.6g}"
            print(said)  # noqa: T201 - as scikit-learn's
        self.without = self.without + 1 if before - self.last < self.tol * self.first else 0
        return self.tol > 0 and self.without >= self.patience


def non_negative_factorization(
    X: Any,
    W: Any = None,
    H: Any = None,
    n_components: int | Literal["auto"] | None = "auto",
    *,
    init: str | None = None,
    update_H: bool = True,
    solver: str | Solver = "cd",
    beta_loss: str | float = "frobenius",
    tol: float = 1e-4,
    max_iter: int = 200,
    alpha_W: float = 0.0,
    alpha_H: float | Literal["same"] = "same",
    l1_ratio: float = 0.0,
    random_state: Any = None,
    verbose: int = 0,
    shuffle: bool = False,
) -> tuple[np.ndarray, np.ndarray, int]:
    """W, H and the number of iterations, as scikit-learn's function of this name; `NMF` says what the parameters are.

    update_H: False makes exact codes on the H that is given, in one half-step.
    """
    model = NMF(
        n_components,
        init=init,
        solver=solver,
        beta_loss=beta_loss,
        tol=tol,
        max_iter=max_iter,
        random_state=random_state,
        alpha_W=alpha_W,
        alpha_H=alpha_H,
        l1_ratio=l1_ratio,
        verbose=verbose,
        shuffle=shuffle,
    )
    if update_H:
        return model.fit_transform(X, W=W, H=H), model.components_, model.n_iter_
    model._refuse_parameters()
    model._refuse_solver()
    rows = model._observed(X, None, reset=True)
    if W is not None:
        warnings.warn("When update_H=False, the provided initial W is not used.", RuntimeWarning, stacklevel=2)
    model._keep(given_factor(H, (model._asked(rows), rows.shape[1]), rows, "NMF (input H)", model._signed), rows)
    return model._codes(rows).cpu().numpy(), model.components_, 1

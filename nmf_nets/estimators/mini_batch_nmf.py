"""NMF of rows in batches, as an estimator of scikit-learn."""

import math
from collections.abc import Iterator
from itertools import count, islice
from typing import Any, Literal

import torch

from nmf_nets.criterion import Criterion
from nmf_nets.division import divisor
from nmf_nets.estimators.base import BaseNMF, coordinate_descent, exact_codes
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.observed import Missing
from nmf_nets.refusal import Refusal, refuse_count, refuse_number
from nmf_nets.shapes import Codes, Components
from nmf_nets.solvers import SOLVERS, named
from nmf_nets.stream import Stream
from nmf_nets.updates.multiplicative import Multiplicative

REPEATS = 3
"""Half-steps on the codes that a batch had when it came last; a multiplicative one is no cheaper than the first."""

PROGRESS = 1e-3
"""Of cold codes, as a Stream has it."""

ROUNDING = 1e-12
"""A fall of the loss by so little, relative, is none."""

AGING = 3.0
"""Of a Stream: the codes of the first batches, made when the components were worse, soon count less."""


class MiniBatchNMF(BaseNMF):
    """scikit-learn's MiniBatchNMF with its parameters, letters and errors, on a Stream; `NMF` says what they share.

    batch_size, tol, max_no_improvement, max_iter, fresh_restarts, fresh_restarts_max_iter: as in scikit-learn; Watch
    says what counts as an improvement.
    forget_factor: what a row still weighs after a pass over all, or in `partial_fit` after a batch as large as the
    first; with 0 nothing is remembered, and each batch gets a multiplicative step of its own.
    transform_max_iter: half-steps for codes at most; None for exact ones.
    solver: `auto`, running sums of HALS for the Frobenius loss and of Newton's models for Kullback–Leibler; elsewhere,
    and with missing entries, `mu`, the sums of scikit-learn.
    Where one batch holds all rows, nothing has to be remembered: `cd` of NMF, or its `auto` or `mu`, does it.

    fit_transform gives the codes of transform, exact ones on the components as they are in the end; from a single batch
    those of the last iteration.
    """

    def __init__(
        self,
        n_components: int | Literal["auto"] | None = "auto",
        *,
        init: str | None = None,
        batch_size: int = 1024,
        beta_loss: str | float = "frobenius",
        tol: float = 1e-4,
        max_no_improvement: int | None = 10,
        max_iter: int = 200,
        alpha_W: float = 0.0,
        alpha_H: float | Literal["same"] = "same",
        l1_ratio: float = 0.0,
        forget_factor: float = 0.7,
        fresh_restarts: bool = False,
        fresh_restarts_max_iter: int = 30,
        transform_max_iter: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
        solver: Literal["auto", "mu"] = "auto",
        missing: Missing = None,
        device: str | torch.device | None = None,
    ):
        self.n_components = n_components
        self.init = init
        self.batch_size = batch_size
        self.beta_loss = beta_loss
        self.tol = tol
        self.max_no_improvement = max_no_improvement
        self.max_iter = max_iter
        self.alpha_W = alpha_W
        self.alpha_H = alpha_H
        self.l1_ratio = l1_ratio
        self.forget_factor = forget_factor
        self.fresh_restarts = fresh_restarts
        self.fresh_restarts_max_iter = fresh_restarts_max_iter
        self.transform_max_iter = transform_max_iter
        self.random_state = random_state
        self.verbose = verbose
        self.solver = solver
        self.missing = missing
        self.device = device

    def partial_fit(self, X: Any, y: Any = None, W: Any = None, H: Any = None, weights: Any = None) -> Any:
        """A step on the components by these rows, and by what is remembered of those before; gives the estimator.

        W, H: of the first call, as in fit_transform; codes are made anew in each.
        """
        self._refuse_parameters()
        self._refuse_batches()
        begins = not hasattr(self, "components_")
        X = self._observed(X, weights, reset=begins)
        components = self._start(X, W, H, self._chance()).W if begins else self._components(X)
        if begins:
            self._begin(X, components)
        self._keep(self._stepped(X, None, components).W, X)  # last, so that rows that are refused leave nothing begun
        self.n_steps_ = 1 if begins else self.n_steps_ + 1
        return self

    def _fit(self, X: Any, W: Any, H: Any, weights: Any) -> Codes:
        self._refuse_parameters()
        self._refuse_batches()
        X = self._observed(X, weights, reset=True)
        start = self._start(X, W, H, self._chance())
        batches = -(-X.shape[0] // self.batch_size)
        most = self.max_iter * batches
        watch = Watch(X.shape[0], batches, start.W, self.tol, self.max_no_improvement)
        self._begin(X, start.W)
        alternates = batches == 1 and not self.fresh_restarts
        iterates = self._alternated(X, start) if alternates else self._batched(X, start)
        step, factors = 0, start
        for step, (batch, factors) in enumerate(islice(iterates, most), 1):
            stop = watch(batch, factors, self._criterion(batch.shape[0]))
            if self.verbose and step % batches == 0:
                said = "" if self.max_no_improvement is None else f": mean loss of a row {watch.mean:.6g}"
                print(f"Pass {step // batches} of {self.max_iter}{said}")  # noqa: T201 - as scikit-learn's
            if stop:
                break
        self._keep(factors.W, X)
        if alternates and self._stream is not None:  # what partial_fit goes on from
            self._stream.partial_fit(X, factors.H)
            self._stream.W, self._stream.known["batches"] = factors.W, step
        self.n_steps_, self.n_iter_ = step, -(-step // batches)
        if self.n_iter_ == self.max_iter:
            self._warn_of_max_iter()
        H = factors.H if alternates else self._codes(X)
        value = float(self._divergence.total(X, Factorization(H, factors.W)))
        self.reconstruction_err_ = math.sqrt(2 * max(value, 0.0))
        return H

    def _codes(self, X: Matrix) -> Codes:
        return exact_codes(X, self._components(X), self._criterion(X.shape[0]), self.transform_max_iter)

    @property
    def _signed(self) -> bool:
        return False

    def _refuse_batches(self) -> None:
        if self.solver not in ("auto", "mu"):
            raise Refusal(f"solver is {self.solver!r}, but for batches must be auto or mu.")
        refuse_count("batch_size", self.batch_size)
        refuse_count("fresh_restarts_max_iter", self.fresh_restarts_max_iter)
        for name in ("max_no_improvement", "transform_max_iter"):
            if getattr(self, name) is not None:
                refuse_count(name, getattr(self, name))
        refuse_number("forget_factor", self.forget_factor, 1.0)

    # Steps ------------------------------------------------------------------------------------------------------------

    def _begin(self, X: Matrix, W: Components) -> None:
        """What is to be remembered of batches; None where that is nothing."""
        n, criterion = X.shape[0], self._criterion(1)
        D, on_H, on_W = criterion.divergence, criterion.on_H, criterion.on_W
        multiplies = self.solver == "mu" or self.missing is not None or X.weights is not None
        memory = float(self.forget_factor) ** (min(self.batch_size, n) / n)
        update = Multiplicative(D) if multiplies else named("auto", X, D, on_H).update
        begun: dict[str, Any] = {"update": update, "W": W, "on_H": on_H, "on_W": on_W}
        self._stream = Stream(len(W), D, memory=memory, aging=AGING, **begun) if memory > 0 else None

    def _alternated(self, X: Matrix, start: Factorization) -> Iterator[tuple[Matrix, Factorization]]:
        """Of all rows at once."""
        criterion = self._criterion(X.shape[0])
        name = "mu" if self.forget_factor == 0 else self.solver
        cd = name == "auto" and criterion.divergence.beta == 2
        solver = coordinate_descent(X) if cd else named(name, X, criterion.divergence, criterion.on_H, criterion.on_W)
        for factors in solver.iterates(X, start, criterion.on_H, criterion.on_W):
            yield X, factors

    def _batched(self, X: Matrix, start: Factorization) -> Iterator[tuple[Matrix, Factorization]]:
        """Batch after batch, from the codes that their rows had last, if they are not made anew."""
        n, kept, W = X.shape[0], start.H.clone(), start.W
        parts = [slice(a, min(a + self.batch_size, n)) for a in range(0, n, self.batch_size)]
        batches = [X.span(part.start, part.stop) for part in parts]
        for i in count():
            part, batch = parts[i % len(parts)], batches[i % len(parts)]
            factors = self._stepped(batch, None if self.fresh_restarts else kept[part], W)
            kept[part], W = factors.H, factors.W
            yield batch, factors

    def _stepped(self, X: Matrix, H: Codes | None, W: Components) -> Factorization:
        stream = self._stream
        if stream is None:
            criterion = self._criterion(X.shape[0])
            H = exact_codes(X, W, criterion, self.fresh_restarts_max_iter) if H is None else H
            alternates = SOLVERS["mu"](criterion.divergence).iterates
            return next(alternates(X, Factorization(H, W), criterion.on_H, criterion.on_W))
        if H is None:
            stream.steps, stream.progress = self.fresh_restarts_max_iter, PROGRESS
        else:
            stream.steps, stream.progress = 1 if isinstance(stream.update, Multiplicative) else REPEATS, 0.0
        return stream.partial_fit(X, H)


class Watch:
    """When to stop: where components move by at most tol of their size, or where the mean loss of the rows, each with
    the last loss of its batch, did not fall by tol a step in so many steps; not before the second pass.

    Both rules are scikit-learn's, but that there any fall counts, of a mean that fades: steps as large as these pass
    for no better where one batch is merely harder than another.
    """

    def __init__(self, n_samples: int, batches: int, W: Components, tol: float, patience: int | None):
        self.n_samples, self.W, self.tol, self.patience = n_samples, W, tol, patience
        self.losses, self.step, self.least, self.without = [math.nan] * batches, 0, math.inf, 0

    def __call__(self, X: Matrix, factors: Factorization, criterion: Criterion) -> bool:
        before, self.W = self.W, factors.W
        here, self.step = self.step % len(self.losses), self.step + 1
        if self.patience is not None:  # before W was fitted to the batch
            self.losses[here] = float(criterion.total(X, Factorization(factors.H, before)))
        if self.step == 1 or float(X.sum) == 0:  # what came of the start, and rows that say nothing of the components
            return False
        if self.tol > 0 and float((factors.W - before).norm() / divisor(factors.W.norm())) <= self.tol:
            return True
        if self.patience is None or self.step < 2 * len(self.losses):
            return False
        fall = max(self.patience * self.tol, ROUNDING)
        self.without = 0 if self.mean < (1 - fall) * self.least else self.without + 1
        self.least = self.least if self.without else self.mean
        return self.without >= self.patience

    @property
    def mean(self) -> float:
        return sum(self.losses) / self.n_samples

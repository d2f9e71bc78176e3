"""Looks at a run of a classical solver, and what ends it."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Real
from typing import Literal

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from nmf_nets.criterion import Criterion
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.metrics.kkt_residual import rough_kkt_residual
from nmf_nets.refusal import Refusal, refuse_count, refuse_number
from nmf_nets.starts import scaled

Reason = Literal["tol", "kkt_tol", "max_iter", "max_seconds", "callback", "interrupted"]


@dataclass(frozen=True)
class Moment:
    """One look at the run: `loss` is D(X | H W) with penalties, `kkt_residual` to some 1e-5 in float32, or NaN where
    none was asked for.
    """

    iteration: int
    seconds: float
    loss: float
    kkt_residual: float


class Watch:
    """Looks at a run every so often, keeps what it saw, and says when to stop and why."""

    def __init__(
        self,
        X: Matrix,
        criterion: Criterion,
        unit: float,
        tol: float,
        kkt_tol: float | None,
        max_iter: int,
        max_seconds: float | None,
        every: int,
        callback: Callable[[Moment, Factorization], bool | None] | None,
    ):
        self.X, self.criterion, self.unit, self.tol, self.kkt_tol = X, criterion, unit, tol, kkt_tol
        self.max_iter, self.max_seconds, self.every, self.callback = max_iter, max_seconds, every, callback
        self.history: list[Moment] = []
        self.began = time.perf_counter()

    def __call__(self, iteration: int, factors: Factorization) -> Reason | None:
        seconds = time.perf_counter() - self.began
        late = self.max_seconds is not None and seconds >= self.max_seconds
        if iteration % self.every and iteration < self.max_iter and not late:
            return None
        before = self.history[-1] if self.history else Moment(0, 0.0, math.inf, 1.0)
        what = self.criterion
        loss = float(what.total(self.X, factors)) * self.unit**what.divergence.beta
        if not math.isfinite(loss):
            raise Refusal(
                f"the loss is {loss} after {iteration} iterations: X, the start or the penalties are too uneven for "
                f"divergence with β = {what.divergence.beta:g} in {self.X.dtype}; divide X by its largest entry, or "
                "choose float64 or another divergence."
            )
        residual = math.nan
        if self.kkt_tol is not None:
            residual = rough_kkt_residual(self.X, factors, what.divergence, what.on_H, what.on_W)
        now = Moment(iteration, seconds, loss, residual)
        self.history.append(now)
        if self.callback is not None and self.callback(now, scaled(factors, self.unit)):
            return "callback"
        if self.kkt_tol is not None and residual <= self.kkt_tol:
            return "kkt_tol"
        if self.tol > 0 and before.loss - loss <= self.tol * (iteration - before.iteration) * loss:
            return "tol"
        if iteration >= self.max_iter:
            return "max_iter"
        return "max_seconds" if late else None


@contextmanager
def progress_bar(max_iter: int) -> Iterator[Callable[[int, list[Moment]], None]]:
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, transient=True) as progress:
        task = progress.add_task("", total=max_iter)

        def show(iteration: int, history: list[Moment]) -> None:
            said = f"loss {history[-1].loss:.6g}, KKT {history[-1].kkt_residual:.1e}" if history else ""
            progress.update(task, completed=iteration, description=said)

        yield show


def refuse_numbers(
    tol: float, kkt_tol: float | None, max_iter: int, check_every: int, max_seconds: float | None
) -> None:
    """Raises Refusal for a bound that is none."""
    for name, value in {"tol": tol, "kkt_tol": 0.0 if kkt_tol is None else kkt_tol}.items():
        refuse_number(name, value)
    for name, value in {"max_iter": max_iter, "check_every": check_every}.items():
        refuse_count(name, value)
    if max_seconds is not None and not (isinstance(max_seconds, Real) and max_seconds > 0):
        raise Refusal(f"max_seconds must be more than 0, but is {max_seconds!r}.")

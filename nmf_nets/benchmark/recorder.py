"""One run of one method under the clock."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import torch

from nmf_nets.benchmark.base import Coder, Method, Problem, refuse
from nmf_nets.benchmark.clock import Clock, Spent
from nmf_nets.benchmark.evaluator import Evaluator, Measurement, NotFinite
from nmf_nets.factorization import Factorization
from nmf_nets.grid import GeometricGrid
from nmf_nets.refusal import Refusal

HOPELESS = 100.0
"""A run has diverged if it ends above so many times the value of the constant X̂ = mean(X)."""


MARKS = (200, 400)
"""Iterations that are measured wherever a method shows them: where scikit-learn's default ends, and twice that."""


class Status(StrEnum):
    """How a run ended."""

    CONVERGED = "converged"
    BUDGET = "budget"
    DIVERGED = "diverged"
    FAILED = "failed"
    UNSUPPORTED = "unsupported"


ENDED_WELL = (Status.CONVERGED, Status.BUDGET)
"""Statuses of runs whose end is compared."""


@dataclass(frozen=True)
class Evaluation:
    """Factors on the way: after how many iterations, what was spent on them, how good they are."""

    iteration: int
    spent: Spent
    measured: Measurement


@dataclass(frozen=True)
class Run:
    """What came of it; the factors are the last that were evaluated."""

    status: Status
    curve: list[Evaluation]
    error: str | None = None
    factors: Factorization | None = None
    coder: Coder | None = None

    @property
    def switches_per_second(self) -> float:
        """Involuntary context switches: a quiet machine shows under 60, a disturbed one over 160."""
        if not self.curve or self.curve[-1].spent.seconds <= 0:
            return 0.0
        return self.curve[-1].spent.switches / self.curve[-1].spent.seconds

    @property
    def best(self) -> Evaluation:
        """The evaluation with the least value."""
        return min(self.curve, key=lambda evaluation: evaluation.measured.value)

    @property
    def end(self) -> tuple[Factorization, Evaluation]:
        """The factors where it ended well, and what they are worth."""
        if self.factors is None or self.status not in ENDED_WELL:
            raise RuntimeError(f"the run has no end to speak of: {self.status} ({self.error})")
        return self.factors, self.curve[-1]


@dataclass(frozen=True)
class Budget:
    """A run ends after the first iteration that reaches either bound, or is stationary: KKT residual ≤ tolerance."""

    seconds: float
    iterations: float = math.inf
    tolerance: float = 0.0


class Recorder:
    """Stops the clock, measures, starts the clock, says whether to go on.

    Measures whenever iterations or seconds have grown by the factor `growth` since the last time (after every
    iteration at first, or always where growth is 1), at the MARKS, and at the end.
    """

    def __init__(
        self,
        problem: Problem,
        budget: Budget,
        growth: float = 1.2,
        evaluator: Evaluator | None = None,
        now: Callable[[], float] = time.perf_counter,
    ):
        self.problem, self.budget, self.growth, self.now = problem, budget, growth, now
        self.evaluator = evaluator or Evaluator(problem)
        self.grid = GeometricGrid(growth)

    def record(self, method: Method, start: Factorization | None) -> Run:
        """Runs the method from a copy of the start, or from its own where there is none; never raises for a method."""
        curve: list[Evaluation] = []
        last: list[Factorization] = []
        clock = Clock(self.problem.X.device, self.now)
        out_of_budget = False

        def observe(factors: Callable[[], Factorization], iteration: int) -> bool:
            nonlocal out_of_budget
            seconds = clock.seconds
            out_of_budget = seconds >= self.budget.seconds or iteration >= self.budget.iterations
            if not (out_of_budget or self._is_due(curve, iteration, seconds)):
                return True
            spent = clock.stop()
            found = factors().detach().clone()
            curve.append(Evaluation(iteration, spent, self.evaluator(found)))
            last[:] = [found]
            clock.start()
            return not (out_of_budget or self._is_stationary(curve))

        coder: Coder | None = None
        own = None if start is None else start.clone()
        try:
            refuse(method, self.problem, start)
            clock.start()
            coder = method.run(self.problem, own, observe)
            status, error = self._verdict(curve, out_of_budget)
        except Refusal as refusal:
            status, error = Status.UNSUPPORTED, str(refusal)
        except NotFinite as trouble:
            status, error = Status.DIVERGED, str(trouble)
        except Exception as trouble:  # one method's crash must not lose the others' records
            status, error = Status.FAILED, f"{type(trouble).__name__}: {trouble}"
        return Run(status, curve, error, last[0] if last else None, coder)

    def _is_due(self, curve: list[Evaluation], iteration: int, seconds: float) -> bool:
        if not curve or iteration in MARKS:
            return True
        return iteration >= self.grid.after(curve[-1].iteration) or seconds >= self.growth * curve[-1].spent.seconds

    def _verdict(self, curve: list[Evaluation], out_of_budget: bool) -> tuple[Status, str | None]:
        if not curve:
            return Status.FAILED, "it never showed any factors"
        if curve[-1].measured.value > HOPELESS * self._constant:
            return Status.DIVERGED, f"the value ends at more than {HOPELESS:g} times that of the constant mean(X)"
        return Status.BUDGET if out_of_budget and not self._is_stationary(curve) else Status.CONVERGED, None

    def _is_stationary(self, curve: list[Evaluation]) -> bool:
        return curve[-1].measured.kkt_residual <= self.budget.tolerance

    @property
    def _constant(self) -> float:
        """D(X | mean(X))."""
        X = self.evaluator.X
        n, m = X.shape
        ones = torch.ones(n, 1, dtype=X.dtype, device=X.device)
        return float(self.problem.divergence.total(X, Factorization(ones * X.mean, ones.new_ones(1, m))))

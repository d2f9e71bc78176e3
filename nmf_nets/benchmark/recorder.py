"""The one clock and the one evaluator of a comparison."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from nmf_nets.benchmark.base import Method
from nmf_nets.divergences.base import Divergence
from nmf_nets.factorization import Factorization
from nmf_nets.grid import GeometricGrid
from nmf_nets.matrix import Matrix
from nmf_nets.metrics.dead_components import dead_components
from nmf_nets.metrics.kkt_residual import kkt_residual
from nmf_nets.metrics.relative_error import relative_error
from nmf_nets.part import part_name


@dataclass(frozen=True)
class Record:
    """One evaluation of one run."""

    method: str
    divergence: str
    seed: int
    iteration: int
    seconds: float
    value: float
    relative_error: float
    kkt_residual: float
    dead_components: int


@dataclass(frozen=True)
class Budget:
    """A run ends after the first iteration that reaches either bound."""

    seconds: float
    iterations: float = math.inf


class Recorder:
    """Stops the clock, measures in float64, starts the clock, says whether to go on.

    Measures on a geometric grid of iterations, or on every iteration where growth is 1, and always the last one.
    """

    def __init__(
        self,
        X: Matrix,
        divergence: Divergence,
        budget: Budget,
        growth: float = 1.2,
        clock: Callable[[], float] = time.perf_counter,
    ):
        self.X, self.divergence, self.budget = X, divergence, budget
        self.growth, self.clock = growth, clock

    def record(self, name: str, method: Method, start: Factorization, seed: int) -> tuple[list[Record], Factorization]:
        """Runs the method on a copy of the start; its records, and its last factors."""
        records: list[Record] = []
        grid = GeometricGrid(self.growth)
        spent, last, since = 0.0, start, 0.0

        def observe(factors: Callable[[], Factorization], iteration: int) -> bool:
            nonlocal spent, last, since
            spent += self.clock() - since
            going = spent < self.budget.seconds and iteration < self.budget.iterations
            if not going or iteration >= grid.after(records[-1].iteration if records else 0):
                last = factors().detach().clone()
                records.append(self._measure(name, seed, iteration, spent, last))
            since = self.clock()
            return going

        own = start.clone()
        since = self.clock()
        method.run(self.X, own, self.divergence, observe)
        return records, last

    def _measure(self, name: str, seed: int, iteration: int, seconds: float, factors: Factorization) -> Record:
        X, factors = self.X.to(torch.float64), factors.to(torch.float64)
        for letter, M in (("H", factors.H), ("W", factors.W)):
            if not bool(torch.isfinite(M).all()) or bool((M < 0).any()):
                raise ValueError(f"method {name}, iteration {iteration}: {letter} has negative or not finite entries.")
        if (factors.H.shape[0], factors.W.shape[1]) != X.shape:
            raise ValueError(f"method {name}, iteration {iteration}: H W has not the shape of X.")
        return Record(
            method=name,
            divergence=part_name(self.divergence),
            seed=seed,
            iteration=iteration,
            seconds=seconds,
            value=float(self.divergence.total(X, factors)),
            relative_error=relative_error(X, factors),
            kkt_residual=kkt_residual(X, factors, self.divergence),
            dead_components=dead_components(factors),
        )

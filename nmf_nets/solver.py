"""The one loop of the classical solvers, as a stream; stopping belongs to its consumer."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from nmf_nets.divergences.base import Divergence
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.metrics.kkt_residual import kkt_residual
from nmf_nets.updates.base import Update

Rule = Callable[[int, Factorization], bool]
"""Whether to stop after this iteration, counted from 1; a rule may keep what it has seen, so it serves one run."""


def solve(update: Update, X: Matrix, start: Factorization, repeats: int = 1) -> Iterator[Factorization]:
    """Alternates `repeats` steps on H and on W for ever, from the start, which is left as it is."""
    H, W = start.H, start.W
    while True:
        H = update(X, H, W, repeats)
        W = update(X.T, W.T, H.T, repeats).T
        yield Factorization(H, W)


@dataclass(frozen=True)
class Solution:
    """Where a stream stopped, after how many iterations, and by which rule."""

    factors: Factorization
    n_iter: int
    reason: str


def run(stream: Iterable[Factorization], rules: dict[str, Rule]) -> Solution:
    """Consumes the stream until a rule says so; the name of that rule is the reason."""
    for iteration, factors in enumerate(stream, 1):
        for reason, rule in rules.items():
            if rule(iteration, factors):
                return Solution(factors, iteration, reason)
    raise AssertionError("a stream of iterates has no end of its own")


def iterations(most: int) -> Rule:
    return lambda iteration, factors: iteration >= most


def seconds(most: float, clock: Callable[[], float] = time.perf_counter) -> Rule:
    """Counts from the making of the rule."""
    end = clock() + most
    return lambda iteration, factors: clock() >= end


def relative_decrease(X: Matrix, divergence: Divergence, tol: float, every: int = 10) -> Rule:
    """(D_old − D) / D ≤ tol · every, looked at after `every` iterations: no proof of stationarity."""
    last = float("inf")

    def rule(iteration: int, factors: Factorization) -> bool:
        nonlocal last
        if iteration % every:
            return False
        old, last = last, float(divergence.total(X, factors))
        return old - last <= tol * every * last

    return rule


def stationary(X: Matrix, divergence: Divergence, tol: float, every: int = 10) -> Rule:
    """KKT residual ≤ tol, looked at after `every` iterations."""
    return lambda iteration, factors: iteration % every == 0 and kkt_residual(X, factors, divergence) <= tol

"""The one loop of the classical solvers, as a stream; stopping belongs to its consumer."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from nmf_nets.criterion import PLAIN, Terms
from nmf_nets.factorization import Factorization
from nmf_nets.kernels.alternation import Alternation, takes_one_call
from nmf_nets.matrix import Matrix
from nmf_nets.updates.base import Update


@dataclass(frozen=True)
class Effort:
    """How often a half-step is repeated before the next product with X: `repeats` times at most, or where that is
    None 1 + `alpha` ρ times, ρ being the cost of the products in steps; rows that move by at most `progress` times
    what their first step did are left.

    Source: Gillis & Glineur (2012), who stop all rows at once.
    """

    repeats: int | None = 1
    alpha: float = 0.5
    progress: float = 0.0

    def most(self, X: Matrix, n_components: int) -> int:
        if self.repeats is not None:
            return self.repeats
        n, m = X.shape
        rho = 1 + (X.values.numel() + m * n_components) / (n * n_components + n)
        return math.floor(1 + self.alpha * rho)


@dataclass(frozen=True)
class Extrapolation:
    """Each half-step goes on from [M + b (M − M_before)]₊; b grows while D falls, and shrinks when it does not.

    Source: Ang & Gillis (2019).
    """

    b: float = 0.5
    shrink: float = 1.5
    grow: float = 1.01
    grow_most: float = 1.005


@dataclass(frozen=True)
class Solver:
    """Alternates half-steps on H and on W. What is not monotone yields the best pair so far."""

    update: Update
    effort: Effort = Effort()
    extrapolation: Extrapolation | None = None

    def iterates(
        self, X: Matrix, start: Factorization, on_H: Terms = PLAIN, on_W: Terms = PLAIN
    ) -> Iterator[Factorization]:
        """For ever, from the start, which is left as it is."""
        r, effort = start.n_components, self.effort
        repeats = effort.most(X, r), effort.most(X.T, r)
        if self.extrapolation is not None:
            yield from _extrapolated(_Steps(self.update, X, on_H, on_W, repeats, effort), start, self.extrapolation)
        elif not self.update.descends:
            yield from _extrapolated(_Steps(self.update, X, on_H, on_W, repeats, effort), start, Extrapolation(b=0.0))
        elif self.update.in_one_call is not None and takes_one_call(X, r, on_H, on_W):
            alternate = Alternation(self.update.in_one_call, X, on_H, on_W, *repeats, effort.progress)
            H, Wt = start.H.contiguous(), start.W.T.contiguous()
            while True:
                H, Wt = alternate(H, Wt)
                yield Factorization(H, Wt.T)
        else:
            steps = _Steps(self.update, X, on_H, on_W, repeats, effort)
            H, W = start.H, start.W
            del start  # so much memory
            while True:
                H = steps.step_H(H, W)
                W = steps.step_W(H, W)
                yield Factorization(H, W)


class _Steps:
    """Both half-steps, and D + R after the last one."""

    def __init__(self, update: Update, X: Matrix, on_H: Terms, on_W: Terms, repeats: tuple[int, int], effort: Effort):
        self.X, self.on_H, self.on_W, self.update = X, on_H, on_W, update
        self.progress = effort.progress
        self.repeats_H, self.repeats_W = repeats

    def step_H(self, H: Tensor, W: Tensor) -> Tensor:
        if self.on_H.fixed:
            return H
        self._step = self.update.on(self.X, W, self.on_H)
        self._codes = self._step.codes(H, self.repeats_H, self.progress)
        return self._codes

    def step_W(self, H: Tensor, W: Tensor) -> Tensor:
        if self.on_W.fixed:
            return W
        self._step = self.update.on(self.X.T, H.T, self.on_W)
        self._codes = self._step.codes(W.T, self.repeats_W, self.progress)
        return self._codes.T

    def value(self, H: Tensor, W: Tensor) -> Tensor:
        """Of the factors that the last steps have left."""
        if self.on_W.fixed:
            return self._step.value(H) + self.on_W.value(W.T)
        return self._step.value(self._codes) + self.on_H.value(H)


def _extrapolated(steps: _Steps, start: Factorization, how: Extrapolation) -> Iterator[Factorization]:
    """Without a decision on the host where the data are on another device."""
    H, W = ahead_H, ahead_W = start.H, start.W
    best = start
    del start  # so much memory
    numbers = torch.tensor([math.inf, math.inf, how.b, how.b, 1.0], dtype=torch.float64).to(H.device)
    f, least, b, b_before, b_most = (_on_host(number) for number in numbers)
    while True:
        new_H = steps.step_H(ahead_H, ahead_W)
        next_H = new_H if how.b == 0 else _beyond(H, new_H, b)
        new_W = steps.step_W(next_H, ahead_W)
        value = _on_host(steps.value(next_H, new_W))

        better = value < least
        best = Factorization(_either(better, next_H, best.H), _either(better, new_W, best.W))
        least = _either(better, value, least)
        yield best

        if how.b == 0:
            H, W = ahead_H, ahead_W = new_H, new_W
            continue
        next_W = _beyond(W, new_W, b)
        rose = _either(value <= f, False, True)  # or is not a number
        ahead_H, ahead_W = _either(rose, H, next_H), _either(rose, W, next_W)
        H, W = _either(rose, H, new_H), _either(rose, W, new_W)
        grown, most = _least(how.grow * b, b_most), _least(how.grow_most * b_most, 1.0)
        b, b_before, b_most = _either(rose, b / how.shrink, grown), b, _either(rose, b_before, most)
        f = value


def _beyond(before: Tensor, after: Tensor, b: Tensor | float) -> Tensor:
    """[after + b (after − before)]₊."""
    weight = 1 + b
    return torch.lerp(before, after, weight.to(after.dtype) if isinstance(weight, Tensor) else weight).clamp_(min=0)


def _on_host(value: Tensor) -> Tensor | float:
    """A number, unless that would make the host wait for the device."""
    return float(value) if value.device.type == "cpu" else value


def _either(condition, one, other):  # type: ignore[no-untyped-def]
    return torch.where(condition, one, other) if isinstance(condition, Tensor) else one if condition else other


def _least(one, other):  # type: ignore[no-untyped-def]
    return _either(one < other, one, other)

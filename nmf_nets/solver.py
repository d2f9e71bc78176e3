"""The one loop of the classical solvers, as a stream; stopping belongs to its consumer."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from nmf_nets.criterion import PLAIN, Terms
from nmf_nets.effort import ONCE, Effort
from nmf_nets.extrapolation import Extrapolation, beyond, either, on_host
from nmf_nets.factorization import Factorization
from nmf_nets.kernels.alternation import Alternation, takes_one_call
from nmf_nets.matrix import Matrix
from nmf_nets.updates.base import Update


@dataclass(frozen=True)
class Solver:
    """Alternates half-steps on H and on W. What is not monotone yields the best pair so far.

    update_W: of W, where it is not that of H: where W is not what H is, of any sign or of unit norm, say.
    """

    update: Update
    effort: Effort = ONCE
    extrapolation: Extrapolation | None = None
    update_W: Update | None = None

    @property
    def signed(self) -> bool:
        """Whether W may have any sign, and X with it."""
        return self.update_W is not None and self.update_W.signed

    def iterates(
        self, X: Matrix, start: Factorization, on_H: Terms = PLAIN, on_W: Terms = PLAIN
    ) -> Iterator[Factorization]:
        """For ever, from the start, which is left as it is."""
        r, effort = start.n_components, self.effort
        repeats = effort.most(X, r), effort.most(X.T, r)
        updates = self.update, self.update_W or self.update
        if self.extrapolation is not None:
            yield from _extrapolated(_Steps(updates, X, on_H, on_W, repeats, effort), start, self.extrapolation)
        elif not all(update.descends for update in updates):
            yield from _extrapolated(_Steps(updates, X, on_H, on_W, repeats, effort), start, Extrapolation(b=0.0))
        elif self.update_W is None and self.update.in_one_call and takes_one_call(X, r, on_H, on_W):
            alternate = Alternation(self.update.in_one_call, X, on_H, on_W, *repeats, effort.progress)
            H, Wt = start.H.contiguous(), start.W.T.contiguous()
            while True:
                H, Wt = alternate(H, Wt)
                yield Factorization(H, Wt.T)
        else:
            steps = _Steps(updates, X, on_H, on_W, repeats, effort)
            H, W = start.H, start.W
            del start  # so much memory
            while True:
                H = steps.step_H(H, W)
                W = steps.step_W(H, W)
                yield Factorization(H, W)


class _Steps:
    """Both half-steps, and D + R after the last one."""

    def __init__(
        self,
        updates: tuple[Update, Update],
        X: Matrix,
        on_H: Terms,
        on_W: Terms,
        repeats: tuple[int, int],
        effort: Effort,
    ):
        self.X, self.on_H, self.on_W = X, on_H, on_W
        self.update_H, self.update_W = updates
        self.progress = effort.progress
        self.repeats_H, self.repeats_W = repeats

    def step_H(self, H: Tensor, W: Tensor) -> Tensor:
        if self.on_H.fixed:
            return H
        self._step = self.update_H.on(self.X, W, self.on_H)
        self._codes = self._step.codes(H, self.repeats_H, self.progress)
        return self._codes

    def step_W(self, H: Tensor, W: Tensor) -> Tensor:
        if self.on_W.fixed:
            return W
        self._step = self.update_W.on(self.X.T, H.T, self.on_W)
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
    momentum = how.begin(H.device)
    least = momentum.value
    del start  # so much memory
    while True:
        new_H = steps.step_H(ahead_H, ahead_W)
        next_H = new_H if how.b == 0 else beyond(H, new_H, momentum.b)
        new_W = steps.step_W(next_H, ahead_W)
        value = on_host(steps.value(next_H, new_W))

        better = value < least
        best = Factorization(either(better, next_H, best.H), either(better, new_W, best.W))
        least = either(better, value, least)
        yield best

        if how.b == 0:
            H, W = ahead_H, ahead_W = new_H, new_W
            continue
        next_W = beyond(W, new_W, momentum.b)
        rose, momentum = how.judge(value, momentum)
        ahead_H, ahead_W = either(rose, H, next_H), either(rose, W, next_W)
        H, W = either(rose, H, new_H), either(rose, W, new_W)

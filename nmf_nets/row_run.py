"""The iterations of a classical solver over row blocks, one after the other, and what ends them."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from zlib import crc32

import torch
from torch import Tensor

from nmf_nets.checkpoints import State
from nmf_nets.codes.base import KeptCodes, WritableCodes
from nmf_nets.divergences.base import Divergence
from nmf_nets.group import Group
from nmf_nets.refusal import Refusal
from nmf_nets.row_blocks import RowBlocks
from nmf_nets.row_solver import RowSolver
from nmf_nets.row_store import RowStore
from nmf_nets.row_sums.totals import Totals
from nmf_nets.shapes import Components
from nmf_nets.watch import Moment, Reason


@dataclass(frozen=True)
class RowsResult:
    """X ≈ H W. W is the same on all ranks, `codes` are those of the rows start … stop − 1 of this one, made on this W.

    divergence_value: D(X | H W) of all rows without penalties, in float64. relative_error: ‖X − H W‖ / ‖X‖, with the
    weights of X. Both are NaN after an interruption, which leaves the codes that W was made of.
    solver: hals, newton or mu. sent: bytes that a rank hands to the others in an iteration. signal: what interrupted.
    """

    W: Components
    codes: KeptCodes
    start: int
    stop: int
    n_iter: int
    reason: Reason
    divergence_value: float
    relative_error: float
    solver: str
    sent: int
    history: list[Moment] = field(repr=False)
    signal: int | None = None

    @property
    def H(self) -> Tensor:
        """The codes of the rows of this rank, as one tensor."""
        found = self.codes.rows(self.start, self.stop)
        assert found is not None
        return found


class Clock:
    """Rank 0's: what it says of time is what all heed."""

    def __init__(self, began: float, max_seconds: float | None, save_every: int | None, save_seconds: float):
        now = time.perf_counter()
        self._began, self._save_every, self._save_seconds = began, save_every, save_seconds
        self._end = math.inf if max_seconds is None else now + max_seconds
        self._last_saved = now

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._began

    def says(self, iteration: int, group: Group) -> tuple[bool, bool]:
        """Whether it is late, and whether a state is to be saved; nothing on other ranks."""
        now = time.perf_counter()
        due = self._save_every is not None and iteration % self._save_every == 0
        due = due or now >= self._last_saved + self._save_seconds
        return (now >= self._end, due) if group.rank == 0 else (False, False)

    def saved(self) -> None:
        self._last_saved = time.perf_counter()


@dataclass
class RowRun:
    """What changes from one iteration to the next, and what that takes."""

    blocks: RowBlocks
    recipe: RowSolver
    divergence: Divergence
    totals: Totals
    store: RowStore
    clock: Clock
    known: KeptCodes
    W: Components
    history: list[Moment]
    iteration: int
    sent: int = 0

    def iterate(
        self,
        max_iter: int,
        tol: float,
        check_every: int,
        callback: Callable[[Moment], None] | None,
        caught: Sequence[int],
    ) -> Reason:
        reason = _ended(self.iteration, self.history, max_iter, tol)
        while reason is None:
            self.iteration += 1
            looks = self.iteration % check_every == 0 or self.iteration == max_iter
            interrupted, late, saves = self._step(looks, len(caught) > 0)
            if looks and callback is not None:
                callback(self.history[-1])
            reason = "interrupted" if interrupted else _ended(self.iteration, self.history, max_iter, tol)
            reason = reason or ("max_seconds" if late else None)
            if saves or reason:
                self.store.save(State(self.iteration, self.W, self.history), self.known)
                self.clock.saved()
        return reason

    def _step(self, looks: bool, interrupted: bool) -> tuple[bool, bool, bool]:
        """One pass and one message; whether any rank was interrupted, and it is late, or time to save, on rank 0."""
        group, sums, W = self.blocks.group, self.recipe.sums, self.W
        count = sums.numbers(*W.shape)
        message = torch.zeros(count + 4, dtype=torch.float64, device=self.blocks.device)
        made = self.store.free
        self.blocks.add_(message[: count + 1], self.recipe, W, self.known, made, looks)
        message[count + 1 :] = torch.tensor([interrupted, *self.clock.says(self.iteration, group)])
        before = group.sent
        group.sum_(message)
        self.known, self.sent = made, group.sent - before
        # contiguous, as it is read back from a file: products round alike then
        self.W = sums.fitted(message[:count], W, self.recipe.on_W).contiguous()
        if looks:
            refuse_different(self.W, group)
            value = sums.value(message[:count], W, self.totals) + message[count] + self.recipe.on_W.value(W.T)
            loss = float(value) * self.blocks.unit**self.divergence.beta
            self.history.append(Moment(self.iteration, self.clock.seconds, loss, math.nan))
        interrupted, late, saves = (ranks > 0 for ranks in message[count + 1 :].tolist())
        return interrupted, late, saves

    def result(self, reason: Reason, last_codes: WritableCodes | None, caught: Sequence[int]) -> RowsResult:
        blocks, unit = self.blocks, self.blocks.unit
        codes, value, error = self.known, math.nan, math.nan
        if reason != "interrupted":
            codes = last_codes or self.store.free
            value, square = blocks.finish(self.divergence, self.recipe, self.W, self.known, codes)
            value, error = value * unit**self.divergence.beta, math.sqrt(max(square, 0.0) / self.totals.square_norm)
        W, name, number = self.W * math.sqrt(unit), self.recipe.name, next(iter(caught), None)
        return RowsResult(
            W, codes, blocks.start, blocks.stop, self.iteration, reason, value, error, name, self.sent, self.history,
            number,
        )  # fmt: skip


@contextmanager
def caught_signals() -> Iterator[list[int]]:
    """The SIGINT and SIGTERM that came, for the pass to end on its own; a second SIGINT raises KeyboardInterrupt."""
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return

    def note(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and signal.SIGINT in caught:
            raise KeyboardInterrupt
        caught.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ended(iteration: int, history: Sequence[Moment], max_iter: int, tol: float) -> Reason | None:
    """From what all ranks have seen alike: also of a state that is gone on from."""
    if tol > 0 and len(history) > 1 and history[-1].iteration == iteration:
        before, now = history[-2:]
        if before.loss - now.loss <= tol * (now.iteration - before.iteration) * now.loss:
            return "tol"
    return "max_iter" if iteration >= max_iter else None


def refuse_different(W: Components, group: Group) -> None:
    """Raises Refusal, on all ranks, unless they hold the same bits."""
    checksum = float(crc32(W.cpu().contiguous().numpy().tobytes()))
    seen = torch.tensor([checksum, -checksum], dtype=torch.float64)
    group.max_(seen)
    if seen[0] != -seen[1]:
        raise Refusal(
            "the ranks hold different W: their processors or libraries round differently; run them on machines of one "
            "kind, with the same versions and number of threads."
        )

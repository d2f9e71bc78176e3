"""X in row blocks, on any number of ranks: the classical solvers where X, or H, is more than one memory holds."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from nmf_nets.as_matrix import as_matrix
from nmf_nets.checkpoints import Checkpoints, State
from nmf_nets.codes.base import KeptCodes, WritableCodes
from nmf_nets.codes.cold import Cold
from nmf_nets.codes.drawn import Drawn
from nmf_nets.codes.resident import Resident
from nmf_nets.criterion import Terms
from nmf_nets.divergences.base import Divergence
from nmf_nets.factorization import Factorization, refuse_equal_components
from nmf_nets.fit import Moment, Reason, divergence_of, factorize, penalties_of, refuse_numbers, unit_at
from nmf_nets.group import Group
from nmf_nets.inits.base import refuse_n_components
from nmf_nets.matrix import Matrix
from nmf_nets.part import part_name
from nmf_nets.penalties.base import Penalty
from nmf_nets.refusal import Refusal, refuse_count
from nmf_nets.row_blocks import RowBlocks
from nmf_nets.row_solver import RowSolver, refuse_solver, row_solver
from nmf_nets.row_sums.totals import Totals
from nmf_nets.shapes import Components
from nmf_nets.sources.base import Source

INITS = ("auto", "sample", "random")

SAMPLE_ROWS, SAMPLE_VALUES, SAMPLE_ITERATIONS = 20_000, 2**25, 100
"""Of the rows that the first W is made of: how many, how many values they have in all, and the iterations on them."""

CODES_IN_MEMORY = 2**30
"""Bytes of codes on a rank, beyond which auto keeps them in a file."""


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


def factorize_rows(
    source: Source,
    n_components: int,
    *,
    divergence: str | float | Divergence = "frobenius",
    solver: str = "auto",
    init: str = "auto",
    start: Any = None,
    l1_H: float = 0.0,
    l1_W: float = 0.0,
    l2_H: float = 0.0,
    l2_W: float = 0.0,
    penalties_H: Sequence[Penalty] = (),
    penalties_W: Sequence[Penalty] = (),
    repeats: int | None = None,
    max_iter: int = 200,
    tol: float = 1e-5,
    max_seconds: float | None = None,
    check_every: int = 10,
    callback: Callable[[Moment], None] | None = None,
    seed: int = 0,
    group: Group | None = None,
    values: int = 2**24,
    device: str | torch.device = "cpu",
    directory: str | Path | None = None,
    codes: str = "auto",
    save_every: int | None = None,
    save_seconds: float = 600.0,
    last_codes: WritableCodes | None = None,
) -> RowsResult:
    """Minimises what `factorize` does, for an X that is read in row blocks, anew in each iteration, and of which each
    rank of the group reads a part of its own.

        of each block   H_b ← update(X_b, H_b, W)      sums ← sums + s(X_b, H_b, W)
        of all ranks    sums ← Σ sums                  W ← the step that they hold, on every rank alike

    To rounding these are the iterations of the solver on the whole X, whatever the blocks and the ranks. A pass before
    them checks X and draws a sample; one after them makes the codes of the last W and measures.

    solver: hals for Frobenius; newton for Kullback–Leibler; mu for any divergence and any penalties; or auto
        (row_solver).
    init: sample, the default: W of up to 20,000 rows drawn by the seed, which rank 0 factorizes in memory, without
        penalties, while the others wait; random: W and H by the seed, whatever the ranks.
    start: W instead.
    repeats: half-steps on the codes of a block in each pass; None for the effort of the update.
    tol: stops at a relative decrease of the loss of at most so much an iteration, looked at every `check_every`; the
        loss is that of the codes and the W that they were made on, from the sums.
    max_seconds: by the clock of rank 0. callback: is shown each look, on every rank.
    values: of X in a block, about.
    directory: of checkpoints, every `save_every` iterations and `save_seconds` seconds, and at the end. What is there
        already is gone on from, on any number of ranks; on the same, to the bit.
    codes: memory; disk, in the directory; or auto, memory up to 2³⁰ bytes a rank.
    last_codes: where the codes go in the end.
    Ctrl-C and SIGTERM end it after the pass, a second Ctrl-C at once, with the reason `interrupted`; the state is saved
    then.
    Raises Refusal, a ValueError, on all ranks, for input that cannot be used.
    """
    refuse_numbers(tol, None, max_iter, check_every, max_seconds)
    refuse_n_components(n_components)
    _refuse_choices(init, codes, directory, save_every, save_seconds)
    began, group, D = time.perf_counter(), group or Group(), divergence_of(divergence)

    def terms_at(unit: float) -> tuple[Terms, Terms]:
        of_H = penalties_of("H", l1_H, l2_H, penalties_H, D, unit)
        return Terms(of_H), Terms(penalties_of("W", l1_W, l2_W, penalties_W, D, unit))

    given = None if start is None else _given(start, n_components, source)
    refuse_solver(solver, D, *terms_at(1.0))
    blocks = RowBlocks(source, group, values, torch.device(device))
    draws = given is None and init != "random"
    totals, sample = blocks.survey(D, _drawn(source, n_components, seed) if draws else np.empty(0, np.int64))
    if not totals.mean > 0:
        raise Refusal(f"{source.name} is zero wherever it counts, so that there is nothing to factorize.")
    blocks.unit = unit = unit_at(totals.mean)
    blocks.totals = totals = totals.divided(unit)
    on_H, on_W = terms_at(unit)
    recipe = row_solver(solver, D, source.shape[1], n_components, totals, repeats, on_H, on_W)
    store = _Store(blocks, n_components, D, recipe.name, directory, codes)

    if store.saved is not None:
        state, known = store.saved
    elif given is not None or draws:
        W = _sampled(sample, n_components, D, recipe.name, seed, blocks) if given is None else given
        state, known = State(0, W / math.sqrt(unit), []), Cold()
    else:
        scale = 2 * math.sqrt(totals.mean / n_components)
        drawn = np.random.default_rng(seed).random((n_components, source.shape[1]))
        state = State(0, torch.from_numpy(scale * drawn).to(source.dtype), [])
        known = Drawn(n_components, scale, seed, source.dtype)
    earlier = state.history[-1].seconds if state.history else 0.0
    clock = _Clock(began - earlier, max_seconds, save_every, save_seconds)
    run = _Run(
        blocks, recipe, D, totals, store, clock, known, state.W.to(blocks.device), state.history, state.iteration
    )
    with _caught_signals() as caught:
        reason = run.iterate(max_iter, tol, check_every, callback, caught)
    return run.result(reason, last_codes, caught)


@dataclass
class _Run:
    """What changes from one iteration to the next, and what that takes."""

    blocks: RowBlocks
    recipe: RowSolver
    divergence: Divergence
    totals: Totals
    store: "_Store"
    clock: "_Clock"
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
            _refuse_different(self.W, group)
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


class _Store:
    """Where codes come from and go to: memory, or the slots of checkpoints.

    saved: the state that is gone on from, with its codes.
    """

    def __init__(
        self,
        blocks: RowBlocks,
        n_components: int,
        divergence: Divergence,
        solver: str,
        directory: str | Path | None,
        codes: str,
    ):
        shape, dtype, group = blocks.source.shape, blocks.source.dtype, blocks.group
        self._part = blocks.start, blocks.stop
        self._checkpoints: Checkpoints | None = None
        self.saved: tuple[State, KeptCodes] | None = None
        if directory is not None:
            about = {"n_samples": shape[0], "n_features": shape[1], "n_components": n_components, "dtype": str(dtype)}
            about |= {"divergence": part_name(divergence), "beta": divergence.beta, "solver": solver}
            self._checkpoints = Checkpoints(Path(directory), (shape[0], n_components), dtype, group, about)
            self.saved = self._checkpoints.restored()
            self._checkpoints.begin()
        large = -(-shape[0] // group.size) * n_components * dtype.itemsize > CODES_IN_MEMORY
        in_file = directory is not None and (codes == "disk" or (codes == "auto" and large))
        self._resident = None if in_file else Resident(*self._part, n_components, dtype)

    @property
    def free(self) -> WritableCodes:
        """What a pass may write into."""
        if self._resident is not None:
            return self._resident
        assert self._checkpoints is not None
        return self._checkpoints.free

    def save(self, state: State, codes: KeptCodes) -> None:
        """Where there is a directory for it."""
        if self._checkpoints is not None:
            self._checkpoints.save(state, codes, self._part)


class _Clock:
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


@contextmanager
def _caught_signals() -> Iterator[list[int]]:
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


def _refuse_different(W: Components, group: Group) -> None:
    """Raises Refusal, on all ranks, unless they hold the same bits."""
    checksum = float(crc32(W.cpu().contiguous().numpy().tobytes()))
    seen = torch.tensor([checksum, -checksum], dtype=torch.float64)
    group.max_(seen)
    if seen[0] != -seen[1]:
        raise Refusal(
            "the ranks hold different W: their processors or libraries round differently; run them on machines of one "
            "kind, with the same versions and number of threads."
        )


# Where W begins ------------------------------------------------------------------------------------------------------


def _drawn(source: Source, n_components: int, seed: int) -> np.ndarray:
    """The numbers of the rows of the sample, rising."""
    n = source.shape[0]
    room = SAMPLE_VALUES * n // max(1, source.values_in(0, n))
    count = min(n, SAMPLE_ROWS, max(2 * n_components, room))
    return np.sort(np.random.default_rng(seed).choice(n, count, replace=False, shuffle=False))


def _sampled(
    sample: Matrix | None, n_components: int, divergence: Divergence, solver: str, seed: int, blocks: RowBlocks
) -> Components:
    """W of the sample, which rank 0 has."""
    group, source = blocks.group, blocks.source
    W = torch.zeros(n_components, source.shape[1], dtype=source.dtype)
    with group.agreeing():
        if sample is not None:
            found = factorize(
                sample, n_components, divergence=divergence, solver=solver, max_iter=SAMPLE_ITERATIONS, tol=1e-4,
                kkt_tol=None, seed=seed,
            )  # fmt: skip
            W.copy_(found.W)
    group.from_first_(W)
    return W


def _given(W: Any, n_components: int, source: Source) -> Components:
    """Raises Refusal for what cannot be a W of these rows."""
    found = as_matrix(W, source.dtype, name="start").dense()
    if found.shape != (n_components, source.shape[1]):
        raise Refusal(f"start must be W, of the shape {(n_components, source.shape[1])}, but has {tuple(found.shape)}.")
    refuse_equal_components(Factorization(found[:1].new_ones(1, n_components), found))
    return found


def _refuse_choices(
    init: str, codes: str, directory: str | Path | None, save_every: int | None, save_seconds: float
) -> None:
    if not isinstance(init, str) or init not in INITS:
        raise Refusal(f"init is {init!r}, but must be one of {', '.join(INITS)}; others need all rows at once.")
    if codes not in ("auto", "memory", "disk"):
        raise Refusal(f"codes is {codes!r}, but must be auto, memory or disk.")
    if codes == "disk" and directory is None:
        raise Refusal("codes=disk needs a directory for them; give one.")
    if save_every is not None:
        refuse_count("save_every", save_every)
    if not save_seconds > 0:
        raise Refusal(f"save_seconds must be more than 0, but is {save_seconds!r}.")

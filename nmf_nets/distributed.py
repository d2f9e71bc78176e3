"""X in row blocks, on any number of ranks: the classical solvers where X, or H, is more than one memory holds."""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nmf_nets.as_matrix import as_matrix
from nmf_nets.checkpoints import State
from nmf_nets.codes.base import WritableCodes
from nmf_nets.codes.cold import Cold
from nmf_nets.codes.drawn import Drawn
from nmf_nets.criterion import Terms
from nmf_nets.divergences.base import Divergence
from nmf_nets.factorization import Factorization, refuse_equal_components
from nmf_nets.fit import divergence_of, factorize, penalties_of
from nmf_nets.group import Group
from nmf_nets.inits.base import refuse_n_components
from nmf_nets.matrix import Matrix
from nmf_nets.penalties.base import Penalty
from nmf_nets.refusal import Refusal, refuse_count, refuse_number, refuse_seed
from nmf_nets.row_blocks import RowBlocks
from nmf_nets.row_run import Clock, RowRun, RowsResult, caught_signals
from nmf_nets.row_solver import refuse_solver, row_solver
from nmf_nets.row_store import RowStore
from nmf_nets.shapes import Components
from nmf_nets.sources.base import Source
from nmf_nets.starts import unit_at
from nmf_nets.watch import Moment, refuse_numbers

INITS = ("auto", "sample", "random")

SAMPLE_ROWS, SAMPLE_VALUES, SAMPLE_ITERATIONS = 20_000, 2**25, 100
"""Of the rows that the first W is made of: how many, how many values they have in all, and the iterations on them."""


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
    refuse_seed(seed)
    refuse_count("values", values)
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
    store = RowStore(blocks, n_components, D, recipe.name, directory, codes)

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
    clock = Clock(began - earlier, max_seconds, save_every, save_seconds)
    run = RowRun(
        blocks, recipe, D, totals, store, clock, known, state.W.to(blocks.device), state.history, state.iteration
    )
    with caught_signals() as caught:
        reason = run.iterate(max_iter, tol, check_every, callback, caught)
    return run.result(reason, last_codes, caught)


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
    refuse_number("save_seconds", save_seconds)
    if not save_seconds > 0:
        raise Refusal(f"save_seconds must be more than 0, but is {save_seconds!r}.")

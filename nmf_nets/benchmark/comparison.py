"""Which method runs when, from what, how often; and what is kept of it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from numbers import Real
from pathlib import Path
from typing import Any

import torch

from nmf_nets.benchmark.base import Method
from nmf_nets.benchmark.best_known import BestKnown
from nmf_nets.benchmark.evaluator import Evaluator
from nmf_nets.benchmark.examination import examined
from nmf_nets.benchmark.recorder import ENDED_WELL, Budget, Recorder, Run, Status
from nmf_nets.benchmark.results import Cell, ResultFolder
from nmf_nets.benchmark.task import Task, fingerprint
from nmf_nets.factorization import Factorization
from nmf_nets.inits.base import Init
from nmf_nets.refusal import Refusal

TRACKS = ("shared", "own")
"""All begin from the same start; each begins from its own best, which it makes on the clock."""


@dataclass(frozen=True)
class Entrant:
    """A method under its name, made anew for every seed; identity: all that its configuration and its source say."""

    name: str
    make: Callable[[int], Method]
    identity: Any


@dataclass(frozen=True)
class Contest:
    """One task and who takes part in it."""

    task: Task
    entrants: Sequence[Entrant]


@dataclass(frozen=True)
class Protocol:
    """How all are compared.

    tracks: of TRACKS.
    retries: how often a run is repeated that saw more than `disturbance` involuntary context switches a second.
    """

    budget: Budget
    seeds: int
    tracks: Sequence[str]
    init: Init
    growth: float = 1.2
    retries: int = 1
    disturbance: float = 160.0

    def __post_init__(self) -> None:
        for track in self.tracks:
            if track not in TRACKS:
                raise Refusal(f"tracks holds {track!r}, but a track is 'shared' (one start for all) or 'own'.")
        if not self.tracks:
            raise Refusal("tracks is empty, but there must be one at least.")
        if not isinstance(self.seeds, int):
            raise Refusal(f"seeds is {self.seeds!r}, but must be a number of seeds; they are 0, 1, …")
        for name, value, least in (
            ("seeds", self.seeds, 1),
            ("seconds", self.budget.seconds, 1e-9),
            ("iterations", self.budget.iterations, 1),
            ("tolerance", self.budget.tolerance, 0),
            ("growth", self.growth, 1),
            ("retries", self.retries, 0),
            ("disturbance", self.disturbance, 0),
        ):
            if not isinstance(value, Real) or not value >= least:
                raise Refusal(f"{name} is {value!r}, but must be a number of at least {least:g}.")


@dataclass(frozen=True)
class Step:
    """One cell to be filled, by whom, and on what."""

    cell: Cell
    contest: Contest
    entrant: Entrant


class Comparison:
    """All cells, methods interleaved over seeds; each is run, kept, and never run again.

    identity: what every outcome depends on beside task, method and protocol: versions, threads, machine.
    cache: folders of earlier results, whose finished cells are taken over.
    """

    def __init__(
        self,
        contests: Sequence[Contest],
        protocol: Protocol,
        folder: ResultFolder,
        best_known: BestKnown,
        identity: dict[str, Any],
        cache: Path | None = None,
    ):
        self.contests, self.protocol, self.folder, self.best_known = contests, protocol, folder, best_known
        self._identity = identity
        self._cache = sorted(cache.glob("**/cells/*.json")) if cache is not None else []
        self._warm: dict[tuple[str, str, str], float | None] = {}

    @cached_property
    def steps(self) -> list[Step]:
        return [
            Step(self._cell(contest, entrant, track, seed), contest, entrant)
            for seed in range(self.protocol.seeds)
            for contest in self.contests
            for track in self.protocol.tracks
            for entrant in contest.entrants
        ]

    @property
    def keys(self) -> list[str]:
        return [step.cell.key for step in self.steps]

    def adopt(self) -> int:
        """Takes finished cells over from earlier results, but no failures; how many are there now."""
        known = {path.stem: ResultFolder(path.parent.parent) for path in self._cache}
        for key in self.keys:
            if key in known and not self.folder.has(key) and known[key].status(key) != Status.FAILED:
                self.folder.adopt(key, known[key])
        return sum(self.folder.has(key) for key in self.keys)

    def run(self) -> Iterator[tuple[Step, Run | None]]:
        """Fills the cells one by one: before each, the step and None; after it, the step and what came of it."""
        for step in self.steps:
            if not self.folder.has(step.cell.key):
                yield step, None
                yield step, self._fill(step)

    def _fill(self, step: Step) -> Run:
        task, seed, track = step.contest.task, step.cell.seed, step.cell.track
        start = None
        if track == "shared":
            start = self.protocol.init(task.X, task.n_components, torch.Generator().manual_seed(seed))
        warm_up = self._warm_up(step, start)
        recorder = self._recorder(task, seed, self.protocol.budget)
        runs: list[Run] = []
        for _ in range(1 + self.protocol.retries):
            runs.append(recorder.record(step.entrant.make(seed), start))
            if runs[-1].switches_per_second <= self.protocol.disturbance:
                break
        run = min(runs, key=lambda run: (run.status not in ENDED_WELL, run.switches_per_second))
        if fingerprint(task.X) != task.fingerprint:
            raise Refusal(
                f"method {step.entrant.name} changed the data it was given, so nothing after it is worth much."
            )
        outcome = {
            "attempts": len(runs),
            "switches_per_second": run.switches_per_second,
            "warm_up_seconds": warm_up,
            "start": None if start is None else fingerprint(start),
        }
        if run.status in ENDED_WELL:
            outcome |= examined(task, run.end[0], run.coder)
            self.best_known.learn(task, run, step.entrant.name, seed)
        self.folder.save(step.cell, outcome, run)
        return run

    def _recorder(self, task: Task, seed: int, budget: Budget) -> Recorder:
        return Recorder(task.problem(seed), budget, self.protocol.growth, self._evaluators[task.name])

    @cached_property
    def _evaluators(self) -> dict[str, Evaluator]:
        return {contest.task.name: Evaluator(contest.task.problem(0)) for contest in self.contests}

    def _warm_up(self, step: Step, start: Factorization | None) -> float | None:
        """Seconds of a first iteration that is not recorded: it compiles kernels and wakes libraries."""
        who = (step.cell.task, step.cell.track, step.entrant.name)
        if who not in self._warm:
            recorder = self._recorder(step.contest.task, step.cell.seed, Budget(0.0))
            run = recorder.record(step.entrant.make(step.cell.seed), start)
            self._warm[who] = run.curve[-1].spent.seconds if run.curve else None
        return self._warm[who]

    def _cell(self, contest: Contest, entrant: Entrant, track: str, seed: int) -> Cell:
        protocol = self.protocol
        identity = {
            "problem": contest.task.identity,
            "held out": None if contest.task.held_out is None else self._held_out_fingerprints[contest.task.name],
            "dtype": str(contest.task.X.dtype),
            "device": str(contest.task.X.device),
            "method": entrant.identity,
            "budget": asdict(protocol.budget),
            "growth": protocol.growth,
            "disturbance": [protocol.retries, protocol.disturbance],
            **self._identity,
        }
        return Cell(contest.task.name, track, entrant.name, seed, identity)

    @cached_property
    def _held_out_fingerprints(self) -> dict[str, str]:
        tasks = [contest.task for contest in self.contests]
        return {task.name: fingerprint(task.held_out) for task in tasks if task.held_out is not None}

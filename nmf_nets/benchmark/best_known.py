"""The best value that anybody has found of a problem: gaps are to it, not to the best of the runs that are shown."""

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from nmf_nets.benchmark.methods.classical import Classical
from nmf_nets.benchmark.recorder import Budget, Recorder, Run
from nmf_nets.benchmark.task import Task
from nmf_nets.inits.random import random
from nmf_nets.refusal import Refusal
from nmf_nets.solvers import fastest
from nmf_nets.whole_file import write

SHIPPED = Path(__file__).parent / "best_known.json"
"""Of the tasks that ship, from long runs; the file of a user may be better and then wins."""

FIRST_SEED = 1000
"""The starts of long runs are not those of the comparison."""


class BestKnown:
    """A small JSON file: identity of the problem -> value and where it came from. Entries only improve."""

    def __init__(self, path: Path, shipped: Path = SHIPPED):
        self.path, self.shipped = path, shipped

    def value(self, identity: str) -> float | None:
        """None for a problem that nobody has worked on."""
        return self._entry(identity).get("value")

    def origin(self, identity: str) -> str | None:
        """Who found it, in words."""
        entry = self._entry(identity)
        found = [entry.get("method"), *(f"{name} {entry[name]}" for name in ("seed", "iterations") if name in entry)]
        return ", ".join([*map(str, found), entry["day"]]) if "day" in entry else None

    def improve(self, identity: str, value: float, **origin: Any) -> bool:
        """Whether the value is better than what was known; it is then kept, with its origin."""
        entry = {"value": value, **origin, "day": date.today().isoformat()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self.path}.lock"):  # comparisons may run side by side
            known = self.value(identity)
            if known is not None and value >= known:
                return False
            write(self.path, json.dumps({**self._own(), identity: entry}, indent=2).encode())
        return True

    def learn(self, task: Task, run: Run, method: str, seed: int) -> None:
        """Keeps the best value of the run, if it is better than what was known."""
        best = run.best
        about = {"task": task.name, "method": method, "seed": seed, "iterations": best.iteration}
        self.improve(task.identity, best.measured.value, **about)

    def search(self, task: Task, seconds: float, each: float, tell: Callable[[str], None] = lambda said: None) -> None:
        """For so many seconds, runs of the fastest solver from new random starts, to stationarity or its budget."""
        recorder = Recorder(task.problem(0), Budget(each, tolerance=1e-7), growth=1.5)
        solver = fastest(task.X, task.divergence, task.criterion.on_H, task.criterion.on_W)
        spent, seed = 0.0, FIRST_SEED
        while spent < seconds:
            tell(f"{task.name}: best known value, start {seed - FIRST_SEED}")
            start = random(task.X, task.n_components, torch.Generator().manual_seed(seed))
            run = recorder.record(Classical(solver, random), start)
            if not run.curve:
                raise RuntimeError(f"solver {solver} ended on task {task.name} without a value: {run.error}")
            self.learn(task, run, solver, seed)
            spent, seed = spent + run.curve[-1].spent.seconds, seed + 1

    def _entry(self, identity: str) -> dict[str, Any]:
        found = [entries[identity] for entries in (self._own(), _read(self.shipped)) if identity in entries]
        return min(found, key=lambda entry: entry["value"], default={})

    def _own(self) -> dict[str, Any]:
        return _read(self.path)


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise Refusal(f"best_known={path} is not JSON ({error}); mend it, or name another file.") from None

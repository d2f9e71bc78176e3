"""Results with gaps to the best known value: what all tables and figures are made from."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from nmf_nets.benchmark.comparison import TRACKS
from nmf_nets.benchmark.recorder import ENDED_WELL
from nmf_nets.benchmark.results import Results
from nmf_nets.benchmark.statistics import interquartile_mean, time_to_target
from nmf_nets.metrics.relative_gap import relative_gap
from nmf_nets.pages.table import Frame

TARGETS = (0.1, 0.01, 0.001)
"""Gaps to the best known value."""


class Findings:
    """Asked by task and track; methods are in the order of the interquartile means of their gaps, the best first."""

    def __init__(self, results: Results):
        self.results = results
        self.tasks = {row["task"]: row for row in results.tasks.to_dict("records")}
        there = set(results.cells[["task", "track"]].itertuples(index=False, name=None))
        self.pairs = [(task, track) for task in self.tasks for track in TRACKS if (task, track) in there]

    @cached_property
    def best(self) -> dict[str, float]:
        """The best known value of each task, or the least of its runs if that is less."""
        shown: dict[str, float] = dict(self.results.records.groupby("task")["value"].min())
        both: dict[str, tuple[Any, Any]] = {
            name: (facts.get("best_known"), shown.get(name)) for name, facts in self.tasks.items()
        }
        there = {name: [value for value in values if not pd.isna(value)] for name, values in both.items()}
        return {name: min(values) for name, values in there.items() if values}

    @cached_property
    def records(self) -> Frame:
        """One row an evaluation, with its `gap`."""
        records = self.results.records.copy()
        records["gap"] = [
            relative_gap(value, self.best[task], self.tasks[task]["rounding"])
            for task, value in zip(records["task"], records["value"], strict=True)
        ]
        return records

    def cells(self, task: str, track: str) -> Frame:
        """One row a run, with its last evaluation where it has one."""
        return self._cells[task, track]

    @cached_property
    def _cells(self) -> dict[tuple[str, str], Frame]:
        last = self.records.groupby("key").tail(1).set_index("key").drop(columns=["task", "track", "method", "seed"])
        cells = self.results.cells.merge(last, left_on="key", right_index=True, how="left")
        return {pair: cells[(cells["task"] == pair[0]) & (cells["track"] == pair[1])] for pair in self.pairs}

    @cached_property
    def _curves(self) -> dict[Any, Frame]:
        """The evaluations of each run, by its key."""
        return dict(iter(self.records.groupby("key")))

    def finished(self, task: str, track: str) -> Frame:
        """The runs that ended as runs should."""
        cells = self.cells(task, track)
        return cells[cells["status"].isin(ENDED_WELL)]

    def methods(self, task: str, track: str) -> list[str]:
        gaps = (
            self.finished(task, track).groupby("method")["gap"].apply(lambda gaps: interquartile_mean(gaps.to_numpy()))
        )
        return [str(name) for name in gaps.sort_values(kind="stable").index]

    def by_method(self, task: str, track: str) -> Iterator[tuple[str, Frame]]:
        """Each method with its finished runs."""
        runs = self.finished(task, track)
        for method in self.methods(task, track):
            yield method, runs[runs["method"] == method]

    def heading(self, task: str, track: str) -> str:
        facts = self.tasks[task]
        return f"{task}, {facts['divergence']}, {facts['n_components']} components, {track} start"

    def curves(self, task: str, track: str, method: str) -> list[Frame]:
        """The evaluations of each seed."""
        return list(self.curves_by_seed(task, track, method).values())

    def curves_by_seed(self, task: str, track: str, method: str) -> dict[int, Frame]:
        """The same, by seed."""
        runs = self.finished(task, track)
        runs = runs[runs["method"] == method].sort_values("seed")
        return {int(seed): self._curves[key] for seed, key in zip(runs["seed"], runs["key"], strict=True)}

    def times_to(self, target: float, task: str, track: str, method: str) -> np.ndarray:
        """Seconds of each seed to come within that gap; infinite if it never did, or did not end as runs should."""
        cells = self.cells(task, track)
        times = [
            time_to_target(curve["seconds"].to_numpy(), curve["gap"].to_numpy(), target)
            for curve in self.curves(task, track, method)
        ]
        return np.array(times + [np.inf] * (int((cells["method"] == method).sum()) - len(times)))

    def middle(self, task: str, track: str, method: str, axis: str) -> Frame:
        """Median and quartiles of the gap over seeds, along `seconds` or `iteration`.

        Where a seed has not been measured yet there is nothing; where it has ended its last gap stands.
        """
        curves = self.curves(task, track, method)
        first, last = max(curve[axis].min() for curve in curves), max(curve[axis].max() for curve in curves)
        grid = np.geomspace(first, last, 60) if last > first else np.array([first])
        gaps = np.stack([_held(curve[axis].to_numpy(), curve["gap"].to_numpy(), grid) for curve in curves])
        low, middle, high = np.quantile(gaps, [0.25, 0.5, 0.75], axis=0)
        return pd.DataFrame({axis: grid, "low": low, "gap": middle, "high": high})

    def all_components(self, task: str, track: str, method: str) -> Sequence[Any]:
        cells = self.finished(task, track).query("method == @method").sort_values("seed")
        return [self.results.components(key) for key in cells["key"]]


def _held(at: np.ndarray, values: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """The last value at or before each point of the grid."""
    return values[np.clip(np.searchsorted(at, grid * (1 + 1e-12), side="right") - 1, 0, None)]

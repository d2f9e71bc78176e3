"""What the findings say, as tables: of each task and track."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from nmf_nets.benchmark.report.aspects import beyond, fairness, held_out, left_out, races
from nmf_nets.benchmark.report.findings import TARGETS, Findings
from nmf_nets.benchmark.statistics import (
    TimeToTarget,
    bootstrap_interval,
    censored_median,
    holm,
    improvement_interval,
    interquartile_mean,
    median,
    paired_difference,
    probability_of_improvement,
)
from nmf_nets.pages.numbers import number, percent, signed_percent
from nmf_nets.pages.table import Table

MIB = 2**20


def tables(findings: Findings) -> list[Table]:
    """All there are: of each task and track, and over the tasks of each track."""
    makers = (final, times, races, paired, held_out, beyond, fairness, left_out)
    found = [
        replace(table, about=pair) for pair in findings.pairs for make in makers for table in make(findings, *pair)
    ]
    return found + [
        table for track in dict.fromkeys(track for _, track in findings.pairs) for table in overall(findings, track)
    ]


def summaries(findings: Findings) -> list[Table]:
    """What fits a terminal: a table for each task and track, and who was left out."""
    return [table for pair in findings.pairs for make in (summary, left_out) for table in make(findings, *pair)]


def summary(findings: Findings, task: str, track: str) -> Iterator[Table]:
    """The ends and the times in one table."""
    ends = next(final(findings, task, track), None)
    if ends is None:
        return
    frame = ends.frame[["method", "gap", "worst", "error", "KKT", "dead", "iterations", "ms/iteration"]].copy()
    for target in TARGETS:
        found = [censored_median(findings.times_to(target, task, track, method)) for method in frame["method"]]
        frame[_to(target)] = [
            "never" if not time.reached else f"{time.median:.3g}" if time.reached == time.runs else _censored(time)
            for time in found
        ]
    yield Table(
        f"summary_{task}_{track}",
        findings.heading(task, track),
        frame,
        {**ends.formats, **{_to(target): "{}" for target in TARGETS}},
        f"gap: to the best known value {findings.best[task]:.8g}, interquartile mean over seeds. to …: seconds to come "
        "so near, median over all seeds (how many of them did).",
    )


def _to(target: float) -> str:
    return f"to {100 * target:g} %"


def _censored(time: TimeToTarget) -> str:
    return f"{'later' if math.isinf(time.median) else f'{time.median:.3g}'} ({time.reached}/{time.runs})"


def final(findings: Findings, task: str, track: str) -> Iterator[Table]:
    """Where each method ended."""
    facts, rows = findings.tasks[task], []
    for method, runs in findings.by_method(task, track):
        gap = bootstrap_interval(runs["gap"].to_numpy(), interquartile_mean, np.random.default_rng(0))
        row: dict[str, Any] = {
            "method": method,
            "gap": gap.value,
            "from": gap.low,
            "to": gap.high,
            "worst": runs["gap"].max(),
            "error": median(runs["relative_error"]),
        }
        if facts["beta"] == 2:
            row["above SVD"] = median(runs["relative_error"]) - facts["svd_error"]
        else:
            row["deviance"] = median(runs["value"]) / facts["independent_value"]
        rows.append(
            row
            | {
                "KKT": median(runs["kkt_residual"]),
                "sparseness": median(runs["sparseness"]),
                "dead": int(runs["dead_components"].max()),
                "iterations": median(runs["iteration"]),
                "seconds": median(runs["seconds"]),
                "ms/iteration": 1e3 * median(runs["seconds"] / runs["iteration"]),
                "peak MiB": median(runs["peak_memory"]) / MIB,
                "ended": _count(runs["status"]),
            }
        )
    if rows:
        yield Table(
            f"final_{task}_{track}",
            f"{findings.heading(task, track)}: where each method ended",
            pd.DataFrame(rows),
            {
                **dict.fromkeys(("gap", "from", "to", "worst"), percent),
                "error": "{:.4f}",
                "above SVD": "{:.4f}",
                "deviance": "{:.4f}",
                "KKT": "{:.0e}",
                "sparseness": "{:.3f}",
                "iterations": "{:.0f}",
                "seconds": "{:.2f}",
                "ms/iteration": number,
                "peak MiB": "{:.1f}",
            },
            f"gap: to the best known value {findings.best[task]:.8g}, interquartile mean over seeds with its 95 % "
            "bootstrap interval. "
            + (
                f"error: ‖X − H W‖ / ‖X‖, of which no {facts['n_components']} components are below "
                f"{facts['svd_error']:.4f}. "
                if facts["beta"] == 2
                else "deviance: the value over that of the independence model. "
            )
            + "Medians over seeds; worst and dead: the most of any seed.",
        )


def times(findings: Findings, task: str, track: str) -> Iterator[Table]:
    """Seconds to come near the best known value."""
    rows = []
    for method in findings.methods(task, track):
        row: dict[str, Any] = {"method": method}
        for target in TARGETS:
            found = censored_median(findings.times_to(target, task, track, method))
            row |= {_to(target): found.median, f"seeds {_to(target)}": f"{found.reached} of {found.runs}"}
        rows.append(row)
    if rows:
        yield Table(
            f"times_{task}_{track}",
            f"{findings.heading(task, track)}: seconds to a gap",
            pd.DataFrame(rows),
            {_to(target): number for target in TARGETS},
            "Median over all seeds; a seed that never came so near counts as later than any.",
        )


def paired(findings: Findings, task: str, track: str) -> Iterator[Table]:
    """Each method against the one that ended best, seed by seed."""
    gaps = {method: runs.set_index("seed")["gap"] for method, runs in findings.by_method(task, track)}
    if len(gaps) < 2:
        return
    leader, *others = gaps
    rng, rows = np.random.default_rng(0), []
    for method in others:
        both = gaps[method].index.intersection(gaps[leader].index)
        if not len(both):
            continue
        x, y = gaps[method][both].to_numpy(), gaps[leader][both].to_numpy()
        found = paired_difference(x, y, rng)
        row = {"method": method, "behind by": found.median.value, "from": found.median.low, "to": found.median.high}
        rows.append(row | {"p (Holm)": found.p_value, "better with": probability_of_improvement(x, y), "pairs": len(x)})
    frame = pd.DataFrame(rows)
    frame["p (Holm)"] = holm(frame["p (Holm)"].to_numpy())
    yield Table(
        f"paired_{task}_{track}",
        f"{findings.heading(task, track)}: against {leader}, seed by seed",
        frame,
        dict.fromkeys(("behind by", "from", "to"), signed_percent) | {"p (Holm)": "{:.3f}", "better with": "{:.2f}"},
        f"behind by: median over seeds of the gap minus that of {leader}, with its 95 % bootstrap interval. p: "
        "Wilcoxon's signed-rank test; five seeds cannot get below 0.062 before Holm's correction. better with: the "
        f"probability of ending below {leader}.",
    )


def overall(findings: Findings, track: str) -> Iterator[Table]:
    """Over all tasks, for the methods that ended as they should in every seed of each."""
    tasks = [task for task, other in findings.pairs if other == track and findings.methods(task, track)]
    gaps: dict[str, list[np.ndarray]] = {}
    for task in tasks:
        for method, runs in findings.by_method(task, track):
            gaps.setdefault(method, []).append(runs.sort_values("seed")["gap"].to_numpy())
    seeds = findings.results.cells["seed"].nunique()
    whole = {
        method: np.stack(found, axis=1)
        for method, found in gaps.items()
        if len(found) == len(tasks) and all(len(gap) == seeds for gap in found)
    }
    if len(tasks) < 2 or not whole:
        return
    rng = np.random.default_rng(0)
    ends = {method: bootstrap_interval(gap, interquartile_mean, rng) for method, gap in whole.items()}
    leader = min(ends, key=lambda method: ends[method].value)
    rows = []
    for method in sorted(ends, key=lambda method: ends[method].value):
        row = {"method": method, "gap": ends[method].value, "from": ends[method].low, "to": ends[method].high}
        if method != leader:
            better = improvement_interval(whole[method], whole[leader], rng)
            row |= {"better with": better.value, "at least": better.low, "at most": better.high}
        rows.append(row)
    yield Table(
        f"overall_{track}",
        f"Over {len(tasks)} tasks, {track} start",
        pd.DataFrame(rows),
        dict.fromkeys(("gap", "from", "to"), percent) | dict.fromkeys(("better with", "at least", "at most"), "{:.2f}"),
        f"Of the methods that serve {', '.join(tasks)}. gap: interquartile mean over seeds and tasks; better with: the "
        f"probability of ending below {leader}, the mean over tasks; 95 % intervals of a bootstrap in which seeds are "
        "drawn anew within each task.",
    )


def _count(statuses: Any) -> str:
    counts = statuses.value_counts()
    return ", ".join(f"{count} {status}" for status, count in counts.items())

"""What the findings say, as tables: of each task and track."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import torch

from nmf_nets.benchmark.report.findings import TARGETS, Findings
from nmf_nets.benchmark.report.table import Table
from nmf_nets.benchmark.results import Frame
from nmf_nets.benchmark.statistics import (
    TimeToTarget,
    bootstrap_interval,
    censored_median,
    holm,
    interquartile_mean,
    paired_difference,
    probability_of_improvement,
)
from nmf_nets.metrics.stability import stability

MIB = 2**20


def tables(findings: Findings) -> list[Table]:
    return [table for pair in findings.pairs for make in TABLES for table in make(findings, *pair)]


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
        frame[f"to {100 * target:g} %"] = [
            "never" if not time.reached else f"{time.median:.3g}" if time.reached == time.runs else _censored(time)
            for time in found
        ]
    frame["ended"] = ends.frame["ended"]
    yield Table(
        f"summary_{task}_{track}",
        _heading(findings, task, track),
        frame,
        {**ends.formats, **{f"to {100 * target:g} %": "{}" for target in TARGETS}},
        f"gap: to the best known value {findings.best[task]:.8g}, interquartile mean over seeds. to …: seconds to come "
        "so near, median over all seeds (how many of them did).",
    )


def _censored(time: TimeToTarget) -> str:
    return f"{'later' if math.isinf(time.median) else f'{time.median:.3g}'} ({time.reached}/{time.runs})"


def final(findings: Findings, task: str, track: str) -> Iterator[Table]:
    """Where each method ended."""
    facts, rows = findings.tasks[task], []
    for method, runs in _by_method(findings, task, track):
        gap = bootstrap_interval(runs["gap"].to_numpy(), interquartile_mean, np.random.default_rng(0))
        row: dict[str, Any] = {
            "method": method,
            "gap": gap.value,
            "from": gap.low,
            "to": gap.high,
            "worst": runs["gap"].max(),
            "error": runs["relative_error"].median(),
        }
        if facts["beta"] == 2:
            row["above SVD"] = runs["relative_error"].median() - facts["svd_error"]
        else:
            row["deviance"] = runs["value"].median() / facts["independent_value"]
        rows.append(
            row
            | {
                "KKT": runs["kkt_residual"].median(),
                "sparseness": runs["sparseness"].median(),
                "dead": int(runs["dead_components"].max()),
                "iterations": runs["iteration"].median(),
                "seconds": runs["seconds"].median(),
                "ms/iteration": 1e3 * (runs["seconds"] / runs["iteration"]).median(),
                "peak MiB": runs["peak_memory"].median() / MIB,
                "ended": _count(runs["status"]),
            }
        )
    if rows:
        yield Table(
            f"final_{task}_{track}",
            f"{_heading(findings, task, track)}: where each method ended",
            pd.DataFrame(rows),
            {
                "gap": "{:+.3%}",
                "from": "{:+.3%}",
                "to": "{:+.3%}",
                "worst": "{:+.3%}",
                "error": "{:.4f}",
                "above SVD": "{:.4f}",
                "deviance": "{:.4f}",
                "KKT": "{:.0e}",
                "sparseness": "{:.3f}",
                "iterations": "{:.0f}",
                "seconds": "{:.2f}",
                "ms/iteration": "{:.3g}",
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
        for target, heading in zip(TARGETS, (f"to {100 * target:g} %" for target in TARGETS), strict=True):
            found = censored_median(findings.times_to(target, task, track, method))
            row |= {heading: found.median, f"seeds {100 * target:g} %": f"{found.reached} of {found.runs}"}
        rows.append(row)
    if rows:
        yield Table(
            f"times_{task}_{track}",
            f"{_heading(findings, task, track)}: seconds to a gap",
            pd.DataFrame(rows),
            {f"to {100 * target:g} %": "{:.4g}" for target in TARGETS},
            "Median over all seeds; a seed that never came so near counts as later than any.",
        )


def paired(findings: Findings, task: str, track: str) -> Iterator[Table]:
    """Each method against the one that ended best, seed by seed."""
    gaps = {method: runs.set_index("seed")["gap"] for method, runs in _by_method(findings, task, track)}
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
        f"{_heading(findings, task, track)}: against {leader}, from the same starts",
        frame,
        {"behind by": "{:+.3%}", "from": "{:+.3%}", "to": "{:+.3%}", "p (Holm)": "{:.3f}", "better with": "{:.2f}"},
        f"behind by: median over seeds of the gap minus that of {leader}, with its 95 % bootstrap interval. p: "
        "Wilcoxon's signed-rank test; five seeds cannot get below 0.062 before Holm's correction. better with: the "
        f"probability of ending below {leader}.",
    )


def held_out(findings: Findings, task: str, track: str) -> Iterator[Table]:
    """Codes of rows that nobody has seen."""
    rows, count = [], findings.tasks[task]["n_held_out"]
    for method, runs in _by_method(findings, task, track):
        runs = runs.reindex(columns=[*runs.columns, *(name for name in CODES if name not in runs.columns)])
        rows.append(
            {
                "method": method,
                "own codes": runs["own_codes_value"].median(),
                "exact codes": runs["exact_codes_value"].median(),
                "own above exact": (runs["own_codes_value"] / runs["exact_codes_value"] - 1).median(),
                "own, ms/1000 rows": 1e6 * runs["own_codes_seconds"].median() / max(count, 1),
                "exact, ms/1000 rows": 1e6 * runs["exact_codes_seconds"].median() / max(count, 1),
                "own, ms one row": 1e3 * runs["own_codes_row_seconds"].median(),
                "exact, ms one row": 1e3 * runs["exact_codes_row_seconds"].median(),
            }
        )
    if rows and count:
        yield Table(
            f"held_out_{task}_{track}",
            f"{_heading(findings, task, track)}: {count} held-out rows",
            pd.DataFrame(rows).sort_values("own codes", ignore_index=True),
            {
                "own codes": "{:.6g}",
                "exact codes": "{:.6g}",
                "own above exact": "{:+.3%}",
                "own, ms/1000 rows": "{:.3g}",
                "exact, ms/1000 rows": "{:.3g}",
                "own, ms one row": "{:.3g}",
                "exact, ms one row": "{:.3g}",
            },
            "The divergence with the codes that the method itself makes, and with exact codes on its components; "
            "medians over seeds.",
        )


def beyond(findings: Findings, task: str, track: str) -> Iterator[Table]:
    """What the loss does not say."""
    rows = []
    for method, runs in _by_method(findings, task, track):
        row: dict[str, Any] = {"method": method}
        components = findings.all_components(task, track, method)
        if len(components) > 1:
            alike = stability(components, torch.Generator().manual_seed(0))
            row |= {"cosine": alike.matched_cosine, "shuffled": alike.shuffled_cosine, "uniform": alike.uniform_cosine}
            row |= {"Amari": alike.amari_distance, "shuffled ": alike.shuffled_amari, "uniform ": alike.uniform_amari}
        row |= {name: runs[key].median() for name, key in QUALITIES.items() if key in runs and runs[key].notna().any()}
        rows.append(row)
    if any(len(row) > 1 for row in rows):
        yield Table(
            f"beyond_{task}_{track}",
            f"{_heading(findings, task, track)}: beyond the loss",
            pd.DataFrame(rows),
            {name: "{:.3f}" for row in rows for name in row if name != "method"},
            "cosine (1 is best) and Amari distance (0 is best): how alike the components of different seeds are, "
            "beside the same with entries shuffled, and uniform ones: what chance gives. Clusters: each row's "
            "strongest component. NPMI of the ten strongest features, these rows being the corpus; diversity of the 25 "
            "strongest. Medians over seeds.",
        )


def fairness(findings: Findings, task: str, track: str) -> Iterator[Table]:
    """How far the timings can be trusted."""
    rows = [
        {
            "method": method,
            "starts": runs["start"].nunique() if track == "shared" else "own",
            "first call, s": runs["warm_up_seconds"].median(),
            "processors busy": (runs["cpu_seconds"] / runs["seconds"]).median(),
            "in the system": (runs["system_seconds"] / runs["cpu_seconds"].clip(lower=1e-9)).median(),
            "switches/s": runs["switches_per_second"].median(),
            "most switches/s": runs["switches_per_second"].max(),
            "repeated": int((runs["attempts"] - 1).sum()),
        }
        for method, runs in _by_method(findings, task, track)
    ]
    if rows:
        yield Table(
            f"fairness_{task}_{track}",
            f"{_heading(findings, task, track)}: how fair it was",
            pd.DataFrame(rows),
            {
                "first call, s": "{:.3f}",
                "processors busy": "{:.2f}",
                "in the system": "{:.1%}",
                "switches/s": "{:.0f}",
                "most switches/s": "{:.0f}",
            },
            "first call: a first iteration, not counted, which compiles. switches: involuntary context switches; a "
            "quiet machine shows under 60 a second, a disturbed one over 160, and such runs are repeated.",
        )


def left_out(findings: Findings, task: str, track: str) -> Iterator[Table]:
    """Who took no part, or did not end as runs should, and why."""
    cells = findings.cells(task, track)
    odd = cells[~cells["status"].isin(["converged", "budget"])]
    if len(odd):
        frame = odd.groupby(["method", "status", "error"], dropna=False, sort=False)["seed"].nunique().reset_index()
        yield Table(
            f"left_out_{task}_{track}",
            f"{_heading(findings, task, track)}: left out, failed, diverged",
            frame.rename(columns={"seed": "seeds", "error": "because"})[["method", "status", "seeds", "because"]],
        )


TABLES = (final, times, paired, held_out, beyond, fairness, left_out)
CODES = tuple(f"{who}_codes_{what}" for who in ("own", "exact") for what in ("value", "seconds", "row_seconds"))
QUALITIES = {
    "accuracy": "accuracy",
    "NMI": "nmi",
    "ARI": "ari",
    "NPMI": "npmi",
    "diversity": "diversity",
    "recovery": "recovery",
}


def _by_method(findings: Findings, task: str, track: str) -> Iterator[tuple[str, Frame]]:
    runs = findings.finished(task, track)
    for method in findings.methods(task, track):
        yield method, runs[runs["method"] == method]


def _heading(findings: Findings, task: str, track: str) -> str:
    facts = findings.tasks[task]
    return f"{task}, {facts['divergence']}, {facts['n_components']} components, {track} start"


def _count(statuses: Any) -> str:
    counts = statuses.value_counts()
    return ", ".join(f"{count} {status}" for status, count in counts.items())

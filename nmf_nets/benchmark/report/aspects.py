"""What else there is to say of a method than how low it came: as tables of each task and track."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import torch

from nmf_nets.benchmark.recorder import ENDED_WELL, MARKS
from nmf_nets.benchmark.report.findings import Findings
from nmf_nets.benchmark.statistics import censored_median, median, time_to_target
from nmf_nets.metrics.stability import stability
from nmf_nets.pages.numbers import number, signed_percent
from nmf_nets.pages.table import Frame, Table

REFERENCES = ("scikit_learn_cd", "scikit_learn_mu")
"""Whose progress is what others are timed to."""


def held_out(findings: Findings, task: str, track: str) -> Iterator[Table]:
    """Codes of rows that nobody has seen."""
    rows, count = [], findings.tasks[task]["n_held_out"]
    for method, runs in findings.by_method(task, track):
        runs = runs.reindex(columns=[*runs.columns, *(name for name in CODES if name not in runs.columns)])
        rows.append(
            {
                "method": method,
                "own codes": median(runs["own_codes_value"]),
                "refined codes": median(runs["refined_codes_value"]),
                "exact codes": median(runs["exact_codes_value"]),
                "own above exact": median(runs["own_codes_value"] / runs["exact_codes_value"] - 1),
                "own, ms/1000 rows": 1e6 * median(runs["own_codes_seconds"]) / max(count, 1),
                "exact, ms/1000 rows": 1e6 * median(runs["exact_codes_seconds"]) / max(count, 1),
                "own, ms one row": 1e3 * median(runs["own_codes_row_seconds"]),
                "exact, ms one row": 1e3 * median(runs["exact_codes_row_seconds"]),
            }
        )
    if rows and count:
        yield Table(
            f"held_out_{task}_{track}",
            f"{findings.heading(task, track)}: {count} held-out rows",
            pd.DataFrame(rows).sort_values("own codes", ignore_index=True),
            {
                "own codes": "{:.6g}",
                "refined codes": "{:.6g}",
                "exact codes": "{:.6g}",
                "own above exact": signed_percent,
                "own, ms/1000 rows": number,
                "exact, ms/1000 rows": number,
                "own, ms one row": number,
                "exact, ms one row": number,
            },
            "The divergence with the codes that the method itself makes, after three half-steps, and with exact codes; "
            "medians over seeds.",
        )


def races(findings: Findings, task: str, track: str) -> Iterator[Table]:
    """Seconds to the values that scikit-learn's solvers have after 200 and 400 iterations, and to their ends."""
    curves = {method: findings.curves_by_seed(task, track, method) for method in findings.methods(task, track)}
    for reference in REFERENCES:
        if reference not in curves:
            continue
        lines = _lines(curves[reference])
        rows: list[dict[str, Any]] = []
        for method, runs in curves.items():
            row: dict[str, Any] = {"method": method}
            for line, values in lines.items():
                row[line] = _median_time(runs, values)
                row[f"{line}: ratio"] = _median_time(curves[reference], values) / row[line]
            rows.append(row)
        frame = pd.DataFrame(rows).sort_values(next(iter(lines)), kind="stable", ignore_index=True)
        yield Table(
            f"race_{reference}_{task}_{track}",
            f"{findings.heading(task, track)}: seconds to the values of {reference}",
            frame,
            {name: _ratio if name.endswith("ratio") else _seconds for name in frame.columns if name != "method"},
            "Seconds to the value that it has after so many iterations from the same start, and to within 1e-4 of its "
            "least; medians over seeds of the first measurement that is as low. ratio: its own seconds by these.",
        )


def _lines(runs: dict[int, Frame]) -> dict[str, dict[int, float]]:
    """What has to be reached, a value for each seed; marks that not all runs came to are left out."""
    lines = {}
    for mark in MARKS:
        there = {seed: run[run["iteration"] >= mark]["value"] for seed, run in runs.items()}
        if all(len(values) for values in there.values()):
            lines[f"after {mark}"] = {seed: float(values.iloc[0]) for seed, values in there.items()}
    return lines | {"its end + 1e-4": {seed: 1.0001 * float(run["value"].min()) for seed, run in runs.items()}}


def _median_time(runs: dict[int, Frame], values: dict[int, float]) -> float:
    """Over all seeds; one that did not end well, or never came so low, is later than any."""
    times = [
        time_to_target(runs[seed]["seconds"].to_numpy(), runs[seed]["value"].to_numpy(), value)
        if seed in runs
        else math.inf
        for seed, value in values.items()
    ]
    return censored_median(np.array(times)).median


def _seconds(value: float) -> str:
    return "never" if not math.isfinite(value) else f"{value:.3g}"


def _ratio(value: float) -> str:
    return "" if not value > 0 else f"× {value:.3g}"


def beyond(findings: Findings, task: str, track: str) -> Iterator[Table]:
    """What the loss does not say."""
    rows = []
    for method, runs in findings.by_method(task, track):
        row: dict[str, Any] = {"method": method}
        components = findings.all_components(task, track, method)
        if len(components) > 1:
            alike = stability(components, torch.Generator().manual_seed(0))
            row |= {"cosine": alike.matched_cosine, "Amari": alike.amari_distance}
            row |= {"cosine, shuffled": alike.shuffled_cosine, "Amari, shuffled": alike.shuffled_amari}
            row |= {"cosine, uniform": alike.uniform_cosine, "Amari, uniform": alike.uniform_amari}
        row |= {name: median(runs[key]) for name, key in QUALITIES.items() if key in runs and runs[key].notna().any()}
        rows.append(row)
    if any(len(row) > 1 for row in rows):
        yield Table(
            f"beyond_{task}_{track}",
            f"{findings.heading(task, track)}: beyond the loss",
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
            "first call, ms": 1e3 * median(runs["warm_up_seconds"]),
            "processors busy": median(runs["cpu_seconds"] / runs["seconds"]),
            "in the system": median(runs["system_seconds"] / runs["cpu_seconds"].clip(lower=1e-9)),
            "switches/s": median(runs["switches_per_second"]),
            "most switches/s": runs["switches_per_second"].max(),
            "repeated": int((runs["attempts"] - 1).sum()),
        }
        for method, runs in findings.by_method(task, track)
    ]
    if rows:
        yield Table(
            f"fairness_{task}_{track}",
            f"{findings.heading(task, track)}: timings",
            pd.DataFrame(rows),
            {
                "first call, ms": number,
                "processors busy": "{:.2f}",
                "in the system": "{:.1%}",
                "switches/s": "{:.0f}",
                "most switches/s": "{:.0f}",
            },
            "first call: a first iteration, not counted, which compiles. switches: involuntary context switches; a "
            "quiet machine shows under 60 a second, a disturbed one over 160, and such runs are repeated.",
        )


def left_out(findings: Findings, task: str, track: str) -> Iterator[Table]:
    """Who took no part, did not end as runs should, or could not code held-out rows, and why."""
    cells = findings.cells(task, track)
    odd = cells[~cells["status"].isin(ENDED_WELL)]
    if "own_codes_error" in cells:
        codeless = cells[cells["own_codes_error"].notna()]
        odd = pd.concat([odd, codeless.assign(status="no codes", error=codeless["own_codes_error"])])
    if len(odd):
        frame = odd.groupby(["method", "status", "error"], dropna=False, sort=False)["seed"].nunique().reset_index()
        yield Table(
            f"left_out_{task}_{track}",
            f"{findings.heading(task, track)}: left out, failed, diverged",
            frame.rename(columns={"seed": "seeds", "error": "because"})[["method", "status", "seeds", "because"]],
        )


CODES = tuple(
    f"{who}_codes_{what}" for who in ("own", "refined", "exact") for what in ("value", "seconds", "row_seconds")
)
QUALITIES = {
    "accuracy": "accuracy",
    "NMI": "nmi",
    "ARI": "ari",
    "NPMI": "npmi",
    "diversity": "diversity",
    "recovery": "recovery",
}

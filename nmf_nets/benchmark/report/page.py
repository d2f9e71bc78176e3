"""The page of a comparison: one HTML file that asks for nothing but a browser."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from nmf_nets.benchmark.report.charts import Chart, gap_charts, profile_charts
from nmf_nets.benchmark.report.findings import Findings
from nmf_nets.benchmark.report.pictures import PIXELS, Shown, components
from nmf_nets.benchmark.report.sentences import ending, speed, starts
from nmf_nets.pages.numbers import count
from nmf_nets.pages.page import rendered
from nmf_nets.pages.palette import Style, styles
from nmf_nets.pages.table import Table

HERE = Path(__file__).parent


def page(findings: Findings, tables: Sequence[Table], day: date | None = None) -> str:
    """HTML; day: of the comparison, by default what its environment says. Names and words are foreign and escaped."""
    results, drawn = findings.results, styles(findings.results.cells["method"])
    return rendered(
        HERE / "page.html",
        day=day or date.fromisoformat(results.environment.get("day", date.today().isoformat())),
        protocol=protocol(results.environment.get("protocol", {})),
        environment=results.environment,
        seeds=results.cells["seed"].nunique(),
        drawn=drawn,
        sections=list(sections(findings, tables, drawn)),
        profiles=list(profile_charts(findings, drawn)),
        starts=starts(findings),
        fairness=list(fairness_tables(findings)),
        timings=[table for table in tables if _is_fairness(table)],
        others=[table for table in tables if not _is_fairness(table) and table.about is None],
        command=shlex.join(["nmf-benchmark", *(results.environment.get("command") or [""])[1:]]),
        plotly=Markup(get_plotlyjs()),
    )


@dataclass(frozen=True)
class Section:
    """One task from one kind of start."""

    task: str
    track: str
    heading: str
    facts: dict[str, Any]
    said: list[str]
    charts: list[Chart]
    methods: list[str]
    tables: list[Table]
    components: list[Shown]


def sections(findings: Findings, tables: Sequence[Table], drawn: dict[str, Style]) -> Iterator[Section]:
    pixels = PIXELS / max(1, sum(len(findings.methods(*pair)) for pair in findings.pairs))
    for task, track in findings.pairs:
        own = [table for table in tables if table.about == (task, track) and not _is_fairness(table)]
        yield Section(
            task,
            track,
            findings.heading(task, track),
            findings.tasks[task],
            [ending(findings, task, track, own), *speed(findings, task, track)],
            gap_charts(findings, task, track, drawn),
            findings.methods(task, track),
            own,
            list(components(findings, task, track, pixels)),
        )


def _is_fairness(table: Table) -> bool:
    return table.name.startswith("fairness_")


def protocol(said: Mapping[str, Any]) -> str:
    """How long, how often, until when."""
    if not said:
        return "The protocol is not known."
    parts = [count(said["seeds"], "seed"), f"{said['seconds']:g} s of working time for each run"]
    parts += [f"or {count(said['iterations'], 'iteration')}"] if said.get("iterations") else []
    parts += [f"or until the KKT residual is below {said['tolerance']:g}"] if said.get("tolerance") else []
    measured = f"measured whenever iterations or seconds have grown by a factor of {said['growth']:g}"
    repeated = f"repeated at most {count(said['retries'], 'time')} if it saw more than {said['disturbance']:g}"
    return f"{', '.join(parts)}; {measured}; {repeated} involuntary context switches a second."


def fairness_tables(findings: Findings) -> Iterator[Table]:
    """Best known values, shared starts, versions."""
    best = [
        {"task": task, "value": value, "found by": _origin(findings, task)} for task, value in findings.best.items()
    ]
    if best:
        yield Table("best_known", "Best known values", pd.DataFrame(best), {"value": "{:.9g}"})
    cells = findings.results.cells
    if "start" in cells and cells["start"].notna().any():
        counts = cells.dropna(subset="start").groupby(["task", "seed", "start"])["method"].nunique().reset_index()
        yield Table("starts", "Shared starts", counts.rename(columns={"start": "fingerprint", "method": "methods"}))
    environment = findings.results.environment
    versions = {"python": environment.get("python"), **(environment.get("packages") or {})}
    there = [(package, version) for package, version in versions.items() if version is not None]
    yield Table("versions", "Versions", pd.DataFrame(there, columns=pd.Index(["package", "version"])))


def _origin(findings: Findings, task: str) -> str:
    records = findings.results.records
    records = records[records["task"] == task]
    least = records.loc[records["value"].idxmin()] if len(records) else None
    if least is None or least["value"] > findings.best[task]:
        return findings.tasks[task].get("best_known_by") or "an earlier comparison"
    return f"{least['method']}, {least['track']} start, seed {least['seed']}, among these runs"

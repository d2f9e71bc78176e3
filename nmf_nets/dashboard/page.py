"""The page of all runs: one HTML file that asks for nothing but a browser."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nmf_nets.dashboard.collection import Collection
from nmf_nets.loggers.base import label
from nmf_nets.pages.numbers import duration, six_digits
from nmf_nets.pages.page import rendered
from nmf_nets.pages.palette import COLORS, DASHES
from nmf_nets.pages.table import sortable
from nmf_nets.report.charts import floored, gap, rounded, solvers
from nmf_nets.report.run import Run

HERE = Path(__file__).parent

ALWAYS = ("data", "divergence", "encoder", "n_components")
"""Choices that every run is shown with."""

FIGURES: dict[str, tuple[str, Callable[[Any], str]]] = {
    "D": ("divergence_value", six_digits),
    "gap": ("gap", "{:+.3%}".format),
    "error": ("relative_error", "{:.4f}".format),
    "KKT": ("kkt_residual", "{:.1e}".format),
    "dead": ("dead_components", "{:g}".format),
    "time": ("seconds", duration),
}
"""Heading of a figure, its name in the summary, and how it is written."""

FIRST = 6
"""So many runs are drawn before any is chosen."""


@dataclass(frozen=True)
class Row:
    """A run in the table: what it is compared by, and its final figures as text and value; href: of its report."""

    label: str
    href: str
    began: str
    state: str
    choices: dict[str, str]
    figures: list[tuple[str, str]]


def page(collection: Collection, href: Callable[[str, Run], str]) -> str:
    """HTML; href: where the report of a run is found. All that runs call themselves is foreign and escaped."""
    runs = collection.runs
    columns = [*ALWAYS, *_differing(list(runs.values()))]
    rows = [_row(name, run, columns, href(name, run)) for name, run in runs.items()]
    return rendered(
        HERE / "page.html",
        "plot",
        rows=rows,
        columns=columns,
        figures=list(FIGURES),
        groups=["sweep", *(name for name in columns if len({row.choices[name] for row in rows}) > 1)],
        roots=[label(root) for root in collection.roots],
        skipped=collection.skipped,
        curves={name: _curves(run) for name, run in runs.items()},
        looks={"colors": COLORS, "dashes": [dash for _, dash in DASHES], "first": FIRST},
    )


def _differing(runs: Sequence[Run]) -> Iterator[str]:
    """What some command lines chose and not all runs have alike, beyond what is shown anyway."""
    for name in dict.fromkeys(name for run in runs for name in run.parameters):
        if name not in ALWAYS and len({run.choice(name) for run in runs}) > 1:
            yield name


def _row(name: str, run: Run, columns: Sequence[str], href: str) -> Row:
    began = "" if run.began is None else run.began.isoformat(" ", "minutes")
    figures = []
    for key, written in FIGURES.values():
        found = run.summary.get(key)
        is_number = isinstance(found, int | float)
        figures.append((written(found), sortable(found)) if is_number else ("—", ""))
    choices = {column: run.choice(column) for column in columns}
    sweep = "" if run.sweep is None else label(run.sweep)
    return Row(name, href, began, "" if run.ended else "unfinished", {"sweep": sweep, **choices}, figures)


def _curves(run: Run) -> dict[str, Any]:
    least = min(solvers(run.summary).values(), default=0.0)
    loss = run.values("training/divergence")
    gaps = [gap(D, least) for D in loss] if least > 0 else [None] * len(loss)
    behind = "validation/code_gap" if run.has("validation/code_gap") else "training/code_gap"
    return {
        "x": {"steps": [line["step"] for line in run.measured], "seconds": rounded(run.values("seconds"))},
        "end": run.summary.get("gap") if run.ended else None,
        "gap": rounded(gaps),
        "loss": rounded(loss),
        "code_gap": rounded(floored(run.values(behind))),
        "kkt": rounded(run.values("kkt_residual")),
    }

"""The curves of a run."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nmf_nets.pages.numbers import LEAST_GAP
from nmf_nets.pages.palette import COLORS
from nmf_nets.report.run import Run

OWN, EXACT, HELD_OUT, SOLVER, PEER, REFINED = COLORS[:6]


@dataclass(frozen=True)
class Chart:
    """Lines over the axes of a run, and levels, as `pages/plot.js` draws them; about: for those who cannot see them."""

    caption: str
    about: str
    lines: list[dict[str, Any]]
    levels: list[dict[str, Any]] = field(default_factory=list)
    log: bool = True
    percent: bool = False
    whole: bool = False

    @property
    def spec(self) -> dict[str, Any]:
        axes = {name: name for name in (self.lines[0]["x"] if self.lines else ())}
        y = {"log": self.log, "percent": self.percent, "whole": self.whole}
        return {"x": axes, "y": y, "lines": self.lines, "levels": self.levels}


def charts(run: Run) -> Iterator[Chart]:
    """Those of which something was measured."""

    def line(name: str, key: str, color: str, dash: str = "solid") -> Iterator[dict[str, Any]]:
        if run.has(key):
            yield {"name": name, "color": color, "dash": dash, "x": run.axes, "y": rounded(run.values(key))}

    def compared(rows: str) -> list[dict[str, Any]]:
        return [
            *line("own codes", f"{rows}/divergence", OWN),
            *line("refined codes", f"{rows}/refined_codes", REFINED, "dashdot"),
            *line("exact codes", f"{rows}/exact_codes", EXACT, "dash"),
        ]

    best = solvers(run.summary)
    levels = [
        {"name": name, "color": color, "value": value}
        for (name, value), color in zip(best.items(), (SOLVER, PEER), strict=False)
    ]
    trained = compared("training")
    least = min(best.values(), default=0.0)
    if least > 0:
        gaps = [{**found, "y": [gap(D, least) for D in found["y"]]} for found in trained]
        above = [{**level, "value": gap(level["value"], least)} for level in levels]
        yield Chart("Gap", "how far D stands above the best classical value", gaps, above, percent=True)
    yield Chart("Loss", "the divergence D of training rows", trained, levels)
    if held := compared("validation"):
        yield Chart("Loss, validation rows", "the divergence D of validation rows", held)
    code_gaps = [
        *line("training rows", "training/code_gap", OWN),
        *line("validation rows", "validation/code_gap", HELD_OUT, "dash"),
    ]
    if code_gaps:
        shown = [{**found, "y": floored(found["y"])} for found in code_gaps]
        yield Chart("Own codes above exact codes", "on the same W", shown, percent=True)
    if residual := [*line("KKT residual", "kkt_residual", OWN)]:
        yield Chart("KKT residual", "0 at a stationary point", residual)
    if sparseness := [*line("mean of components", "sparseness", OWN)]:
        yield Chart("Sparseness of W", "Hoyer's, from 0 to 1", sparseness, log=False)
    if dead := [*line("components", "dead_components", OWN)]:
        yield Chart("Dead components", "how many explain nothing", dead, log=False, whole=True)
    accuracy = [
        *line("training rows", "training/accuracy", OWN),
        *line("validation rows", "validation/accuracy", HELD_OUT, "dash"),
    ]
    if accuracy:
        yield Chart("Accuracy of the head", "rows named right", accuracy, log=False, percent=True)


def solvers(summary: Mapping[str, Any]) -> dict[str, float]:
    """The best that each of the classical sides reached from the same start."""
    named = {"best solver": summary.get("classical_value"), "scikit-learn": summary.get("sklearn_value")}
    return {name: value for name, value in named.items() if value is not None}


def gap(value: float | None, least: float) -> float | None:
    """Above the least, and no less than what a chart of gaps shows."""
    return None if value is None else max(value / least - 1, LEAST_GAP)


def floored(gaps: Sequence[float | None]) -> list[float | None]:
    """No less than what a chart of gaps shows."""
    return [None if gap is None else max(gap, LEAST_GAP) for gap in gaps]


def rounded(values: Sequence[float | None]) -> list[float | None]:
    """To seven digits, which a page can hold."""
    return [None if value is None else float(f"{value:.7g}") for value in values]

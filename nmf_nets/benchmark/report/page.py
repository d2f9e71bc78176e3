"""The page of a comparison: one HTML file that asks for nothing but a browser."""

import base64
import math
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from matplotlib.image import imsave
from plotly.offline import get_plotlyjs
from scipy.optimize import linear_sum_assignment

from nmf_nets.benchmark.report.figures import LEAST_GAP, PROFILED, by_divergence, percent, profiles
from nmf_nets.benchmark.report.findings import TARGETS, Findings
from nmf_nets.benchmark.report.palette import Style, styles
from nmf_nets.benchmark.report.table import Table
from nmf_nets.benchmark.statistics import Interval, censored_median

HERE = Path(__file__).parent

FEW = 5
"""Bootstrap intervals of fewer seeds hold the true value too seldom to settle anything."""


def page(findings: Findings, tables: Sequence[Table], day: date | None = None) -> str:
    """HTML; day: when it was made, today if not given. Names and words are foreign text, and are escaped."""
    jinja = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    jinja.filters["breakable"] = lambda name: escape(name).replace("_", Markup("_<wbr>"))
    results, drawn = findings.results, styles(findings.results.cells["method"])
    return jinja.get_template("page.html").render(
        day=day or date.today(),
        environment=results.environment,
        seeds=results.cells["seed"].nunique(),
        drawn=drawn,
        sections=list(sections(findings, tables, drawn)),
        profiles=list(profile_charts(findings, drawn)),
        starts=starts(findings),
        fairness=list(fairness_tables(findings)),
        timings=[table for table in tables if _is_fairness(table)],
        others=[table for table in tables if not _is_fairness(table) and _pair(findings, table) is None],
        command=shlex.join(["nmf-benchmark", *(results.environment.get("command") or [""])[1:]]),
        count=_count,
        rows=_rows,
        csv=lambda table: f"data:text/csv;charset=utf-8,{quote(table.csv())}",
        style=Markup((HERE / "page.css").read_text("utf-8")),
        script=Markup((HERE / "page.js").read_text("utf-8")),
        plotly=Markup(get_plotlyjs()),
    )


# Sections -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Chart:
    """A plotly figure as JSON, in which plotly writes < so that it can stand in a script element."""

    caption: str
    json: Markup

    @classmethod
    def of(cls, caption: str, traces: Iterable[go.Scatter], **layout: Any) -> "Chart":
        clear = dict.fromkeys(("paper_bgcolor", "plot_bgcolor", "modebar_bgcolor"), "rgba(0,0,0,0)")
        quiet = {"template": "none", "showlegend": False, "hovermode": "closest"}
        figure = go.Figure(list(traces), clear | quiet | {"margin": {"l": 52, "r": 26, "t": 10, "b": 44}} | layout)
        return cls(caption, Markup(figure.to_json()))


@dataclass(frozen=True)
class Shown:
    """Components of the run in the middle, in the order that matches those of the method that ended best.

    alike: the mean cosine with these; picture: a data URI, empty if the data are no images; words: of each component.
    """

    method: str
    alike: float
    picture: str
    words: list[list[str]]


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
        own = [table for table in tables if _pair(findings, table) == (task, track) and not _is_fairness(table)]
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


def _pair(findings: Findings, table: Table) -> tuple[str, str] | None:
    """The task and the track that a table is about: the longest that its name ends with."""
    found = [pair for pair in findings.pairs if table.name.endswith("_" + "_".join(pair))]
    return max(found, key=lambda pair: len(pair[0]), default=None)


def _rows(table: Table) -> Iterator[tuple[str | None, list[tuple[str, str, bool]]]]:
    """The method of each row, if it has one, and of its cells the text, the value to sort by, whether they are text."""
    is_text = [table.is_text(column) for column in table.frame.columns]
    for texts, values in zip(table.cells, table.frame.itertuples(index=False, name=None), strict=True):
        method = values[0] if table.frame.columns[0] == "method" else None
        yield method, list(zip(texts, map(_sortable, values), is_text, strict=True))


def _sortable(value: Any) -> str:
    """As JavaScript reads it; empty if missing."""
    if isinstance(value, str):
        return value
    return "" if pd.isna(value) else str(value).replace("inf", "Infinity")


# What is said ---------------------------------------------------------------------------------------------------------


def ending(findings: Findings, task: str, track: str, tables: Sequence[Table]) -> str:
    """Who ended lowest, and who cannot be told apart from it, since their 95 % intervals overlap."""
    final = next((table.frame for table in tables if table.name.startswith("final_")), None)
    if final is None:
        return "No method ended as it should; the table says who was left out and why."
    ended = findings.finished(task, track).groupby("method")["seed"].nunique()
    begun = findings.cells(task, track).groupby("method")["seed"].nunique()
    (leader, best), *others = [
        (row["method"], Interval(row["gap"], row["from"], row["to"]))
        for row in final.sort_values("gap", kind="stable").to_dict("records")
    ]
    lowest = f"{leader} {'ended lowest' if others else 'alone ended as it should'}: gap {_interval(best)}"
    if ended[leader] < begun[leader]:
        lowest += f", in those {ended[leader]} of its {begun[leader]} seeds that ended as they should"
    if not others:
        return f"{lowest}."
    if near := [f"that of {name} ({_percent(end.value)})" for name, end in others if end.overlaps(best)]:
        return f"{lowest}. Its interval overlaps {_listed(near)}, so there is no winner among them."
    name, following = others[0]
    apart = f"{lowest}; next is {name} with {_interval(following)}."
    if (fewest := ended.min()) == 1:
        return f"{apart} One seed cannot tell whether that is luck."
    if fewest < FEW:
        return f"{apart} Their intervals do not overlap, but {fewest} seeds prove little."
    return f"{apart} No other interval overlaps that of {leader}."


def speed(findings: Findings, task: str, track: str) -> Iterator[str]:
    """Median seconds to come near the best known value, of those methods that did so in most seeds."""
    methods = findings.methods(task, track)
    for target in (PROFILED, TARGETS[0]):
        medians = {name: censored_median(findings.times_to(target, task, track, name)).median for name in methods}
        arrived = sorted((time, name) for name, time in medians.items() if math.isfinite(time))
        if arrived:
            late = len(methods) - len(arrived)
            said = _listed([f"{name} after {_time(time)}" for time, name in arrived])
            said += f"; {late} {'other' if late == 1 else 'others'} not in most seeds" if late else ""
            yield f"Within {_percent(target)} of the best known value: {said}."
            return
    if methods:
        yield f"No method came within {_percent(TARGETS[0])} of the best known value in most seeds."


def starts(findings: Findings) -> str:
    """Whether the shared starts were indeed one."""
    cells = findings.results.cells
    shared = cells[cells["track"] == "shared"].dropna(subset="start") if "start" in cells else cells[:0]
    if shared.empty:
        return "Every method made its own start, on the clock."
    counts = shared.groupby(["task", "seed"])["start"].nunique()
    if len(differing := counts[counts > 1]):
        task, seed = differing.index[0]
        return f"The shared starts differ: task {task}, seed {seed} has {differing.iloc[0]}. Do not compare these runs."
    said = "From a shared start, all methods began at the same factors, bit by bit; their fingerprints are below."
    return said if len(shared) == len(cells) else f"{said} Own starts were made by each method, on the clock."


NO_BREAK = "\N{NO-BREAK SPACE}"


def _interval(gap: Interval) -> str:
    if gap.low == gap.high:
        return _percent(gap.value)
    low, high = _percent(gap.low).removesuffix(f"{NO_BREAK}%"), _percent(gap.high)
    return f"{_percent(gap.value)} (95{NO_BREAK}% interval {low}–{high})"


def _percent(gap: float) -> str:
    return f"{_number(100 * gap)}{NO_BREAK}%" if gap > LEAST_GAP else f"<{_number(100 * LEAST_GAP)}{NO_BREAK}%"


def _time(seconds: float) -> str:
    return f"{_number(1e3 * seconds)}{NO_BREAK}ms" if seconds < 0.1 else f"{_number(seconds)}{NO_BREAK}s"


def _number(x: float) -> str:
    """Three digits, without an exponent."""
    return f"{float(f'{x:.3g}'):,.10g}"


def _listed(names: Sequence[str], most: int = 4) -> str:
    shown = [*names[:most], f"{len(names) - most} more"] if len(names) > most else list(names)
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun if number == 1 else noun + 's'}"


# Charts ---------------------------------------------------------------------------------------------------------------

AXES: dict[str, tuple[str, Callable[[float], str]]] = {
    "seconds": ("seconds", _time),
    "iteration": ("iterations (epochs of a net)", lambda count: f"{count:,g}"),
}

MOST_GAP = 1e3
"""Where an axis of gaps ends at the latest."""

GREY = "rgba(128,128,128,{})"
"""Seen on white and on black."""

SAID = "<b>%{fullData.name}</b><br>"


def gap_charts(findings: Findings, task: str, track: str, drawn: dict[str, Style]) -> list[Chart]:
    """Median gap with quartiles, over seconds and over iterations, on one scale of gaps."""
    methods = findings.methods(task, track)
    if not methods:
        return []
    curves = {axis: {name: findings.middle(task, track, name, axis) for name in methods} for axis in AXES}
    bands = np.concatenate([curve[["low", "high"]] for found in curves.values() for curve in found.values()])
    low, high = max(min(*bands.min(0), TARGETS[-1]), LEAST_GAP), min(max(*bands.max(0), TARGETS[0]), MOST_GAP)
    targets = [
        {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": target, "y1": target, "layer": "below"}
        | {"line": {"color": GREY.format(0.6), "width": 1, "dash": "dot"}}
        for target in TARGETS
    ]
    charts = []
    for axis, (title, written) in AXES.items():
        along = np.concatenate([curve[axis] for curve in curves[axis].values()])
        traces = (trace for name in methods for trace in _curve(name, drawn[name], curves[axis][name], axis))
        across = _log_axis(along.min(), along.max(), written) | {"title": {"text": title}}
        caption = "Gap over seconds" if axis == "seconds" else "Gap over iterations"
        gaps = _log_axis(low, high, percent) | {"automargin": True}
        charts.append(Chart.of(caption, traces, xaxis=across, yaxis=gaps, shapes=targets))
    return charts


def _curve(method: str, style: Style, curve: pd.DataFrame, axis: str) -> Iterator[go.Scatter]:
    """Band, line, and a dot where it ends."""
    x = curve[axis].to_numpy("f4")
    low, middle, high = (curve[name].clip(lower=LEAST_GAP).to_numpy("f4") for name in ("low", "gap", "high"))
    hover = f"{SAID}%{{x:.3~r}} {'seconds' if axis == 'seconds' else 'iterations'}<br>gap %{{y:.3~p}}"
    if (low < high).any():
        there_and_back = {"x": np.concatenate([x, x[::-1]]), "y": np.concatenate([high, low[::-1]])}
        filled = {"fill": "toself", "fillcolor": _faint(style.color), "line": {"width": 0}, "mode": "lines"}
        yield go.Scatter(meta=method, **there_and_back, **filled, hoverinfo="skip")
        hover += "<br>quartiles %{customdata[0]:.3~p} – %{customdata[1]:.3~p}"
    said = {"meta": method, "name": str(escape(method)), "hovertemplate": f"{hover}<extra></extra>"}
    quartiles = np.stack([low, high], axis=1)
    line = {"color": style.color, "dash": style.dash, "width": 2}
    yield go.Scatter(**said, x=x, y=middle, customdata=quartiles, mode="lines", line=line)
    dot = {"color": style.color, "size": 7}
    yield go.Scatter(**said, x=x[-1:], y=middle[-1:], customdata=quartiles[-1:], mode="markers", marker=dot)


def profile_charts(findings: Findings, drawn: dict[str, Style]) -> Iterator[Chart]:
    """Dolan and Moré's, one for each divergence and track."""
    times = _log_axis(1, 1e3, lambda tau: f"{tau:,g}{NO_BREAK}×") | {"title": {"text": "times the least time of all"}}
    part = {"range": [-0.03, 1.03], "tickformat": ".0%", "gridcolor": GREY.format(0.18), "zeroline": False}
    for track in dict.fromkeys(track for _, track in findings.pairs):
        for divergence, tasks in by_divergence(findings, track).items():
            if set.intersection(*(set(findings.methods(task, track)) for task in tasks)):
                curves = profiles(findings, tasks, track).items()
                traces = (_profile(method, drawn[method], *curve) for method, curve in curves)
                caption = f"{divergence}, {track} start: {', '.join(tasks)}"
                yield Chart.of(caption, traces, xaxis=times, yaxis=part)


def _profile(method: str, style: Style, taus: np.ndarray, part: np.ndarray) -> go.Scatter:
    return go.Scatter(
        meta=method,
        name=str(escape(method)),
        x=taus.astype("f4"),
        y=part.astype("f4"),
        mode="lines",
        line={"color": style.color, "dash": style.dash, "width": 2, "shape": "hv"},
        hovertemplate=f"{SAID}%{{y:.0%}} of the runs<br>in %{{x:.3~r}} × the least time<extra></extra>",
    )


def _log_axis(low: float, high: float, written: Callable[[float], str]) -> dict[str, Any]:
    """With plain words at powers of ten, and between them if they are few."""
    first, last = math.log10(low), math.log10(high)
    steps = (1,) if last - first >= 3 else (1, 3) if last - first > 1 else (1, 2, 5)
    ticks = [k * 10.0**e for e in range(math.floor(first), math.ceil(last) + 1) for k in steps]
    margin = max(0.02 * (last - first), 0.02)
    return {
        "type": "log",
        "range": [first - margin, last + margin],
        "tickvals": ticks,
        "ticktext": [written(float(f"{tick:.3g}")) for tick in ticks],
        "tickangle": 0,
        "gridcolor": GREY.format(0.18),
        "zeroline": False,
    }


def _faint(color: str) -> str:
    return f"rgba({','.join(str(int(color[i : i + 2], 16)) for i in (1, 3, 5))},0.15)"


# Components -----------------------------------------------------------------------------------------------------------

PICTURES, TOPICS = 16, 20
"""So many components are shown of each method."""

PIXELS = 400_000
"""Of all pictures of a page; larger ones are made coarser."""

PAPER = 238
"""How light a pixel is where a component is zero."""


def components(findings: Findings, task: str, track: str, pixels: float) -> Iterator[Shown]:
    """Of each method, if there is something to see: a picture of at most so many pixels, words."""
    shape, leader = findings.tasks[task].get("image_shape"), None
    is_image = isinstance(shape, Sequence) and len(shape) == 2
    if not is_image and "top_features" not in findings.results.cells:
        return
    for method, runs in findings.by_method(task, track):
        middle = runs.sort_values(["gap", "seed"]).iloc[(len(runs) - 1) // 2]
        W = findings.results.components(middle["key"]).double().numpy()
        leader = W if leader is None else leader
        order, alike = _matched(W, leader)
        picture = _strip(W[order[:PICTURES]].reshape(-1, *shape), pixels) if is_image else ""
        words = middle.get("top_features")
        yield Shown(method, alike, picture, [words[k] for k in order[:TOPICS]] if isinstance(words, Sequence) else [])


def _matched(W: np.ndarray, leader: np.ndarray) -> tuple[np.ndarray, float]:
    """The order of the rows of W that matches those of the leader best, and the mean cosine of such pairs."""
    W, leader = (M / np.linalg.norm(M, axis=1, keepdims=True).clip(1e-300) for M in (W, leader))
    cosines = leader @ W.T
    rows, order = linear_sum_assignment(cosines, maximize=True)
    return order, float(cosines[rows, order].mean())


def _strip(tiles: np.ndarray, pixels: float) -> str:
    """Side by side, each on its own scale, dark where it is strong, with a clear line between; a data URI."""
    n, height, width = tiles.shape
    k = min(math.ceil(math.sqrt(tiles.size / pixels)), height, width)
    height, width = height // k, width // k
    tiles = tiles[:, : height * k, : width * k].reshape(n, height, k, width, k).mean((2, 4))
    grey = PAPER * (1 - tiles / tiles.max((1, 2), keepdims=True).clip(1e-300))
    rgba = np.stack([grey, grey, grey, np.full_like(grey, 255)], axis=-1)
    rgba = np.pad(rgba, ((0, 0), (0, 0), (0, 1), (0, 0))).transpose(1, 0, 2, 3).reshape(height, -1, 4)[:, :-1]
    found = BytesIO()
    imsave(found, rgba.astype(np.uint8), format="png", pil_kwargs={"optimize": True})
    return f"data:image/png;base64,{base64.b64encode(found.getvalue()).decode()}"


# How fair it was ------------------------------------------------------------------------------------------------------


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
    yield Table("versions", "Versions", pd.DataFrame(there, columns=["package", "version"]))


def _origin(findings: Findings, task: str) -> str:
    records = findings.results.records
    records = records[records["task"] == task]
    least = records.loc[records["value"].idxmin()] if len(records) else None
    if least is None or least["value"] > findings.best[task]:
        return "a longer search or an earlier comparison"
    return f"{least['method']}, {least['track']} start, seed {least['seed']}, among these runs"

"""The page of a comparison: one HTML file that asks for nothing but a browser."""

import base64
import math
import shlex
from collections.abc import Iterable, Iterator, Sequence
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

PICTURES, TOPICS = 16, 20
"""So many components are shown of each method."""

PIXELS = 400_000
"""Of all pictures of a page; larger ones are made coarser."""


def page(findings: Findings, tables: Sequence[Table], day: date | None = None) -> str:
    """HTML; day: when it was made, today if not given."""
    template = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).get_template("page.html")
    drawn, results = styles(findings.results.cells["method"]), findings.results
    return template.render(
        day=day or date.today(),
        results=results,
        drawn=drawn,
        sections=list(sections(findings, tables, drawn)),
        profiles=list(profile_charts(findings, drawn)),
        fairness=[*fairness_tables(findings), *(table for table in tables if _is_fairness(table))],
        others=[table for table in tables if _pair(findings, table) is None and not _is_fairness(table)],
        starts=starts_said(findings),
        command=_command(results.environment.get("command") or []),
        count=_count,
        rows=_rows,
        title_of=_title,
        csv_of=lambda table: f"data:text/csv;charset=utf-8,{quote(table.csv())}",
        heading_of=lambda table: table.title.partition(": ")[0],
        style=Markup((HERE / "page.css").read_text()),
        script=Markup((HERE / "page.js").read_text()),
        plotly=Markup(get_plotlyjs()),
    )


# Sections -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Chart:
    """A plotly figure as JSON that is safe within a script element."""

    caption: str
    json: Markup

    @classmethod
    def of(cls, caption: str, traces: Iterable[go.Scatter], **axes: Any) -> "Chart":
        layout = {
            "template": "none",
            "showlegend": False,
            "hovermode": "closest",
            "margin": {"l": 64, "r": 14, "t": 10, "b": 44},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            **axes,
        }
        figure = go.Figure(list(traces), layout)
        return cls(caption, Markup(str(figure.to_json()).replace("<", "\\u003c")))


@dataclass(frozen=True)
class Shown:
    """The components of one method, in the order of those of the method that ended best.

    alike: the mean cosine with these; parts: a picture, or words of each.
    """

    method: str
    alike: float
    parts: Any


@dataclass(frozen=True)
class Section:
    """One task from one kind of start; pictures and topics are empty where there is nothing to see."""

    anchor: str
    task: str
    track: str
    facts: dict[str, Any]
    said: list[str]
    charts: list[Chart]
    methods: list[str]
    tables: list[Table]
    pictures: list[Shown]
    topics: list[Shown]


def sections(findings: Findings, tables: Sequence[Table], drawn: dict[str, Style]) -> Iterator[Section]:
    pixels = PIXELS / max(1, sum(len(findings.methods(*pair)) for pair in findings.pairs))
    for number, (task, track) in enumerate(findings.pairs):
        own = [table for table in tables if _pair(findings, table) == (task, track) and not _is_fairness(table)]
        final = next((table.frame for table in own if table.name.startswith("final_")), None)
        yield Section(
            f"section-{number}",
            task,
            track,
            findings.tasks[task],
            [ending(final, findings.finished(task, track)["seed"].nunique()), *speed(findings, task, track)],
            gap_charts(findings, task, track, drawn),
            findings.methods(task, track),
            own,
            list(pictures(findings, task, track, pixels)),
            list(topics(findings, task, track)),
        )


def _is_fairness(table: Table) -> bool:
    return table.name.startswith("fairness_")


def _pair(findings: Findings, table: Table) -> tuple[str, str] | None:
    """The task and the track that a table is about: the longest that its name ends with."""
    found = [pair for pair in findings.pairs if table.name.endswith("_" + "_".join(pair))]
    return max(found, key=lambda pair: len(pair[0]), default=None)


def _title(table: Table) -> str:
    """Without the heading of its section."""
    title = table.title.partition(": ")[2] or table.title
    return title[:1].upper() + title[1:]


def _rows(table: Table) -> Iterator[tuple[str | None, list[tuple[str, str, bool]]]]:
    """Method of a row, if it has one, and text, sortable value and being text or not of its cells."""
    is_text = [table.is_text(column) for column in table.frame.columns]
    for texts, values in zip(table.cells, table.frame.itertuples(index=False, name=None), strict=True):
        method = values[0] if table.frame.columns[0] == "method" else None
        yield method, list(zip(texts, map(_sortable, values), is_text, strict=True))


def _sortable(value: Any) -> str:
    """As JavaScript reads it; empty if missing."""
    if isinstance(value, str):
        return value
    if pd.isna(value):
        return ""
    return str(value).replace("inf", "Infinity")


# What is said ---------------------------------------------------------------------------------------------------------


def ending(final: pd.DataFrame | None, seeds: int) -> str:
    """Who ended lowest, and who cannot be told apart from it: their 95 % intervals overlap."""
    if final is None or final.empty:
        return "No method ended as it should; the table says who was left out and why."
    final = final.sort_values("gap", kind="stable")
    ends = {row["method"]: Interval(row["gap"], row["from"], row["to"]) for row in final.to_dict("records")}
    (leader, best), *others = ends.items()
    if not others:
        return f"{leader} alone ended as it should: gap {_gap(best)}."
    lowest = f"{leader} ended lowest: gap {_gap(best)}"
    if seeds == 1:
        name, next_best = others[0]
        return f"{lowest}, next {name} with {_short(next_best.value)}. One seed cannot say whether that is luck."
    if near := [f"{name} ({_short(end.value)})" for name, end in others if end.overlaps(best)]:
        return f"{lowest}. The {_plural('interval', near)} of {_listed(near)} {_overlap(near)} with it: no winner among them."
    name, next_best = others[0]
    apart = f"{lowest}. No other interval overlaps with it; next is {name} with {_gap(next_best)}."
    return apart if seeds >= FEW else f"{apart} With only {seeds} seeds that is a hint, not proof."


def speed(findings: Findings, task: str, track: str) -> Iterator[str]:
    """Median seconds to come near, of those methods that did in most seeds."""
    methods = findings.methods(task, track)
    for target in (PROFILED, TARGETS[0]):
        medians = {name: censored_median(findings.times_to(target, task, track, name)).median for name in methods}
        arrived = sorted((time, name) for name, time in medians.items() if math.isfinite(time))
        if arrived:
            rest = len(methods) - len(arrived)
            yield (
                f"Within {percent(target)} of the best known value: "
                + _listed([f"{name} after {_time(time)}" for time, name in arrived])
                + (f"; {rest} {'other' if rest == 1 else 'others'} not in most seeds." if rest else ".")
            )
            return
    if methods:
        yield f"No method came within {percent(TARGETS[0])} of the best known value in most seeds."


def starts_said(findings: Findings) -> str:
    cells = findings.results.cells
    shared = cells[cells["track"] == "shared"].dropna(subset="start") if "start" in cells else cells[:0]
    if shared.empty:
        return "Every method made its own start, on the clock."
    different = shared.groupby(["task", "seed"])["start"].nunique()
    for task, seed in different.index[different > 1]:
        return f"The starts differ: task {task}, seed {seed} has more than one. These runs should not be compared."
    said = "From a shared start, all methods began at the same factors, equal to the bit: the table has their fingerprints."
    return said if len(shared) == len(cells) else f"{said} From their own, each made its best start, on the clock."


def _gap(gap: Interval) -> str:
    if gap.low == gap.high:
        return _short(gap.value)
    return f"{_short(gap.value)} (95 % interval {_short(gap.low).removesuffix(' %')} – {_short(gap.high)})"


def _short(gap: float) -> str:
    return f"{_number(100 * gap)} %" if gap > LEAST_GAP else f"below {_number(100 * LEAST_GAP)} %"


def _time(seconds: float) -> str:
    return f"{_number(1e3 * seconds)} ms" if seconds < 0.1 else f"{_number(seconds)} s"


def _number(x: float) -> str:
    """Three digits, without an exponent."""
    return f"{float(f'{x:.3g}'):,.10g}"


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _plural(noun: str, things: Sequence[Any]) -> str:
    return noun if len(things) == 1 else f"{noun}s"


def _overlap(things: Sequence[Any]) -> str:
    return "overlaps" if len(things) == 1 else "overlap"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun if number == 1 else noun + 's'}"


# Charts ---------------------------------------------------------------------------------------------------------------

GREY = "rgba(128,128,128,{})"
"""Seen on white and on black."""


def gap_charts(findings: Findings, task: str, track: str, drawn: dict[str, Style]) -> list[Chart]:
    """Median gap with quartiles, over seconds and over iterations, on one scale of gaps."""
    methods = findings.methods(task, track)
    curves = {axis: {name: findings.middle(task, track, name, axis) for name in methods} for axis in AXES}
    if not methods:
        return []
    ends = pd.concat([curve[["low", "high"]] for found in curves.values() for curve in found.values()])
    low, high = min(ends["low"].min(), TARGETS[-1]), max(ends["high"].max(), TARGETS[0])
    gaps = _log_axis(max(low, LEAST_GAP), min(high, MOST_GAP), percent)
    return [
        Chart.of(
            f"Gap to the best known value, over {axis if axis == 'seconds' else 'iterations'}",
            [trace for name in methods for trace in _curve(name, drawn[name], curves[axis][name], axis)],
            xaxis=_log_axis(
                min(curve[axis].min() for curve in curves[axis].values()),
                max(curve[axis].max() for curve in curves[axis].values()),
                written,
            )
            | {"title": {"text": title}},
            yaxis=gaps,
            shapes=[
                {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": target, "y1": target, "layer": "below"}
                | {"line": {"color": GREY.format(0.6), "width": 1, "dash": "dot"}}
                for target in TARGETS
            ],
        )
        for axis, (title, written) in AXES.items()
    ]


AXES = {"seconds": ("seconds", _time), "iteration": ("iterations (epochs of a net)", lambda x: f"{x:,g}")}

MOST_GAP = 1e3
"""Where an axis of gaps ends; what is farther is not worth a look."""


def _curve(method: str, style: Style, curve: pd.DataFrame, axis: str) -> Iterator[go.Scatter]:
    """Band, line, and a dot where it ends."""
    x = curve[axis].to_numpy("f4")
    low, middle, high = (curve[name].clip(lower=LEAST_GAP).to_numpy("f4") for name in ("low", "gap", "high"))
    spread = (curve["low"] < curve["high"]).any()
    text = [
        f"gap {_short(gap)}" + (f"<br>quartiles {_short(low)} – {_short(high)}" if spread else "")
        for low, gap, high in curve[["low", "gap", "high"]].itertuples(index=False)
    ]
    hover = f"<b>{escape(method)}</b><br>%{{x:.3~r}} {axis if axis == 'seconds' else 'iterations'}<br>%{{text}}<extra></extra>"
    said = {"meta": method, "name": str(escape(method)), "hovertemplate": hover}
    if spread:
        yield go.Scatter(
            meta=method,
            x=np.concatenate([x, x[::-1]]),
            y=np.concatenate([high, low[::-1]]),
            mode="lines",
            line={"width": 0},
            fill="toself",
            fillcolor=_faint(style.color),
            hoverinfo="skip",
        )
    line = {"color": style.color, "dash": style.dash, "width": 2}
    yield go.Scatter(**said, x=x, y=middle, text=text, mode="lines", line=line)
    yield go.Scatter(**said, x=x[-1:], y=middle[-1:], text=text[-1:], mode="markers", marker={"color": style.color})


def profile_charts(findings: Findings, drawn: dict[str, Style]) -> Iterator[Chart]:
    """Dolan and Moré's, one for each divergence and track."""
    for track in dict.fromkeys(track for _, track in findings.pairs):
        for divergence, tasks in by_divergence(findings, track).items():
            if not set.intersection(*(set(findings.methods(task, track)) for task in tasks)):
                continue
            found = profiles(findings, tasks, track)
            yield Chart.of(
                f"{divergence}, {track} start: {', '.join(tasks)}",
                [_profile(method, drawn[method], *curve) for method, curve in found.items()],
                xaxis=_log_axis(1, 1e3, lambda tau: f"{tau:,g} ×") | {"title": {"text": "times the least time of all"}},
                yaxis={
                    "range": [-0.03, 1.03],
                    "tickformat": ".0%",
                    "gridcolor": GREY.format(0.18),
                    "zeroline": False,
                    "fixedrange": True,
                },
            )


def _profile(method: str, style: Style, taus: np.ndarray, part: np.ndarray) -> go.Scatter:
    return go.Scatter(
        meta=method,
        name=str(escape(method)),
        x=taus.astype("f4"),
        y=part.astype("f4"),
        mode="lines",
        line={"color": style.color, "dash": style.dash, "width": 2, "shape": "hv"},
        hovertemplate=f"<b>{escape(method)}</b><br>%{{y:.0%}} of the runs<br>in %{{x:.3~r}} × the least time<extra></extra>",
    )


def _log_axis(low: float, high: float, written: Any) -> dict[str, Any]:
    """With plain words at every power of ten, or at ones, twos and fives where there is hardly a power of ten."""
    first, last = math.log10(low), math.log10(high)
    steps = (1,) if last - first > 1.5 else (1, 2, 5)
    ticks = [k * 10.0**e for e in range(math.floor(first), math.ceil(last) + 1) for k in steps]
    margin = max(0.02 * (last - first), 0.02)
    return {
        "type": "log",
        "range": [first - margin, last + margin],
        "tickvals": ticks,
        "ticktext": [written(float(f"{tick:.3g}")) for tick in ticks],
        "gridcolor": GREY.format(0.18),
        "zeroline": False,
    }


def _faint(color: str) -> str:
    return f"rgba({','.join(str(int(color[i : i + 2], 16)) for i in (1, 3, 5))},0.15)"


# Components -----------------------------------------------------------------------------------------------------------


def pictures(findings: Findings, task: str, track: str, pixels: float) -> Iterator[Shown]:
    """Of data that are images: a strip of at most so many pixels for each method."""
    shape = findings.tasks[task].get("image_shape")
    if isinstance(shape, Sequence) and len(shape) == 2:
        for method, _, order, alike in _aligned(findings, task, track):
            W = findings.components(task, track, method).double().numpy()[order[:PICTURES]]
            yield Shown(method, alike, _strip(W.reshape(-1, *shape), pixels))


def topics(findings: Findings, task: str, track: str) -> Iterator[Shown]:
    """Of data whose features have names: the strongest of each component."""
    for method, run, order, alike in _aligned(findings, task, track):
        words = run.get("top_features")
        if isinstance(words, Sequence):
            yield Shown(method, alike, [list(words[k]) for k in order[:TOPICS]])


def _aligned(findings: Findings, task: str, track: str) -> Iterator[tuple[str, pd.Series, np.ndarray, float]]:
    """Method, its run in the middle, the order of its components that matches the first method's, mean cosine to these."""
    leader = None
    for method in findings.methods(task, track):
        runs = findings.finished(task, track).query("method == @method").sort_values(["gap", "seed"])
        W = findings.components(task, track, method).double().numpy()
        W = W / np.linalg.norm(W, axis=1, keepdims=True).clip(1e-300)
        leader = W if leader is None else leader
        cosines = leader @ W.T
        rows, order = linear_sum_assignment(cosines, maximize=True)
        yield method, runs.iloc[(len(runs) - 1) // 2], order, float(cosines[rows, order].mean())


def _strip(tiles: np.ndarray, pixels: float) -> str:
    """Side by side, each on its own scale, dark where it is strong, and clear between them; a data URI."""
    n, height, width = tiles.shape
    k = math.ceil(math.sqrt(tiles.size / pixels))
    height, width = max(height // k, 1), max(width // k, 1)
    k = min(k, *tiles.shape[1:])
    tiles = tiles[:, : height * k, : width * k].reshape(n, height, k, width, k).mean((2, 4))
    strength = tiles / tiles.max((1, 2), keepdims=True).clip(1e-300)
    grey = np.pad(255 * (1 - strength), ((0, 0), (0, 0), (0, 1))).transpose(1, 0, 2).reshape(height, -1)[:, :-1]
    clear = np.arange(grey.shape[1]) % (width + 1) == width
    found = BytesIO()
    picture = np.stack([grey, grey, grey, np.broadcast_to(255 * ~clear, grey.shape)], axis=-1)
    imsave(found, picture.astype(np.uint8), format="png", pil_kwargs={"optimize": True})
    return f"data:image/png;base64,{base64.b64encode(found.getvalue()).decode()}"


# How fair it was ------------------------------------------------------------------------------------------------------


def fairness_tables(findings: Findings) -> Iterator[Table]:
    """Best known values, starts, versions."""
    yield Table(
        "best_known",
        "Best known values",
        pd.DataFrame([{"task": task, "value": best, "found by": _origin(findings, task)} for task, best in findings.best.items()]),
        {"value": "{:.9g}"},
    )
    cells = findings.results.cells
    if "start" in cells and cells["start"].notna().any():
        shared = cells.dropna(subset="start").groupby(["task", "seed", "start"])["method"].nunique().reset_index()
        yield Table("starts", "Shared starts", shared.rename(columns={"start": "fingerprint", "method": "methods"}))
    environment = findings.results.environment
    versions = {"python": environment.get("python"), **(environment.get("packages") or {})}
    rows = [(name, version) for name, version in versions.items() if version is not None]
    yield Table("versions", "Versions", pd.DataFrame(rows, columns=["package", "version"]))


def _origin(findings: Findings, task: str) -> str:
    records = findings.results.records
    least = records[records["task"] == task].sort_values("value", kind="stable").head(1)
    for run in least.itertuples():
        if run.value <= findings.best[task]:
            return f"{run.method}, {run.track} start, seed {run.seed}, among these runs"
    return "a longer search or an earlier comparison"


def _command(arguments: Sequence[str]) -> str:
    """To be typed again, wherever the program lay."""
    return shlex.join(["nmf-benchmark", *arguments[1:]])

"""Charts to be asked with the mouse."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from markupsafe import Markup, escape

from nmf_nets.benchmark.report.figures import by_divergence, profiles
from nmf_nets.benchmark.report.findings import TARGETS, Findings
from nmf_nets.pages.numbers import LEAST_GAP, NO_BREAK, duration, percent
from nmf_nets.pages.palette import Style
from nmf_nets.pages.table import Frame


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


AXES: dict[str, tuple[str, Callable[[float], str]]] = {
    "seconds": ("seconds", duration),
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


def _curve(method: str, style: Style, curve: Frame, axis: str) -> Iterator[go.Scatter]:
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
            if curves := profiles(findings, tasks, track):
                traces = (_profile(method, drawn[method], *curve) for method, curve in curves.items())
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

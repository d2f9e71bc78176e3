"""A run as curves."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

LEAST_GAP = 1e-6
"""Smaller gaps are drawn here: below is rounding."""


def draw_curves(measured: Sequence[Mapping[str, Any]], best: Mapping[str, float]) -> Figure:
    """Left: how far the divergence on training rows stands above the best classical value, with own and exact codes.

    Right: how far own codes stand above exact ones, on training and on validation rows. Both over steps.
    best: the values that classical solvers reached. Gaps below 1e-6 are drawn at 1e-6.
    """
    figure = Figure(figsize=(9.5, 3.8), layout="constrained")
    loss, codes = figure.subplots(1, 2)
    lines = [line for line in measured if "training/divergence" in line]
    least = min(best.values())
    for key, name, style in (
        ("divergence", "net, own codes", {"color": "C0", "linewidth": 2}),
        ("exact_codes", "net, exact codes", {"color": "C1", "linestyle": "--"}),
    ):
        seen = [line for line in lines if f"training/{key}" in line]
        if seen:
            _gap_line(loss, seen, [_gap(line[f"training/{key}"], least) for line in seen], name, style)
    for number, (name, value) in enumerate(best.items(), 2):
        loss.axhline(
            max(_gap(value, least), LEAST_GAP), color=f"C{number}", linestyle=":", label=f"{name}: {value:.6g}"
        )
    loss.set(ylabel="above the best classical value")
    for rows, color in (("training", "C0"), ("validation", "C3")):
        seen = [line for line in lines if f"{rows}/code_gap" in line]
        _gap_line(codes, seen, [line[f"{rows}/code_gap"] for line in seen], f"{rows} rows", {"color": color})
    codes.set(ylabel="own codes above exact codes")
    for axes in (loss, codes):
        top = max(2 * axes.dataLim.y1, 10 * LEAST_GAP)
        axes.set(xlabel="steps", xlim=(0, max(1, axes.dataLim.x1)), ylim=(LEAST_GAP / 2, top))
        axes.set(xscale="symlog", yscale="log")
        axes.yaxis.set_major_formatter(FuncFormatter(_percent))
        if axes.lines:
            axes.legend(fontsize=8, frameon=False)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _gap(value: float, least: float) -> float:
    return value / least - 1 if least > 0 else 0.0


def _percent(gap: float, position: int | None = None) -> str:
    return f"{'≤ ' if gap <= LEAST_GAP else ''}{100 * gap:g} %"


def _gap_line(
    axes: Any, lines: Sequence[Mapping[str, Any]], gaps: Sequence[float], name: str, style: dict[str, Any]
) -> None:
    if lines:
        axes.plot([line["step"] for line in lines], [max(gap, LEAST_GAP) for gap in gaps], label=name, **style)

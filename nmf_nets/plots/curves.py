"""A run as curves."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure


def draw_curves(measured: Sequence[Mapping[str, Any]], best: Mapping[str, float]) -> Figure:
    """Left: the divergence on training rows over the seconds of training, with own and with exact codes, and the values
    that classical solvers reached. Right: how far own codes stand above exact ones, on training and validation rows.
    """
    figure = Figure(figsize=(9.5, 3.6), layout="constrained")
    loss, gap = figure.subplots(1, 2)
    lines = [line for line in measured if "training/divergence" in line]
    seconds = [line["seconds"] for line in lines]
    loss.plot(seconds, [line["training/divergence"] for line in lines], label="net, own codes", color="C0")
    loss.plot(seconds, [line["training/exact_codes"] for line in lines], "--", label="net, exact codes", color="C1")
    for number, (name, value) in enumerate(best.items(), 2):
        loss.axhline(value, color=f"C{number}", linewidth=1, linestyle=":", label=name)
    loss.set(xlabel="seconds of training", ylabel="divergence on training rows", yscale="log", xscale="symlog")
    loss.legend(fontsize=8, frameon=False)
    for rows, color in (("training", "C0"), ("validation", "C3")):
        seen = [(line["seconds"], 100 * line[f"{rows}/code_gap"]) for line in lines if f"{rows}/code_gap" in line]
        if seen:
            gap.plot(*zip(*seen, strict=True), label=f"{rows} rows", color=color)
    gap.set(xlabel="seconds of training", ylabel="own codes above exact codes, %", xscale="symlog", yscale="symlog")
    gap.legend(fontsize=8, frameon=False)
    for axes in (loss, gap):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    return figure

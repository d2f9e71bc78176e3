"""A stream as curves."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter


def draw_stream(gaps: Mapping[str, Sequence[tuple[int, float]]], changes: Sequence[int] = ()) -> Figure:
    """How far the divergence of held-out rows of the current source stands above a best one, over rows seen.

    gaps: for each name, (rows seen, relative gap). changes: after how many rows the source became another one.
    """
    figure = Figure(figsize=(7.5, 3.8), layout="constrained")
    axes = figure.subplots()
    for number, (name, points) in enumerate(gaps.items()):
        seen, gap = zip(*points, strict=True)
        axes.plot(seen, gap, color=f"C{number}", linewidth=1.6, label=name)
    for place in changes:
        axes.axvline(place, color="0.5", linestyle=":", label="another source" if place == changes[0] else None)
    axes.set(xlabel="rows seen", ylabel="held-out rows, above the best", yscale="log", xlim=(0, None))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    figure.legend(loc="outside upper center", ncols=3, fontsize=8, frameon=False)
    axes.grid(alpha=0.25, which="both")
    axes.spines[["top", "right"]].set_visible(False)
    return figure

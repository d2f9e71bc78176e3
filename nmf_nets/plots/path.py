"""What another component buys."""

from collections.abc import Mapping

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator


def draw_path(losses: Mapping[str, Mapping[int, float]], bound: Mapping[int, float] | None = None) -> Figure:
    """The loss over the number of components, a line for each name, single points where there are few.

    bound: below which nothing comes, as the truncated SVD of each number of components.
    """
    figure = Figure(figsize=(5.5, 3.8), layout="constrained")
    axes = figure.subplots()
    if bound:
        axes.fill_between(list(bound), 0, list(bound.values()), color="0.92", label="out of reach: truncated SVD")
    for name, values in losses.items():
        few = len(values) <= FEW
        axes.plot(list(values), list(values.values()), "o" if few else "-", markersize=4, label=name)
    axes.set(xlabel="number of components", ylabel="loss", yscale="log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, frameon=False)
    return figure


FEW = 12
"""So many values are points, not a line."""

"""Gene programmes by the cells that use them and by the genes that they raise."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

DARK = 0.6
"""Of the range of a heat map, from which its numbers are white."""


def draw_programmes(
    usage: np.ndarray,
    types: Sequence[str],
    names: Sequence[str],
    lists: Sequence[Sequence[tuple[str, float]]],
    count: int = 8,
) -> Figure:
    """Left the mean usage of each programme in the cells of each type, right its genes of greatest score.

    usage: (types, programmes), in parts of 1. lists: of each programme genes with their scores, greatest first.
    """
    height, width = 0.3 * max(len(types), 4) + 1.5, 0.5 * len(names) + 2.4
    figure = Figure(figsize=(width + 1.15 * len(names), max(height, 0.2 * count + 1.5)), layout="constrained")
    heat, words = figure.subplots(1, 2, width_ratios=(width, 1.15 * len(names)))
    top = max(usage.max(), 1e-9)
    heat.imshow(usage, cmap="Blues", vmin=0, vmax=top, aspect="auto")
    for (i, k), value in np.ndenumerate(usage):
        colour = "white" if value > DARK * top else "0.25"
        heat.text(k, i, f"{100 * value:.0f}", ha="center", va="center", fontsize=7, color=colour)
    heat.set_xticks(range(len(names)), range(len(names)))
    heat.set_yticks(range(len(types)), types)
    heat.tick_params(length=0, labelsize=8)
    heat.set(xlabel="programme")
    heat.set_title("mean usage, %", fontsize=9)
    heat.spines[:].set_visible(False)
    words.set(xlim=(-0.5, len(names) - 0.5), ylim=(count - 0.5, -1.2))
    words.set_axis_off()
    words.set_title("genes of greatest score", fontsize=9)
    for k, found in enumerate(lists):
        words.text(k, -0.9, str(k), ha="center", va="center", fontsize=8, weight="bold")
        for place, (gene, _) in enumerate(found[:count]):
            words.text(k, place, gene, ha="center", va="center", fontsize=7.5, parse_math=False)
    return figure

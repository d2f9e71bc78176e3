"""How many components: what criteria found of each number."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator

ACROSS = 6
"""Consensus matrices beside each other."""


@dataclass(frozen=True)
class Panel:
    """A criterion: its score over the number of components, and which it chose.

    spreads: standard deviations over repeats. components: the score is of single components, numbered from 1.
    """

    name: str
    score: str
    scores: Mapping[int, float]
    spreads: Mapping[int, float]
    chosen: int | None
    components: bool = False


def draw_selection(panels: Sequence[Panel], matrices: Mapping[int, np.ndarray], recommended: int | None) -> Figure:
    """A panel for each criterion; below, the consensus matrices of each number, their samples as average linkage has
    them.
    """
    across = min(3, len(panels))
    rows, below = math.ceil(len(panels) / across), math.ceil(len(matrices) / ACROSS)
    width = max(3.6 * across, 1.6 * min(ACROSS, len(matrices)))
    figure = Figure(figsize=(width, 2.9 * rows + 1.9 * below), layout="constrained")
    heights = [2.9 * rows, *([1.9 * below] if below else [])]
    parts: Any = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    grid = list(parts[0].subplots(rows, across, squeeze=False).flat)
    for axes, panel in zip(grid, panels, strict=False):
        _draw_panel(axes, panel)
    for axes in grid[len(panels) :]:
        axes.remove()
    if below:
        _draw_matrices(parts[1], below, matrices, recommended)
    return figure


def _draw_panel(axes: Axes, panel: Panel) -> None:
    numbers, scores = list(panel.scores), list(panel.scores.values())
    if panel.components:
        used = [panel.chosen is not None and number <= panel.chosen for number in numbers]
        axes.bar(numbers, scores, color=["C0" if each else "0.8" for each in used])
    else:
        axes.errorbar(numbers, scores, list(panel.spreads.values()), fmt="o-", color="C0", markersize=4, capsize=2)
    if panel.chosen is not None:
        axes.axvline(panel.chosen, color="C1", linewidth=1, linestyle="--", zorder=0)
    said = "cannot tell" if panel.chosen is None else f"n_components = {panel.chosen}"
    axes.set_title(f"{panel.name}: {said}", fontsize=10)
    axes.set(xlabel="component" if panel.components else "number of components", ylabel=panel.score)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_matrices(figure: SubFigure, below: int, matrices: Mapping[int, np.ndarray], recommended: int | None) -> None:
    across = min(ACROSS, len(matrices))
    grid = list(figure.subplots(below, across, squeeze=False).flat)
    for axes, (number, C) in zip(grid, matrices.items(), strict=False):
        axes.imshow(C, vmin=0, vmax=1, cmap="Blues", interpolation="nearest")
        axes.set_title(f"{number}", fontsize=10, fontweight="bold" if number == recommended else None)
        axes.set(xticks=[], yticks=[])
    for axes in grid[len(matrices) :]:
        axes.remove()
    figure.suptitle("how often two samples are in one cluster", fontsize=10)

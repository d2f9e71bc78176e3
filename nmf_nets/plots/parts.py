"""How sparse components are, beside whether they are local."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from nmf_nets.plots.penalties import component_tiles
from nmf_nets.shapes import Components


@dataclass(frozen=True)
class Parts:
    """Components that one model found, and means of what was measured of them."""

    name: str
    W: Components
    sparseness: float
    spread: float
    error: float


def draw_parts(found: Sequence[Parts], image_shape: tuple[int, int]) -> Figure:
    """Left: each model at its sparseness and spatial spread, with its error. Right: ten components of each.

    Sparse and local is the lower right. Components are each on their own scale, dark where they are strong.
    """
    columns = -(-len(found) // 3)
    figure = Figure(figsize=(4.6 + 2.9 * columns, 5.6), layout="constrained")
    plane, tiles = figure.subfigures(1, 2, width_ratios=(4.6, 2.9 * columns), squeeze=False)[0]
    axes = plane.subplots()
    for number, each in enumerate(found):
        axes.plot(each.sparseness, each.spread, "o", color=f"C{number}")
        axes.annotate(
            f"{each.name}\nerror {each.error:.3f}",
            (each.sparseness, each.spread),
            xytext=(6, 4),
            textcoords="offset points",
            fontsize=7,
        )
    axes.set(xlim=(0, 1), ylim=(0, None), xlabel="Hoyer's sparseness", ylabel="spatial spread, an even grey has 1")
    axes.margins(y=0.15)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    for panel, each in zip(tiles.subplots(3, columns, squeeze=False).T.flat, found, strict=False):
        panel.set_title(each.name, fontsize=8)
        component_tiles(each.W, image_shape)(panel)
    for panel in tiles.axes:
        panel.set_axis_off()
    return figure

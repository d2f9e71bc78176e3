"""What penalties move."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from nmf_nets.matrix import Matrix
from nmf_nets.shapes import Codes, Components, Labels

Picture = Callable[[Any], None]
"""Draws into the axes of matplotlib that it is given."""


@dataclass(frozen=True)
class Moved:
    """What a penalty is to move, at rising strengths, 0 first: where a net and where a classical solver come to."""

    title: str
    measure: str
    strengths: Sequence[float]
    net: Sequence[float]
    classical: Sequence[float]
    pictures: Sequence[tuple[str, Picture]] = ()


def draw_penalties(moved: Sequence[Moved]) -> Figure:
    """A column for each penalty: above what it moves against its strength, a cross for the net on a ring for the
    classical solver; beneath the pictures.
    """
    height = 1 + max(len(each.pictures) for each in moved)
    figure = Figure(figsize=(3.3 * len(moved), 2.6 + 1.9 * (height - 1)), layout="constrained")
    grid = figure.subplots(height, len(moved), squeeze=False, height_ratios=[1.35] + [1.0] * (height - 1))
    for column, each in zip(grid.T, moved, strict=True):
        _curve(column[0], each)
        for axes in column[1:]:
            axes.set_axis_off()
        for axes, (title, draw) in zip(column[1:], each.pictures, strict=False):
            axes.set_title(title, fontsize=8)
            draw(axes)
    return figure


def _curve(axes: Any, moved: Moved) -> None:
    ring = {"color": "C0", "marker": "o", "markersize": 9, "markerfacecolor": "none", "linewidth": 1}
    axes.plot(moved.strengths, moved.classical, label="classical solver", **ring)
    axes.plot(moved.strengths, moved.net, "x", color="C3", label="net")
    least = min((strength for strength in moved.strengths if strength > 0), default=1.0)
    axes.set_xscale("symlog", linthresh=least, linscale=0.5)
    values = [0.0, *moved.net, *moved.classical]
    margin = 0.08 * (max(values) - min(values)) or 1.0
    axes.set(ylim=(min(values) - margin, max(values) + margin), xlim=(-0.3 * least, 1.6 * max(*moved.strengths, least)))
    axes.set_title(moved.title, fontsize=10)
    axes.set_xlabel("strength", fontsize=8)
    axes.set_ylabel(moved.measure, fontsize=8)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=7, frameon=False, loc="lower left")


def component_tiles(W: Components, image_shape: tuple[int, int], columns: int = 5) -> Picture:
    """The first components as images side by side, each on its own scale, in two rows at most."""
    images = W[: 2 * columns].float().cpu().numpy().reshape(-1, *image_shape)
    images = images / np.maximum(images.max(axis=(1, 2), keepdims=True), np.finfo(np.float32).tiny)
    height, width = image_shape
    mosaic = np.full((-(-len(images) // columns) * (height + 1) - 1, columns * (width + 1) - 1), np.nan)
    for k, image in enumerate(images):
        top, left = k // columns * (height + 1), k % columns * (width + 1)
        mosaic[top : top + height, left : left + width] = image

    return lambda axes: axes.imshow(mosaic, cmap="gray_r", vmin=0, vmax=1)


def code_rows(H: Codes, labels: Labels) -> Picture:
    """Codes as rows of their largest entry 1, by class: a class that is one stripe has one code."""
    order = labels.argsort(stable=True)
    rows = H[order.to(H.device)].float().cpu().numpy()
    rows = rows / np.maximum(rows.max(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return lambda axes: axes.imshow(rows.T, cmap="gray_r", aspect="auto", interpolation="antialiased")


def enclosure(X: Matrix, W: Components, truth: Components) -> Picture:
    """Rows of X, of W and of the true components, each divided by its sum, in the plane of the true ones: three of them
    are a triangle.
    """
    rows, found, true = (_shares(M) for M in (X.dense().cpu().numpy(), W.cpu().numpy(), truth.cpu().numpy()))
    centre = true.mean(0)
    axes_of_plane = np.linalg.svd(true - centre, full_matrices=False)[2][:2].T
    places = [(M - centre) @ axes_of_plane for M in (rows, found, true)]

    def draw(axes: Any) -> None:
        axes.scatter(*places[0].T, s=1, color="0.7", label="rows of X")
        axes.fill(*places[1].T, fill=False, edgecolor="C3", label="found")
        axes.fill(*places[2].T, fill=False, edgecolor="k", linestyle=":", label="true")
        axes.set_aspect("equal")
        axes.legend(fontsize=6, frameon=False)

    return draw


def _shares(M: np.ndarray) -> np.ndarray:
    return M / np.maximum(M.sum(1, keepdims=True), np.finfo(M.dtype).tiny)

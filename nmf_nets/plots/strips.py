"""Images beside what was made of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from nmf_nets.division import ratio
from nmf_nets.factorization import Factorization
from nmf_nets.shapes import Data

HIDDEN = "#d95f02"
"""The colour of what was not observed."""


def draw_strips(strips: Mapping[str, np.ndarray], image_shape: Sequence[int]) -> Figure:
    """A row of images for each name, (images, features), all on the scale of the first: 0 is black, its largest white.

    NaN, what was not observed, is orange.
    """
    columns = max(len(images) for images in strips.values())
    white = float(np.nanmax(next(iter(strips.values()))))
    figure, panels = _panels(len(strips), columns, image_shape, margin=1.5)
    for row, (name, images) in zip(panels, strips.items(), strict=True):
        row[0].text(-0.08, 0.5, name, transform=row[0].transAxes, ha="right", va="center", fontsize=8)
        for axes, image in zip(row, images, strict=False):
            _show(axes, image, image_shape, white)
    return figure


def draw_reconstructions(X: Data, factors: Factorization, image_shape: Sequence[int], strongest: int = 6) -> Figure:
    """A row for each row of X: the image, what its code makes of it, and what its strongest components add to that.

    The parts are h_ik w_k, under k and the part of all grey in the reconstruction that is theirs, the largest first. A
    row is on one scale, that of its image, so that what is hardly seen hardly adds.
    """
    H, W = factors.H.double().cpu(), factors.W.double().cpu()
    shares = ratio(H * W.sum(1), (H @ W).sum(1, keepdim=True))
    order = shares.argsort(dim=1, descending=True, stable=True)[:, :strongest]
    figure, panels = _panels(len(H), 2 + order.shape[1], image_shape, margin=0.0)
    for i, (row, x) in enumerate(zip(panels, X.double().cpu(), strict=True)):
        images = {"image" if i == 0 else "": x, "reconstruction" if i == 0 else " ": H[i] @ W}
        for k in order[i].tolist():
            images[f"{k}: {float(shares[i, k]):.0%}"] = H[i, k] * W[k]
        for axes, (title, image) in zip(row, images.items(), strict=True):
            axes.set_title(title, fontsize=7, pad=2)
            _show(axes, image.numpy(), image_shape, float(x.max()))
    return figure


def _panels(rows: int, columns: int, image_shape: Sequence[int], margin: float) -> tuple[Figure, Any]:
    height = 0.9 * min(max(image_shape[0] / image_shape[1], 0.5), 2.0)
    figure = Figure(figsize=(margin + 0.9 * columns, (height + 0.16) * rows + 0.2), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes in panels.flat:
        axes.set_axis_off()
    return figure, panels


def _show(axes: Any, values: np.ndarray, image_shape: Sequence[int], white: float) -> None:
    image = values.reshape(image_shape) / (white or 1.0)
    if image.ndim == 3:
        axes.imshow(np.clip(image, 0, 1))
    else:
        axes.imshow(image, cmap=colormaps["gray"].with_extremes(bad=HIDDEN), vmin=0, vmax=1, interpolation="nearest")

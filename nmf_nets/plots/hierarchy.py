"""Components, and the parts that they are made of."""

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from nmf_nets.metrics.topics import top_features
from nmf_nets.plots.components import MOST, as_image
from nmf_nets.refusal import Refusal

LEAST = 0.1
"""Of a component, for a part of it to be joined to it by a line."""

DEAD = 1e-6
"""Of the largest of its level: what is smaller is left out."""

WORDS = 4


def draw_hierarchy(
    levels: Sequence[Tensor],
    image_shape: Sequence[int] | None = None,
    feature_names: tuple[str, ...] | None = None,
) -> Figure:
    """The levels W_1, …, W_L of decoder=deep: a row of panels for each, the top level first, as they look in the data.

    Lines join a component to the parts that make up a tenth of it or more, wider the more: of Σ_l w_kl ‖part_l‖. Parts
    stand below what they are mostly part of, and dead ones nowhere. Panels are images, top feature names or spectra.
    Raises Refusal for more components in a level than can be seen.
    """
    matrices = [W.detach().double().cpu() for W in levels]
    widest = max(len(W) for W in matrices)
    if widest > MOST:
        raise Refusal(f"a level has {widest} components, of which no more than {MOST} can be seen in a row.")
    parts = list(accumulate(matrices, lambda below, W: W @ below))
    shares = [_shares(W, below) for W, below in zip(matrices[1:], parts, strict=False)]
    alive = [np.flatnonzero(part.norm(dim=1) > DEAD * part.norm(dim=1).max()) for part in parts]
    orders = [alive[-1]]
    for share, living in zip(reversed(shares), reversed(alive[:-1]), strict=True):
        orders.insert(0, _below(share, orders[0], living))

    words = feature_names is not None and image_shape is None
    size = 0.95 if words else 0.6
    figure = Figure(figsize=(max(5.0, size * widest), 1.5 * len(matrices) + 0.3))
    lines = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    lines.set(xlim=(0, 1), ylim=(0, 1))
    lines.set_axis_off()
    places = [_places(order, level, len(matrices)) for level, order in enumerate(orders)]
    half = 0.3 / len(matrices)
    for level, share in enumerate(shares):
        for k, part in zip(*np.nonzero(share >= LEAST), strict=True):
            if k not in places[level + 1] or part not in places[level]:
                continue
            (x_above, y_above), (x, y) = places[level + 1][k], places[level][part]
            lines.plot((x_above, x), (y_above - half, y + half), color="C0", alpha=0.6, linewidth=4 * share[k, part])
    for W, place in zip(parts, places, strict=True):
        for k, (x, y) in place.items():
            width = 0.92 / max(len(place), 5)
            axes = figure.add_axes((x - width / 2, y - half, width, 2 * half))
            axes.set(xticks=[], yticks=[])
            w = W[k].numpy()
            if image_shape:
                axes.imshow(as_image(w, image_shape), cmap="gray_r", vmin=0)
                axes.set_axis_off()
            elif feature_names is not None:
                top = [feature_names[j] for j in top_features(W[k : k + 1], WORDS)[0].tolist() if w[j] > 0]
                axes.text(0.5, 0.5, "\n".join(top), ha="center", va="center", fontsize=6.5)
                axes.set_axis_off()
            else:
                axes.fill_between(range(len(w)), w, step="mid", linewidth=0)
                axes.set(xlim=(0, max(1, len(w) - 1)), ylim=(0, None))
    return figure


def _shares(W: Tensor, below: Tensor) -> np.ndarray:
    """How much of each component each part below is, rows of sum 1, or 0 for a dead component."""
    weights = (W * below.norm(dim=1)).numpy()
    total = weights.sum(1, keepdims=True)
    return np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)


def _below(share: np.ndarray, order: np.ndarray, living: np.ndarray) -> np.ndarray:
    """The living parts from left to right, each by the component that has most of it, then by the mean of all."""
    share = share[order][:, living]
    if len(order) == 0:
        return living
    total, place = share.sum(0), np.arange(len(order))
    mean = np.divide(place @ share, total, out=np.full(len(living), np.inf), where=total > 0)
    return living[np.lexsort((mean, np.where(total > 0, share.argmax(0), len(order))))]


def _places(order: np.ndarray, level: int, n_levels: int) -> dict[int, tuple[float, float]]:
    """The middle of each component's panel in the figure."""
    return {int(k): ((i + 0.5) / len(order), (level + 0.5) / n_levels) for i, k in enumerate(order)}

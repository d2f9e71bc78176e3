"""Components with and without signs, and how they overlap."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from nmf_nets.metrics.topics import top_features
from nmf_nets.shapes import Components

SHOWN, WORDS = 8, 7
"""Components of each kind, and features of each where those have names."""


def draw_signs(
    kinds: Mapping[str, Components],
    image_shape: tuple[int, int] | None = None,
    feature_names: Sequence[str] | None = None,
) -> Figure:
    """A row for each kind: its first eight components, red above 0 and blue below, then the cosines of all.

    Components are images, or the features that are largest in absolute value, in the colour of their sign.
    """
    wide = 1.0 if image_shape else 1.25
    figure = Figure(figsize=(wide * SHOWN + 2.2, 1.9 * len(kinds)), layout="constrained")
    grid = figure.subplots(len(kinds), SHOWN + 1, squeeze=False, gridspec_kw={"width_ratios": [wide] * SHOWN + [2.0]})
    for row, (name, W) in zip(grid, kinds.items(), strict=True):
        for axes in row:
            axes.set_axis_off()
        row[0].set_title(name, fontsize=9, loc="left")
        w = W.double().cpu()
        for axes, one in zip(row[:-1], w, strict=False):
            if image_shape:
                most = float(one.abs().max()) or 1.0
                axes.imshow(one.numpy().reshape(image_shape), cmap="RdBu_r", vmin=-most, vmax=most)
                continue
            assert feature_names is not None
            for line, j in enumerate(top_features(one.abs()[None], WORDS)[0].tolist()):
                color = "#b2182b" if one[j] > 0 else "#2166ac"
                axes.text(0, 0.92 - 0.14 * line, feature_names[j], fontsize=7, color=color, parse_math=False)
        shown = row[-1].imshow(cosines(w.numpy()), cmap="RdBu_r", vmin=-1, vmax=1)
        row[-1].set_title("cosines", fontsize=8)
        figure.colorbar(shown, ax=row[-1], ticks=[-1, 0, 1]).ax.tick_params(labelsize=6)
    return figure


def cosines(W: np.ndarray) -> np.ndarray:
    """⟨w_k, w_l⟩ / (‖w_k‖ ‖w_l‖), 0 for a component of zeros."""
    norms = np.linalg.norm(W, axis=1, keepdims=True)
    unit = np.divide(W, norms, out=np.zeros_like(W), where=norms > 0)
    return unit @ unit.T

"""Components as images, as spectra or as profiles of their features."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from nmf_nets.shapes import Components

MOST = 64


def draw_components(
    W: Components, image_shape: Sequence[int] | None = None, frequencies: np.ndarray | None = None
) -> Figure:
    """One panel a component, each on its own scale. At most 64 are drawn.

    Images of grey are dark where the component is strong, those of colour, (height, width, 3), bright; spectra stand
    over frequencies in kHz, other components over the numbers of their features.
    """
    drawn = W[:MOST].float().cpu().numpy()
    columns = math.ceil(math.sqrt(len(drawn) * (1 if image_shape else 0.4)))
    rows = math.ceil(len(drawn) / columns)
    size = (1.1, 1.25) if image_shape else (2.8, 1.3)
    figure = Figure(figsize=(max(3.2, size[0] * columns), size[1] * rows + 0.5), layout="constrained")
    place = np.arange(drawn.shape[1]) if frequencies is None else frequencies / 1000
    for k, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        axes.set_axis_off()
        if k >= len(drawn):
            continue
        axes.set_title(str(k), fontsize=7, pad=2)
        if image_shape:
            axes.imshow(as_image(drawn[k], image_shape), cmap="gray_r", vmin=0)
        else:
            axes.set_axis_on()
            axes.fill_between(place, drawn[k], step="mid", linewidth=0)
            last = place[-1] if frequencies is not None else max(1, place[-1])
            axes.set(yticks=[], xlim=(place[0], last), ylim=(0, None))
            axes.tick_params(labelsize=6)
            axes.spines[["top", "right", "left"]].set_visible(False)
    more = f", the first {MOST} of {len(W)}" if len(W) > MOST else ""
    over = "" if frequencies is None or image_shape else ", over kHz"
    figure.suptitle(f"components (rows of W){over}{more}", fontsize=9)
    return figure


def as_image(w: np.ndarray, image_shape: Sequence[int]) -> np.ndarray:
    """The component as matplotlib takes an image; of colour from 0 to 1, its own greatest entry."""
    image = w.reshape(image_shape)
    return image if image.ndim == 2 else np.clip(image / max(image.max(), np.finfo(image.dtype).tiny), 0, 1)

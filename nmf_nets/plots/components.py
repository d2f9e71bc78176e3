"""Components as images or as spectra."""

import math

from matplotlib.figure import Figure

from nmf_nets.shapes import Components

MOST = 64


def draw_components(W: Components, image_shape: tuple[int, int] | None = None) -> Figure:
    """One panel a component, each on its own scale; images dark where the component is strong. At most 64 are drawn."""
    drawn = W[:MOST].float().cpu().numpy()
    columns = math.ceil(math.sqrt(len(drawn) * (1 if image_shape else 0.4)))
    rows = math.ceil(len(drawn) / columns)
    size = (1.1, 1.25) if image_shape else (2.8, 1.3)
    figure = Figure(figsize=(max(3.2, size[0] * columns), size[1] * rows + 0.5), layout="constrained")
    for k, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        axes.set_axis_off()
        if k >= len(drawn):
            continue
        axes.set_title(str(k), fontsize=7, pad=2)
        if image_shape:
            axes.imshow(drawn[k].reshape(image_shape), cmap="gray_r", vmin=0)
        else:
            axes.set_axis_on()
            axes.fill_between(range(drawn.shape[1]), drawn[k], step="mid", linewidth=0)
            axes.set(yticks=[], xlim=(0, max(1, drawn.shape[1] - 1)), ylim=(0, None))
            axes.tick_params(labelsize=6)
            axes.spines[["top", "right", "left"]].set_visible(False)
    more = f", the first {MOST} of {len(W)}" if len(W) > MOST else ""
    figure.suptitle(f"components (rows of W){more}", fontsize=9)
    return figure

"""Motifs as images, and the sequence that they are played in."""

from matplotlib.figure import Figure
from torch import Tensor

from nmf_nets.plots.components import MOST
from nmf_nets.shapes import Codes, Data


def draw_motifs(motifs: Tensor) -> Figure:
    """One panel for each of (n_components, lags, n_features), on its own scale: time to the right, features upwards.

    At most 64 are drawn.
    """
    drawn = motifs[:MOST].float().cpu().numpy()
    columns = min(len(drawn), 12)
    rows = -(-len(drawn) // columns)
    figure = Figure(figsize=(max(3.2, 1.1 * columns), 2.2 * rows + 0.5), layout="constrained")
    for k, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        axes.set_axis_off()
        if k < len(drawn):
            axes.set_title(str(k), fontsize=7, pad=2)
            axes.imshow(drawn[k].T, cmap="gray_r", vmin=0, origin="lower", aspect="auto", interpolation="nearest")
    more = f", the first {MOST} of {len(motifs)}" if len(motifs) > MOST else ""
    figure.suptitle(f"motifs: {motifs.shape[1]} rows in time, features upwards{more}", fontsize=9)
    return figure


def draw_sequence(X: Data, X_hat: Data, H: Codes, motifs: Tensor, power: float = 1.0) -> Figure:
    """The sequence, what is made of it, when each motif is played, and the motifs, all in time from left to right.

    power: to which the entries of X, X̂ and motifs are shown; below 1 what is faint is seen.
    """
    figure = Figure(figsize=(11, 8), layout="constrained")
    grid = figure.add_gridspec(4, max(1, len(motifs)), height_ratios=(3, 3, 1.6, 2.4))
    size = float(X.max())
    axes = None
    for row, (title, M) in enumerate({"X": X, "X̂": X_hat}.items()):
        axes = figure.add_subplot(grid[row, :], sharex=axes)
        shown = M.float().cpu().numpy().T ** power
        axes.imshow(shown, cmap="magma", vmin=0, vmax=size**power, origin="lower", aspect="auto", rasterized=True)
        axes.set_ylabel(f"{title}: feature", fontsize=8)
        axes.tick_params(labelsize=7)
    axes = figure.add_subplot(grid[2, :], sharex=axes)
    codes = (H / H.amax(0).clamp(min=1e-300)).float().cpu().numpy()
    for k, h in enumerate(codes.T):
        axes.fill_between(range(len(h)), k + 1 - 0.95 * h, k + 1, linewidth=0)
    axes.set(ylim=(codes.shape[1], 0), xlim=(0, len(X) - 1))
    axes.set_ylabel("H: component", fontsize=8)
    axes.set_xlabel("row", fontsize=8)
    axes.tick_params(labelsize=7)
    for k, motif in enumerate(motifs.float().cpu().numpy()):
        axes = figure.add_subplot(grid[3, k])
        axes.imshow(motif.T**power, cmap="magma", vmin=0, origin="lower", aspect="auto", interpolation="nearest")
        axes.set_title(f"W {k}", fontsize=8, pad=2)
        axes.set(xticks=[], yticks=[])
    return figure

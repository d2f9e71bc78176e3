"""What each divergence hears: errors over loudness."""

from collections.abc import Mapping

import torch
from matplotlib.figure import Figure

from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix

GROUPS = 25
"""Of equally many entries, from the quietest to the loudest."""


def draw_decibel_errors(X: Matrix, fits: Mapping[str, Factorization]) -> Figure:
    """The median of 10 |log₁₀(x / x̂)| over the entries of X > 0 from quiet to loud; a line for each fit."""
    x = X.dense().flatten()
    order = x.argsort()[int((x == 0).sum()) :]
    loudness = 10 * torch.log10(x[order] / x.max())
    figure = Figure(figsize=(5.5, 3.8), layout="constrained")
    axes = figure.subplots()
    for name, factors in fits.items():
        x_hat = factors.reconstruction.flatten()[order].clamp_min(torch.finfo(x.dtype).tiny)
        error = 10 * (torch.log10(x[order]) - torch.log10(x_hat)).abs()
        axes.plot(
            [float(group.median()) for group in loudness.chunk(GROUPS)],
            [float(group.median()) for group in error.chunk(GROUPS)],
            ".-",
            label=name,
        )
    axes.set(xlabel="loudness of an entry, dB relative to the loudest", ylabel="median error, dB", ylim=(0, None))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)
    return figure

"""A matrix before and after its rows and columns are put in the order of their clusters."""

import torch
from jaxtyping import Int
from matplotlib.figure import Figure
from torch import Tensor

from nmf_nets.matrix import Matrix
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Labels

FeatureLabels = Int[Tensor, " features"]

MOST_ENTRIES = 2**24
"""Of a matrix that is drawn whole, and dense."""


def draw_co_clusters(X: Matrix, samples: Labels, features: FeatureLabels) -> Figure:
    """Left X as it is, right with clusters of samples and of features together, and lines between them.

    samples, features: the cluster of each row, and of each column. Raises Refusal for more entries than can be drawn.
    """
    n, m = X.shape
    if n * m > MOST_ENTRIES:
        raise Refusal(f"X has {n} × {m} entries, more than {MOST_ENTRIES}; draw a part of it, X.span(0, 100) say.")
    samples, features = samples.cpu(), features.cpu()
    drawn = X.dense().cpu()
    figure = Figure(figsize=(9.0, 0.6 + 4.2 * min(max(n / m, 0.4), 1.6)), layout="constrained")
    before, after = figure.subplots(1, 2)
    ordered = drawn[samples.argsort(stable=True)][:, features.argsort(stable=True)]
    for axes, values, title in ((before, drawn, "X"), (after, ordered, "X, clusters together")):
        axes.imshow(values.numpy(), cmap="gray_r", vmin=0, aspect="auto", interpolation="nearest")
        axes.set(xticks=[], yticks=[], xlabel="features", ylabel="samples")
        axes.set_title(title, fontsize=9)
    for end in _ends(samples):
        after.axhline(end - 0.5, color="C3", linewidth=1)
    for end in _ends(features):
        after.axvline(end - 0.5, color="C3", linewidth=1)
    return figure


def _ends(labels: Tensor) -> list[int]:
    return torch.bincount(labels).cumsum(0)[:-1].tolist()

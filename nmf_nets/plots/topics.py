"""Components by the names of their strongest features."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from nmf_nets.metrics.topics import top_features
from nmf_nets.plots.components import MOST
from nmf_nets.shapes import Components, PerComponent

LONGEST = 22
"""Characters of a name that a panel has room for."""


def topics(W: Components, feature_names: Sequence[str], count: int = 10) -> list[list[tuple[str, float]]]:
    """Of each component its `count` strongest features and their shares w_j / Σ|w|, without those of no weight."""
    W = W.detach().double().cpu()
    top = top_features(W, count)
    shares = W.gather(1, top) / W.abs().sum(1, keepdim=True).clamp(min=torch.finfo(W.dtype).tiny)
    return [
        [(feature_names[int(j)], float(share)) for j, share in zip(features, found, strict=True) if share > 0]
        for features, found in zip(top, shares, strict=True)
    ]


def draw_topics(W: Components, feature_names: Sequence[str], count: int = 10) -> Figure:
    """One panel a component, on its own scale: a bar for each of its strongest features. At most 64 are drawn."""
    drawn = topics(W[:MOST], feature_names, count)
    columns = min(4, len(drawn))
    rows = math.ceil(len(drawn) / columns)
    lines = max(1, *(len(topic) for topic in drawn), 1)
    figure = Figure(figsize=(2.4 * columns, (0.16 * lines + 0.35) * rows + 0.4), layout="constrained")
    for k, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        axes.set_axis_off()
        if k >= len(drawn):
            continue
        axes.set_title(str(k), fontsize=8, pad=2)
        largest = drawn[k][0][1] if drawn[k] else 1.0
        axes.set(xlim=(0, 2.2 * largest), ylim=(lines - 0.5, -0.5))
        axes.barh(range(len(drawn[k])), [share for _, share in drawn[k]], height=0.7, color="C0")
        for place, (name, share) in enumerate(drawn[k]):
            shown = name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
            axes.text(share + 0.04 * largest, place, shown, va="center", fontsize=7, parse_math=False)
    more = f", the first {MOST} of {len(W)}" if len(W) > MOST else ""
    figure.suptitle(f"components (rows of W) by their strongest features{more}", fontsize=9)
    return figure


def draw_topic_map(
    positions: Float[Tensor, "components 2"], sizes: PerComponent, names: Sequence[Sequence[str]]
) -> Figure:
    """Circles of the given areas, each with its number and, below it, its words."""
    figure = Figure(figsize=(8.0, 7.0), layout="constrained")
    axes = figure.subplots()
    x, y = positions.cpu().numpy().T
    axes.scatter(x, y, s=12_000 * sizes.cpu().numpy(), color="C0", alpha=0.35, edgecolors="C0")
    for k, words in enumerate(names):
        shown = " ".join(word if len(word) <= LONGEST else f"{word[: LONGEST - 1]}…" for word in words)
        axes.annotate(f"{k}\n{shown}", (x[k], y[k]), ha="center", va="center", fontsize=7, parse_math=False)
    axes.set(xticks=[], yticks=[], aspect="equal", title="topics by the distance of their words")
    axes.margins(0.15)
    return figure

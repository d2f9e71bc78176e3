"""Signatures over the 96 types of mutation, and how many mutations of a genome each has made."""

import re
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Codes, Components

COLOURS = {
    "C>A": "#03bcee",
    "C>G": "#010101",
    "C>T": "#e32926",
    "T>A": "#cac9c9",
    "T>C": "#a1ce63",
    "T>G": "#ebc6c4",
}
"""Of the substitutions, in the order and the colours that COSMIC draws them in."""

TYPE = re.compile(r"[ACGT]\[(C>[AGT]|T>[ACG])\][ACGT]")


def refuse_types(types: Sequence[str]) -> None:
    """Raises Refusal for names that are not those of the 96 types, A[C>A]A to T[T>G]T, once each."""
    for name in types:
        if not TYPE.fullmatch(name):
            raise Refusal(
                f"signatures are drawn over types of mutation such as A[C>A]A, but a feature is called {name!r}; a "
                "table with types as rows needs data.transpose=true data.index_column=0."
            )
    if len(types) != 96 or len(set(types)) != 96:
        raise Refusal(f"signatures are drawn over the 96 types of mutation, but there are {len(set(types))}.")


def draw_signatures(
    W: Components,
    types: Sequence[str],
    titles: Sequence[str],
    intervals: tuple[Tensor, Tensor] | None = None,
) -> Figure:
    """One panel a signature: a bar for each type, by substitution and the bases around it, as a part of the signature.

    types: A[C>A]A, …, in any order. intervals: low and high ends, of the parts, drawn as lines.
    """
    refuse_types(types)
    order = sorted(range(96), key=lambda j: (list(COLOURS).index(types[j][2:5]), types[j][0], types[j][-1]))
    shares = _shares(W)[:, order]
    ends = None if intervals is None else [M.cpu().numpy()[:, order] for M in intervals]
    colours = [COLOURS[types[j][2:5]] for j in order]
    figure = Figure(figsize=(11, 1.35 * len(W) + 0.6), layout="constrained")
    panels = figure.subplots(len(W), 1, squeeze=False, sharex=True)[:, 0]
    for k, axes in enumerate(panels):
        axes.bar(range(96), 100 * shares[k], width=0.75, color=colours)
        top = shares[k].max() if ends is None else max(shares[k].max(), ends[1][k].max())
        if ends is not None:
            axes.vlines(range(96), 100 * ends[0][k], 100 * ends[1][k], color="0.45", linewidth=0.8)
        axes.set(xlim=(-0.7, 95.7), ylim=(0, 118 * top if top > 0 else 1), ylabel="%")
        axes.text(0.995, 0.94, titles[k], transform=axes.transAxes, ha="right", va="top", fontsize=9, parse_math=False)
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
        for edge in range(16, 96, 16):
            axes.axvline(edge - 0.5, color="0.85", linewidth=0.6, zorder=0)
    for place, (name, colour) in enumerate(COLOURS.items()):
        strip = panels[0].get_xaxis_transform()
        ends_of_strip, look = (16 * place - 0.4, 16 * place + 15.4), {"linewidth": 6, "solid_capstyle": "butt"}
        panels[0].plot(ends_of_strip, (1.06, 1.06), color=colour, clip_on=False, transform=strip, **look)
        panels[0].text(16 * place + 7.5, 1.13, name, transform=strip, ha="center", va="bottom", fontsize=9)
    panels[-1].set_xticks(range(96), [f"{types[j][0]}{types[j][2]}{types[j][-1]}" for j in order], rotation=90)
    panels[-1].tick_params(axis="x", labelsize=5, length=1.5)
    return figure


def draw_exposures(exposures: Codes, genomes: Sequence[str], names: Sequence[str]) -> Figure:
    """Stacked bars, a genome each, most mutations first: above mutations by each signature, below their parts."""
    made = exposures.detach().cpu().numpy()
    order = np.argsort(-made.sum(1), kind="stable")
    counts, ordered = made[order], [genomes[i] for i in order]
    figure = Figure(figsize=(max(6.0, 0.36 * len(genomes) + 1.8), 5.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    for axes, values, label in ((above, counts, "mutations"), (below, 100 * _shares(counts), "% of mutations")):
        bottom = np.zeros(len(values))
        for k, name in enumerate(names):
            axes.bar(range(len(values)), values[:, k], bottom=bottom, width=0.8, color=f"C{k % 10}", label=name)
            bottom += values[:, k]
        axes.set(ylabel=label, xlim=(-0.6, len(values) - 0.4))
        axes.spines[["top", "right"]].set_visible(False)
    below.set_xticks(range(len(ordered)), ordered, rotation=90)
    below.tick_params(axis="x", labelsize=8, length=0)
    figure.legend(*above.get_legend_handles_labels(), loc="outside right upper", fontsize=8, frameon=False)
    return figure


def _shares(M: Tensor | np.ndarray) -> np.ndarray:
    values = M.detach().double().cpu().numpy() if isinstance(M, Tensor) else M
    total = values.sum(1, keepdims=True)
    return np.divide(values, total, out=np.zeros_like(values), where=total > 0)

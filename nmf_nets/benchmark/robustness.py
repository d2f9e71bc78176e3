"""How much noise the selections of rows stand: `python -m nmf_nets.benchmark.robustness [--to FIGURE]`."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from nmf_nets.as_matrix import as_matrix
from nmf_nets.exact.base import Select
from nmf_nets.exact.nonnegative_projection import nonnegative_projection
from nmf_nets.exact.successive_projection import successive_projection
from nmf_nets.exact.xray import xray
from nmf_nets.pages.table import Table

SELECTIONS: dict[str, Select] = {"SPA": successive_projection, "SNPA": nonnegative_projection, "XRAY": xray}
NOISE = tuple(float(noise) for noise in np.logspace(-4, 0, 13))
"""Lengths of the longest row of noise, relative to the longest row of W."""

Planted = Callable[[np.random.Generator, int, int], tuple[np.ndarray, np.ndarray]]
"""Draws for (chance, n_components, n_features) X = H W, of which W is the first rows, and noise of size 1 for all."""


def dirichlet(chance: np.random.Generator, n_components: int, n_features: int) -> tuple[np.ndarray, np.ndarray]:
    """Ten more rows a component, their codes Dirichlet, and normal noise in all."""
    return _mixed(chance, _uniform(chance, n_components, n_features))


def nearly_dependent(chance: np.random.Generator, n_components: int, n_features: int) -> tuple[np.ndarray, np.ndarray]:
    """The same, but the rows of W stand around a circle in three dimensions, but for a hundredth."""
    angle = 2 * np.pi * np.arange(n_components) / n_components
    circle = np.stack([np.ones(n_components), 1 + 0.9 * np.cos(angle), 1 + 0.9 * np.sin(angle)], 1)
    W = circle @ chance.random((3, n_features))
    W = W / W.sum(1, keepdims=True) + 0.01 * _uniform(chance, n_components, n_features)
    return _mixed(chance, W / W.sum(1, keepdims=True))


def middle_points(chance: np.random.Generator, n_components: int, n_features: int) -> tuple[np.ndarray, np.ndarray]:
    """X = W and all (w_k + w_l) / 2, which the noise moves away from the mean of W, towards the outside."""
    W = _uniform(chance, n_components, n_features)
    k, l = np.triu_indices(n_components, 1)
    X = np.concatenate([W, (W[k] + W[l]) / 2])
    outwards = np.where(np.arange(len(X))[:, None] < n_components, 0, X - W.mean(0))
    return X, _scaled(outwards, W)


PLANTED: dict[str, Planted] = {
    "Dirichlet": dirichlet,
    "middle points": middle_points,
    "nearly dependent": nearly_dependent,
}


def recovered(select: Select, X: np.ndarray, noise: np.ndarray, n_components: int) -> float:
    """The part of the rows of W that are selected."""
    rows = select(as_matrix(np.maximum(X + noise, 0)), n_components)
    return float((rows < n_components).double().mean())


def bound(W: np.ndarray) -> float:
    """Noise, relative to K = max ‖w_k‖, up to which SPA provably comes as near as O(ε κ²) to every row of W.

    ε < σ min(1 / (2 √(r − 1)), 1/4) / (1 + 80 (K / σ)²), σ the least singular value of W with r ≥ 2 rows.
    Source: Gillis & Vavasis (2014), theorem 3.
    """
    longest, least = np.linalg.norm(W, axis=1).max(), np.linalg.svd(W, compute_uv=False)[-1]
    return float(least * min(0.5 / math.sqrt(len(W) - 1), 0.25) / (1 + 80 * (longest / least) ** 2) / longest)


def robustness(
    n_components: int = 10, n_features: int = 20, trials: int = 25, levels: tuple[float, ...] = NOISE
) -> Table:
    """The part of the planted rows that each selection finds, over noise, and the median bound for SPA."""
    lines, bounds = [], {}
    for data, planted in PLANTED.items():
        drawn = [planted(np.random.default_rng(seed), n_components, n_features) for seed in range(trials)]
        bounds[data] = float(np.median([bound(X[:n_components]) for X, _ in drawn]))
        for level in levels:
            found = {
                name: float(np.mean([recovered(select, X, level * N, n_components) for X, N in drawn]))
                for name, select in SELECTIONS.items()
            }
            lines.append({"data": data, "noise": level, **found, "bound": bounds[data]})
    title = f"Planted rows found, {n_components} of {n_features} features, mean of {trials} draws"
    note = "noise: longest row of it, relative to the longest of W. bound: noise up to which theory vouches for SPA."
    formats = {"noise": "{:.2g}", "bound": "{:.1e}", **dict.fromkeys(SELECTIONS, "{:.1%}")}
    return Table("robustness", title, pd.DataFrame(lines), formats, note)


def draw(table: Table) -> Figure:
    """A panel for each kind of data, with the bound for SPA, which is far to the left, in its title."""
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    panels = figure.subplots(1, len(PLANTED), sharey=True)
    for axes, (data, lines) in zip(panels, table.frame.groupby("data", sort=False), strict=True):
        for name, style in zip(SELECTIONS, ("-o", "--s", ":^"), strict=True):
            axes.plot(lines["noise"], 100 * lines[name], style, markersize=4, label=name)
        axes.set_title(f"{data}\nbound for SPA {lines['bound'].iloc[0]:.0e}", fontsize=10)
        axes.set(xlabel="noise / longest row of W", xscale="log", ylim=(0, 105))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set(ylabel="planted rows found, %")
    panels[0].legend(fontsize=8, frameon=False, loc="lower left")
    return figure


def _uniform(chance: np.random.Generator, n_components: int, n_features: int) -> np.ndarray:
    W = chance.random((n_components, n_features))
    return W / W.sum(1, keepdims=True)


def _mixed(chance: np.random.Generator, W: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    X = np.concatenate([W, chance.dirichlet(np.full(len(W), 0.5), 10 * len(W)) @ W])
    return X, _scaled(chance.standard_normal(X.shape), W)


def _scaled(noise: np.ndarray, W: np.ndarray) -> np.ndarray:
    """With its longest row as long as that of W."""
    return noise * (np.linalg.norm(W, axis=1).max() / np.linalg.norm(noise, axis=1).max())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m nmf_nets.benchmark.robustness", description=robustness.__doc__)
    parser.add_argument("--to", type=Path, help="a file for the figure, .png or .svg")
    to = parser.parse_args().to
    table = robustness()
    print(table.markdown())  # noqa: T201 - it is a program
    if to is not None:
        draw(table).savefig(to, dpi=130)


if __name__ == "__main__":
    main()

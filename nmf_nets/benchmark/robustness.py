"""How much noise the selections of rows stand: `python -m nmf_nets.benchmark.robustness [--to FIGURE]`."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from nmf_nets.as_matrix import as_matrix
from nmf_nets.benchmark.report.table import Table
from nmf_nets.exact.base import Select
from nmf_nets.exact.nonnegative_projection import nonnegative_projection
from nmf_nets.exact.successive_projection import successive_projection
from nmf_nets.exact.xray import xray

SELECTIONS: dict[str, Select] = {"SPA": successive_projection, "SNPA": nonnegative_projection, "XRAY": xray}
NOISE = tuple(float(noise) for noise in np.logspace(-3, 0, 13))
"""Lengths of the longest row of noise, relative to the longest row of W."""

Planted = Callable[[np.random.Generator, int, int], tuple[np.ndarray, np.ndarray]]
"""Draws for (chance, n_components, n_features) W in rows of unit sum, which are the first of X, and X − H W for noise 1."""


def dirichlet(chance: np.random.Generator, n_components: int, n_features: int) -> tuple[np.ndarray, np.ndarray]:
    """X = H W of ten rows a component besides, H Dirichlet, and normal noise in every row."""
    W = _uniform(chance, n_components, n_features)
    X = np.concatenate([W, chance.dirichlet(np.full(n_components, 0.5), 10 * n_components) @ W])
    return X, _scaled(chance.standard_normal(X.shape), W)


def middle_points(chance: np.random.Generator, n_components: int, n_features: int) -> tuple[np.ndarray, np.ndarray]:
    """X = W and all (w_k + w_l) / 2, which the noise moves away from the mean of W, towards the outside."""
    W = _uniform(chance, n_components, n_features)
    k, l = np.triu_indices(n_components, 1)
    X = np.concatenate([W, (W[k] + W[l]) / 2])
    outwards = np.where(np.arange(len(X))[:, None] < n_components, 0, X - W.mean(0))
    return X, _scaled(outwards, W)


PLANTED: dict[str, Planted] = {"Dirichlet": dirichlet, "middle points": middle_points}


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
    """A panel for each kind of data; the dotted line is the bound."""
    figure = Figure(figsize=(9.5, 3.8), layout="constrained")
    panels = figure.subplots(1, len(PLANTED), sharey=True)
    for axes, (data, lines) in zip(panels, table.frame.groupby("data", sort=False), strict=True):
        for name, style in zip(SELECTIONS, ("-o", "--s", ":^"), strict=True):
            axes.plot(lines["noise"], 100 * lines[name], style, markersize=4, label=name)
        axes.axvline(lines["bound"].iloc[0], color="0.5", linestyle=":", label="SPA is proved to find all")
        axes.set(title=str(data), xlabel="noise / longest row of W", xscale="log", ylim=(0, 105))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set(ylabel="planted rows found, %")
    panels[0].legend(fontsize=8, frameon=False, loc="lower left")
    return figure


def _uniform(chance: np.random.Generator, n_components: int, n_features: int) -> np.ndarray:
    W = chance.random((n_components, n_features))
    return W / W.sum(1, keepdims=True)


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

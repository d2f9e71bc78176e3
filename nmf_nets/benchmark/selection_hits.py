"""How often a planted number of components is found: `python -m nmf_nets.benchmark.selection_hits [--records FILE]`.

It takes some half an hour of one core. With --records what is found of each data set is kept in that file as it comes,
and a later call, also for other --levels or more --sets, goes on from there; --to draws the table.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from nmf_nets.as_matrix import as_matrix
from nmf_nets.divergences.beta import beta_divergence
from nmf_nets.matrix import Matrix
from nmf_nets.pages.table import Frame, Table
from nmf_nets.program import pinned_threads
from nmf_nets.recommendation import Recommendation
from nmf_nets.restarts import Restarts
from nmf_nets.selection.base import Choice, Selector
from nmf_nets.selection.bi_cross_validation import BiCrossValidation
from nmf_nets.selection.consensus import Consensus
from nmf_nets.selection.masked_cross_validation import MaskedCrossValidation
from nmf_nets.selection.relevance import Relevance
from nmf_nets.selection.stability import Stability

SELECTORS: dict[str, Selector] = {
    "consensus": Consensus(),
    "stability": Stability(),
    "bi-cross-validation": BiCrossValidation(repeats=1, starts=2, max_iter=200),
    "masked cross-validation": MaskedCrossValidation(repeats=3, max_iter=50),
    "relevance": Relevance(repeats=2),
}
BETAS = {"Gaussian": 2.0, "Poisson": 1.0}
"""Of the divergence that is the likelihood of the noise."""

LEVELS = {10.0: "moderate", 3.0: "hard", 1.0: "failing"}
"""Signal to noise: the variance of the entries of H W by the mean variance of the noise."""

PLANTED = range(3, 13)
TRIED = tuple(range(2, 15))
SHAPE, SEEDS = (100, 60), 10
"""Of the data, and starts of each number of components."""

COLUMNS = ["noise", "signal to noise", "planted", "set", "criterion", "found", "sureness"]


def planted(chance: np.random.Generator, n_components: int) -> np.ndarray:
    """H W, entries gamma with shape 2 and mean 1, of which a half is kept in H and 30 % in W; every row of H and every
    row and column of W keeps at least one, so that every sample has a component and every feature is in one.
    """
    n, m = SHAPE
    H = chance.gamma(2, 0.5, (n, n_components)) * _kept(chance, n, n_components, 0.5)
    kept = _kept(chance, n_components, m, 0.3) | _kept(chance, m, n_components, 0.0).T
    return H @ (chance.gamma(2, 0.5, (n_components, m)) * kept)


def noisy(chance: np.random.Generator, clean: np.ndarray, noise: str, level: float) -> np.ndarray:
    """Counts with means proportional to the clean data, or normal noise of one variance, with what is below 0 cut."""
    if noise == "Poisson":
        return chance.poisson(clean * level * clean.mean() / clean.var()).astype(float)
    return np.maximum(clean + np.sqrt(clean.var() / level) * chance.standard_normal(clean.shape), 0)


def drawn(noise: str, level: float, n_components: int, number: int) -> Matrix:
    """The data set of that number."""
    chance = np.random.default_rng((n_components, number))
    return as_matrix(noisy(chance, planted(chance, n_components), noise, level))


def chosen(
    X: Matrix, beta: float, selectors: Mapping[str, Selector], numbers: Sequence[int], seeds: int, seed: int
) -> dict[str, Choice]:
    """By each criterion, from fits that they share."""
    restarts = Restarts(X, beta_divergence(beta), numbers, seeds, max_iter=200, tol=1e-4, seed=seed)
    found = {}
    for name, selector in selectors.items():
        own = numbers[-1:] if selector.once else numbers
        judgements = {n: selector.judge(restarts, n, torch.Generator().manual_seed(seed)) for n in own}
        found[name] = selector.choose(judgements)
    return found


def records(levels: Sequence[float], numbers: Sequence[int], sets: int, known: Frame) -> Iterator[list[dict]]:
    """Of each data set that is not yet known, what every criterion chooses; one set of each kind after the other."""
    done = set(zip(known["noise"], known["signal to noise"], known["planted"], known["set"], strict=True))
    for number in range(sets):
        for level in levels:
            for r in numbers:
                for noise, beta in BETAS.items():
                    if (noise, level, r, number) in done:
                        continue
                    choices = chosen(drawn(noise, level, r, number), beta, SELECTORS, TRIED, SEEDS, number)
                    key = {"noise": noise, "signal to noise": level, "planted": r, "set": number}
                    yield [
                        {**key, "criterion": name, "found": choice.n_components or 0, "sureness": choice.sureness}
                        for name, choice in choices.items()
                    ]


def with_recommendations(found: Frame) -> Frame:
    """Of each data set one line more, of the criterion `recommended`."""
    lines = []
    for key, each in found.groupby(COLUMNS[:4], sort=False):
        choices = {
            name: Choice(number or None, sureness, "")
            for name, number, sureness in zip(each["criterion"], each["found"], each["sureness"], strict=True)
        }
        outcome = Recommendation(choices, TRIED)
        lines.append([*key, "recommended", outcome.n_components or 0, outcome.support])
    return pd.concat([found, pd.DataFrame(lines, columns=pd.Index(COLUMNS))], ignore_index=True)


def hits(found: Frame) -> Table:
    """The part of the data sets in which each criterion, and their recommendation, has the planted number."""
    right = found.assign(right=found["found"] == found["planted"])
    frame = _by_criterion(right, ["noise", "signal to noise"]).sort_values(
        ["noise", "signal to noise"], ascending=False
    )
    frame.insert(1, "level", [LEVELS.get(level, "") for level in frame["signal to noise"]])
    low, high = found["planted"].min(), found["planted"].max()
    title = (
        f"The planted number found, {SHAPE[0]} × {SHAPE[1]}, {low} to {high} planted, {TRIED[0]} to {TRIED[-1]} tried"
    )
    note = (
        "signal to noise: variance of the entries of H W by the mean variance of the noise. The divergence is the "
        "likelihood of the noise. recommended: the number with the greatest sum of sureness."
    )
    formats = {"signal to noise": "{:g}", **dict.fromkeys([*SELECTORS, "recommended"], "{:.0%}")}
    return Table("selection_hits", title, frame, formats, note)


def hits_by_number(found: Frame, level: float) -> Table:
    """How many sets of each planted number, at one level of noise."""
    right = found.assign(right=found["found"] == found["planted"])
    right = right[right["signal to noise"] == level]
    keys = ["noise", "planted"]
    frame = _by_criterion(right, keys, "sum").sort_values(keys)
    title = f"Sets in which the planted number is found, signal to noise {level:g} ({LEVELS.get(level, 'as asked')})"
    return Table("selection_hits_by_number", title, frame, dict.fromkeys([*SELECTORS, "recommended"], "{:.0f}"))


def _by_criterion(right: Frame, keys: list[str], how: str = "mean") -> Frame:
    """How many sets there are, and a column for each criterion."""
    wide = right.pivot_table("right", keys, "criterion", how, sort=False)
    wide.insert(0, "sets", right[right["criterion"] == "recommended"].groupby(keys)["right"].count())
    return wide[["sets", *SELECTORS, "recommended"]].reset_index().rename_axis(columns=None)


def draw(found: Frame) -> Figure:
    """A panel for each kind and level of noise: the part of the sets over the planted number."""
    right = found.assign(right=100.0 * (found["found"] == found["planted"]))
    levels = sorted(set(right["signal to noise"]), reverse=True)
    figure = Figure(figsize=(1 + 3.4 * len(levels), 2.7 * len(BETAS)), layout="constrained")
    panels = figure.subplots(len(BETAS), len(levels), sharex=True, sharey=True, squeeze=False)
    for row, noise in zip(panels, BETAS, strict=True):
        for axes, level in zip(row, levels, strict=True):
            part = right[(right["noise"] == noise) & (right["signal to noise"] == level)]
            for style, name in zip(("-o", "-s", "-^", "-v", "-d", "-"), [*SELECTORS, "recommended"], strict=True):
                curve = part[part["criterion"] == name].groupby("planted")["right"].mean()
                strong = name == "recommended"
                axes.plot(curve.index, curve, style, markersize=3, linewidth=2.5 if strong else 0.9,
                          color="0.1" if strong else None, label=name)  # fmt: skip
            axes.set_title(f"{noise}, signal to noise {level:g}", fontsize=9)
            axes.set_ylim(-4, 104)
            axes.grid(alpha=0.25)
            axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[-1]:
        axes.set_xlabel("planted components")
    for axes in panels[:, 0]:
        axes.set_ylabel("found, % of sets")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return figure


def _kept(chance: np.random.Generator, height: int, width: int, part: float) -> np.ndarray:
    """A random part of the entries, and one of each row at least."""
    drawn = chance.random((height, width))
    return drawn <= np.maximum(drawn.min(1, keepdims=True), part)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m nmf_nets.benchmark.selection_hits", description=__doc__)
    parser.add_argument("--levels", type=float, nargs="+", default=list(LEVELS), help="signal to noise")
    parser.add_argument("--planted", type=int, nargs="+", default=list(PLANTED), help="numbers of components")
    parser.add_argument("--sets", type=int, default=10, help="data sets of each planted number, noise and level")
    parser.add_argument("--records", type=Path, help="a CSV of what is found, which grows and is not found twice")
    parser.add_argument("--to", type=Path, help="a file for the figure, .png or .svg")
    given = parser.parse_args()
    found = pd.DataFrame(columns=pd.Index(COLUMNS))
    if given.records is not None and given.records.exists():
        found = pd.read_csv(given.records)
    with pinned_threads(1):
        for lines in records(given.levels, given.planted, given.sets, found):
            one = pd.DataFrame(lines, columns=pd.Index(COLUMNS))
            found = one if found.empty else pd.concat([found, one], ignore_index=True)
            if given.records is not None:
                found.to_csv(given.records, index=False)
    outcome = with_recommendations(found)
    print(hits(outcome).markdown())  # noqa: T201 - it is a program
    for level in sorted(set(outcome["signal to noise"]), reverse=True):
        print(hits_by_number(outcome, level).markdown())  # noqa: T201
    if given.to is not None:
        draw(outcome).savefig(given.to, dpi=100)


if __name__ == "__main__":
    main()

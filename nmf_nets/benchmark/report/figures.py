"""Figures fit for a paper."""

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from nmf_nets.benchmark.report.findings import TARGETS, Findings
from nmf_nets.benchmark.statistics import performance_profile
from nmf_nets.pages.numbers import LEAST_GAP, percent
from nmf_nets.pages.palette import Style, styles


def figures(findings: Findings) -> Iterator[tuple[str, Figure]]:
    """Name and figure: gap curves of every task and track, profiles over all tasks of a divergence."""
    drawn = styles(findings.results.cells["method"])
    for task, track in findings.pairs:
        if findings.methods(task, track):
            yield f"curves_{task}_{track}", gap_curves(findings, task, track, drawn)
    for track in dict.fromkeys(track for _, track in findings.pairs):
        for divergence, tasks in by_divergence(findings, track).items():
            if profiles(findings, tasks, track):
                yield f"profile_{divergence}_{track}", profile(findings, tasks, track, drawn)


def gap_curves(findings: Findings, task: str, track: str, drawn: dict[str, Style]) -> Figure:
    """Gap over seconds and over iterations: medians over seeds, bands from quartile to quartile."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, axis in zip(panels, ("seconds", "iteration"), strict=True):
        for method in findings.methods(task, track):
            curve, style = findings.middle(task, track, method, axis), drawn[method]
            low, middle, high = (curve[name].clip(lower=LEAST_GAP) for name in ("low", "gap", "high"))
            axes.fill_between(curve[axis], low, high, color=style.color, alpha=0.15, linewidth=0)
            axes.plot(curve[axis], middle, color=style.color, linestyle=style.line, label=method, linewidth=1.6)
        for target in TARGETS:
            axes.axhline(target, color="0.6", linewidth=0.6, zorder=0)
        axes.set(xscale="log", yscale="log", xlabel="seconds" if axis == "seconds" else "iterations (epochs of a net)")
        _plain(axes)
    facts = findings.tasks[task]
    panels[0].set(ylabel="gap to the best known value", ylim=(LEAST_GAP / 2, None))
    panels[0].yaxis.set_major_formatter(FuncFormatter(percent))
    panels[0].yaxis.set_minor_formatter(NullFormatter())
    figure.suptitle(f"{task}: {facts['divergence']}, {facts['n_components']} components, {track} start", fontsize=11)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", frameon=False, fontsize=9)
    return figure


def profile(findings: Findings, tasks: list[str], track: str, drawn: dict[str, Style]) -> Figure:
    """Dolan and Moré's: the part of all seeds of all tasks that comes within 1 % in τ times the least time."""
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.subplots()
    for method, (taus, part) in profiles(findings, tasks, track).items():
        style = drawn[method]
        axes.step(taus, part, where="post", label=method, color=style.color, linestyle=style.line, linewidth=1.6)
    axes.set(
        xscale="log", xlabel="τ: times the least time of all methods", ylabel="part of the runs", ylim=(-0.03, 1.03)
    )
    axes.set_title(f"within a gap of {percent(PROFILED)}: {', '.join(tasks)}, {track} start", fontsize=10)
    _plain(axes)
    figure.legend(loc="outside right center", frameon=False, fontsize=9)
    return figure


PROFILED = TARGETS[1]


def profiles(findings: Findings, tasks: list[str], track: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """τ and the part of all runs solved within it, of every method that takes part in all these tasks, if any does."""
    taking_part = [set(findings.methods(task, track)) for task in tasks]
    methods = [name for name in findings.methods(tasks[0], track) if all(name in part for part in taking_part)]
    seeds = sorted(set(findings.results.cells["seed"]))
    times = np.full((len(tasks) * len(seeds), len(methods)), np.inf)
    for column, method in enumerate(methods):
        for number, task in enumerate(tasks):
            found = findings.times_to(PROFILED, task, track, method)
            times[number * len(seeds) : number * len(seeds) + len(found), column] = found
    if not methods:
        return {}
    taus = np.geomspace(1, 1000, 200)
    return {method: (taus, part) for method, part in zip(methods, performance_profile(times, taus), strict=True)}


def by_divergence(findings: Findings, track: str) -> dict[str, list[str]]:
    """The tasks of each divergence in which some method ended as it should."""
    found: dict[str, list[str]] = {}
    for task, other in findings.pairs:
        if other == track and findings.methods(task, track):
            found.setdefault(findings.tasks[task]["divergence"], []).append(task)
    return found


def _plain(axes: Axes) -> None:
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)

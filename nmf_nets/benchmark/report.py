"""A comparison as a table and as curves."""

import math
from collections.abc import Sequence
from statistics import median

from matplotlib.figure import Figure
from rich import box
from rich.table import Table

from nmf_nets.benchmark.recorder import Record
from nmf_nets.metrics.relative_gap import relative_gap

TARGETS = (0.1, 0.01, 0.001)
LEAST = 1e-300


def best_known(records: Sequence[Record], divergence: str) -> float:
    """The least value that any run shown here reached; it flatters the winner, whose own gap it makes zero."""
    return min(record.value for record in records if record.divergence == divergence)


def time_to_target(curve: Sequence[Record], target: float) -> float:
    """Seconds until the value was first at most `target`; infinite if it never was."""
    return next((record.seconds for record in curve if record.value <= target), math.inf)


def curves(records: Sequence[Record]) -> dict[tuple[str, str, int], list[Record]]:
    """The records of each run, by (divergence, method, seed), in the order in which they were made."""
    found: dict[tuple[str, str, int], list[Record]] = {}
    for record in records:
        found.setdefault((record.divergence, record.method, record.seed), []).append(record)
    return found


def tables(records: Sequence[Record]) -> list[Table]:
    """One table a divergence: the median over seeds of the last evaluation, and of the seconds to 10, 1 and 0.1 %."""
    made = []
    for divergence in dict.fromkeys(record.divergence for record in records):
        best = best_known(records, divergence)
        runs = {key: curve for key, curve in curves(records).items() if key[0] == divergence}
        seeds = len({seed for _, _, seed in runs})
        table = Table(
            title=f"{divergence}, {seeds} seeds, least value of all runs {best:.6g}",
            caption="Medians over seeds. Seconds to come within 10, 1 and 0.1 % of the least value of all runs, of the "
            "seeds that did (how many of how many, if not all).",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
            title_justify="left",
            caption_justify="left",
        )
        headings = ("method", "gap", "worst gap", "error", "KKT", "dead", "iterations", "seconds")
        for name in (*headings, *(f"to {target:.3g}" for target in TARGETS)):
            table.add_column(name, justify="left" if name == "method" else "right", no_wrap=True)
        for method in dict.fromkeys(name for _, name, _ in runs):
            own = [curve for (_, name, _), curve in runs.items() if name == method]
            last = [curve[-1] for curve in own]
            gaps = [relative_gap(record.value, best, LEAST) for record in last]
            table.add_row(
                method,
                f"{median(gaps):.3%}",
                f"{max(gaps):.3%}",
                f"{median(record.relative_error for record in last):.4f}",
                f"{median(record.kkt_residual for record in last):.0e}",
                f"{max(record.dead_components for record in last)}",
                f"{median(record.iteration for record in last):.0f}",
                f"{median(record.seconds for record in last):.2f}",
                *(_reached([time_to_target(curve, best * (1 + target)) for curve in own]) for target in TARGETS),
            )
        made.append(table)
    return made


def _reached(times: Sequence[float]) -> str:
    reached = [time for time in times if math.isfinite(time)]
    if not reached:
        return "—"
    return f"{median(reached):.3f}" + (f" ({len(reached)}/{len(times)})" if len(reached) < len(times) else "")


def draw(records: Sequence[Record]) -> Figure:
    """One row a divergence: gap to the least value of all runs over seconds and over iterations.

    Thin lines are seeds, thick ones the seed in the middle at the end.
    """
    divergences = list(dict.fromkeys(record.divergence for record in records))
    methods = list(dict.fromkeys(record.method for record in records))
    figure = Figure(figsize=(11, 4.2 * len(divergences) + 0.6), layout="constrained")
    panels = figure.subplots(len(divergences), 2, squeeze=False, sharey="row")
    for row, divergence in zip(panels, divergences, strict=True):
        best = best_known(records, divergence)
        runs = {key[1:]: curve for key, curve in curves(records).items() if key[0] == divergence}
        for number, method in enumerate(methods):
            own = sorted((curve for (name, _), curve in runs.items() if name == method), key=lambda c: c[-1].value)
            for place, curve in enumerate(own):
                middle = place == len(own) // 2
                style = {"color": f"C{number}", "linewidth": 2 if middle else 0.6, "alpha": 1 if middle else 0.4}
                gaps = [max(relative_gap(record.value, best, LEAST), 1e-6) for record in curve]
                row[0].plot([record.seconds for record in curve], gaps, label=method if middle else None, **style)
                row[1].plot([record.iteration for record in curve], gaps, **style)
        row[0].set(ylabel=f"{divergence}: gap to the least value of all runs", xlabel="seconds")
        row[1].set(xlabel="iterations (epochs of a net)")
        for axes in row:
            axes.set(xscale="log", yscale="log")
            axes.grid(alpha=0.25)
            axes.spines[["top", "right"]].set_visible(False)
    shown = {label: line for row in panels for line, label in zip(*row[0].get_legend_handles_labels(), strict=True)}
    names = [method for method in methods if method in shown]
    handles = [shown[name] for name in names]
    figure.legend(handles, names, loc="outside upper center", ncols=min(5, len(names)), frameon=False, fontsize=9)
    return figure

"""What can be said of the ends without claiming too much."""

import math
from collections.abc import Iterator, Sequence

from nmf_nets.benchmark.report.figures import PROFILED
from nmf_nets.benchmark.report.findings import TARGETS, Findings
from nmf_nets.benchmark.statistics import Interval, censored_median
from nmf_nets.pages.numbers import NO_BREAK, duration, percent
from nmf_nets.pages.table import Table

FEW = 5
"""Bootstrap intervals of fewer seeds hold the true value too seldom to settle anything."""


def ending(findings: Findings, task: str, track: str, tables: Sequence[Table]) -> str:
    """Who ended lowest, and who cannot be told apart from it, since their 95 % intervals overlap."""
    final = next((table.frame for table in tables if table.name.startswith("final_")), None)
    if final is None:
        return "No method ended as it should; the table says who was left out and why."
    ended = findings.finished(task, track).groupby("method")["seed"].nunique()
    begun = findings.cells(task, track).groupby("method")["seed"].nunique()
    (leader, best), *others = [
        (row["method"], Interval(row["gap"], row["from"], row["to"]))
        for row in final.sort_values("gap", kind="stable").to_dict("records")
    ]
    lowest = f"{leader} {'ended lowest' if others else 'alone ended as it should'}: gap {_interval(best)}"
    if ended[leader] < begun[leader]:
        lowest += f", in those {ended[leader]} of its {begun[leader]} seeds that ended as they should"
    if not others:
        return f"{lowest}."
    if near := [f"that of {name} ({percent(end.value)})" for name, end in others if end.overlaps(best)]:
        return f"{lowest}. Its interval overlaps {_listed(near)}, so there is no winner among them."
    name, following = others[0]
    apart = f"{lowest}; next is {name} with {_interval(following)}."
    if (fewest := ended.min()) == 1:
        return f"{apart} One seed cannot tell whether that is luck."
    if fewest < FEW:
        return f"{apart} Their intervals do not overlap, but {fewest} seeds prove little."
    return f"{apart} No other interval overlaps that of {leader}."


def speed(findings: Findings, task: str, track: str) -> Iterator[str]:
    """Median seconds to come near the best known value, of those methods that did so in most seeds."""
    methods = findings.methods(task, track)
    for target in (PROFILED, TARGETS[0]):
        medians = {name: censored_median(findings.times_to(target, task, track, name)).median for name in methods}
        arrived = sorted((time, name) for name, time in medians.items() if math.isfinite(time))
        if arrived:
            late = len(methods) - len(arrived)
            said = _listed([f"{name} after {duration(time)}" for time, name in arrived])
            said += f"; {late} {'other' if late == 1 else 'others'} not in most seeds" if late else ""
            yield f"Within {percent(target)} of the best known value: {said}."
            return
    if methods:
        yield f"No method came within {percent(TARGETS[0])} of the best known value in most seeds."


def starts(findings: Findings) -> str:
    """Whether the shared starts were indeed one."""
    cells = findings.results.cells
    shared = cells[cells["track"] == "shared"].dropna(subset="start") if "start" in cells else cells[:0]
    if shared.empty:
        return "Every method made its own start, on the clock."
    counts = shared.groupby(["task", "seed"])["start"].nunique()
    if len(differing := counts[counts > 1]):
        task, seed = differing.index[0]
        return f"The shared starts differ: task {task}, seed {seed} has {differing.iloc[0]}. Do not compare these runs."
    said = "From a shared start, all methods began at the same factors, bit by bit; their fingerprints are below."
    return said if len(shared) == len(cells) else f"{said} Own starts were made by each method, on the clock."


def _interval(gap: Interval) -> str:
    if gap.low == gap.high:
        return percent(gap.value)
    low, high = percent(gap.low).removesuffix(f"{NO_BREAK}%"), percent(gap.high)
    return f"{percent(gap.value)} (95{NO_BREAK}% interval {low}–{high})"


def _listed(names: Sequence[str], most: int = 4) -> str:
    shown = [*names[:most], f"{len(names) - most} more"] if len(names) > most else list(names)
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)

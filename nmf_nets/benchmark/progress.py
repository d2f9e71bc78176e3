"""What a person sees while a comparison runs."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from nmf_nets.benchmark.comparison import Comparison
from nmf_nets.benchmark.recorder import Status


def watched(comparison: Comparison, search: float | None, console: Console) -> bool:
    """Runs it to its end under a bar; False if Ctrl-C came first, which loses the run under way and nothing else.

    search: seconds to look for better values of every problem first; None for ten times the budget of a run where
    nothing is known, and no time elsewhere.
    """
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
    )
    done = sum(comparison.folder.has(key) for key in comparison.keys)
    try:
        with bar:
            shown = bar.add_task("", total=len(comparison.keys) - done)
            for contest in comparison.contests:
                task, budget = contest.task, comparison.protocol.budget.seconds
                known = comparison.best_known.value(task.identity) is not None
                seconds = search if search is not None else 0.0 if known else 10 * budget
                comparison.best_known.search(
                    task, seconds, min(seconds, 5 * budget), lambda said: bar.update(shown, description=said)
                )
            for step, run in comparison.run():
                cell = step.cell
                said = f"{cell.task} · {cell.track} start · seed {cell.seed} · {cell.method}"
                bar.update(shown, description=said)
                if run is None:
                    continue
                bar.advance(shown)
                if run.status in (Status.FAILED, Status.DIVERGED):
                    console.print(f"{said}: {run.status} ({run.error})", soft_wrap=True, markup=False)
    except KeyboardInterrupt:
        return False
    return True

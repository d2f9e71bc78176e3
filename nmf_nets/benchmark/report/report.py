"""Tables, figures and the page, from results."""

from collections.abc import Sequence
from functools import cached_property
from io import BytesIO
from pathlib import Path

from pytorch_lightning.loggers import Logger
from rich.console import Console

from nmf_nets.benchmark.report.figures import figures
from nmf_nets.benchmark.report.findings import Findings
from nmf_nets.benchmark.report.page import page
from nmf_nets.benchmark.report.tables import summaries, tables
from nmf_nets.benchmark.results import Results
from nmf_nets.loggers.base import trackers
from nmf_nets.pages.table import Table
from nmf_nets.whole_file import write

WIDEST = 150
"""Columns of a terminal that the widest summary fits; a narrower one breaks its lines."""


class Report:
    """What is said of a comparison, to be saved under one folder and logged."""

    def __init__(self, results: Results):
        self.findings = Findings(results)

    @cached_property
    def tables(self) -> list[Table]:
        return tables(self.findings)

    @cached_property
    def summaries(self) -> list[Table]:
        return summaries(self.findings)

    def save(self, path: Path) -> None:
        """report.html, and tables/ and figures/ for a paper."""
        for name, figure in figures(self.findings):
            for suffix in ("png", "svg"):
                drawn = BytesIO()
                figure.savefig(drawn, format=suffix, dpi=150)
                write(path / "figures" / f"{name}.{suffix}", drawn.getvalue())
        for table in {table.name: table for table in (*self.summaries, *self.tables)}.values():
            for suffix, text in (("csv", table.csv()), ("md", table.markdown()), ("tex", table.latex())):
                write(path / "tables" / f"{table.name}.{suffix}", text.encode())
        write(path / "report.html", page(self.findings, self.tables).encode())

    def show(self, path: Path) -> None:
        """On the terminal: a table for each task and track, and where the report was saved."""
        console = Console(width=max(Console().width, WIDEST))
        for table in self.summaries:
            console.print(table.rich())
        console.print(f"report: {path.absolute() / 'report.html'}", soft_wrap=True, markup=False)

    def log(self, loggers: Sequence[Logger], path: Path) -> None:
        """Tables, figures and, over milliseconds as steps, the middle gap of every method, into every tracker.

        path: where the report was saved.
        """
        gaps = sorted(self._gaps().items())
        last = gaps[-1][0] if gaps else 0
        for logger in loggers:
            for milliseconds, found in gaps:
                logger.log_metrics(found, milliseconds)
        for tracker in trackers(loggers):
            for table in self.tables:
                tracker.show_table(table.name, list(table.frame.columns), table.cells, last)
            for picture in sorted((path / "figures").glob("*.png")):
                tracker.show_picture(picture.stem, picture, last)
        for logger in loggers:
            logger.finalize("success")

    def _gaps(self) -> dict[int, dict[str, float]]:
        found: dict[int, dict[str, float]] = {}
        for task, track in self.findings.pairs:
            for method in self.findings.methods(task, track):
                for row in self.findings.middle(task, track, method, "seconds").itertuples():
                    found.setdefault(round(1e3 * row.seconds), {})[f"{task}/{track}/{method}/gap"] = row.gap
        return found

"""The program that shows past runs: `python -m nmf_nets.dashboard`, `nmf-dashboard`."""

import os
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote

from omegaconf import DictConfig
from rich.console import Console

from nmf_nets.dashboard.collection import Collection
from nmf_nets.dashboard.page import page
from nmf_nets.dashboard.server import Dashboard
from nmf_nets.program import run_program
from nmf_nets.refusal import Refusal, refuse_names
from nmf_nets.report.run import REPORT, Run
from nmf_nets.whole_file import write


def main() -> None:
    """Shows the runs that the configuration names."""
    run_program("dashboard", dashboard)


def dashboard(config: DictConfig) -> None:
    """Serves the page of all runs until Ctrl-C, or writes it into a file."""
    if not isinstance(config.path, str):
        refuse_names("path", config.path)
    if not isinstance(config.to, str | None):
        raise Refusal(f"to is {config.to!r}, but must be a file, or null to serve the page.")
    roots = [Path(path).expanduser() for path in ([config.path] if isinstance(config.path, str) else config.path)]
    console = Console()
    if config.to is not None:
        if Path(config.to).is_dir():
            raise Refusal(f"to={config.to} is a directory, but the page is one file; to={config.to}/index.html, say.")
        write(Path(config.to), page(_filled(roots), _beside(Path(config.to))).encode())
        console.print(f"dashboard: {Path(config.to).absolute()}", soft_wrap=True, markup=False)
        return
    if not isinstance(config.port, int):
        raise Refusal(f"port is {config.port!r}, but must be an integer, or 0 for any that is free.")
    _filled(roots)
    with Dashboard(roots, config.port) as server:
        console.print(f"dashboard: {server.url} until Ctrl-C; what is new is there when the page is loaded anew")
        console.file.flush()
        if config.browser:
            webbrowser.open(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            console.print("stopped")


def _filled(roots: Sequence[Path]) -> Collection:
    """Raises Refusal where there is no run."""
    collection = Collection(roots)
    collection.look()
    if not collection.runs:
        where = ", ".join(f"{root}" if root.is_dir() else f"{root} (which is not there)" for root in roots)
        broken = f"; {len(collection.skipped)} could not be read" if collection.skipped else ""
        raise Refusal(f"there is no run below {where}{broken}; train.py leaves them, path=DIRECTORY says where.")
    return collection


def _beside(file: Path) -> Callable[[str, Run], str]:
    """Links from a file to the reports of runs that have ended."""

    def href(name: str, run: Run) -> str:
        there = (run.path / REPORT).exists()
        return quote(os.path.relpath(run.path / REPORT, file.absolute().parent)) if there else ""

    return href


if __name__ == "__main__":
    main()

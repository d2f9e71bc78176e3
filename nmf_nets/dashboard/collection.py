"""The runs below some directories."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from nmf_nets.loggers.base import label
from nmf_nets.report.run import CONFIG, Run, Unreadable

COMPARISON = "tasks.json"
"""What the folder of a comparison holds, and a run does not."""


@dataclass
class Collection:
    """Runs by their label, newest first, and those that cannot be read, with the reason.

    A directory that has not changed is not read again.
    """

    roots: Sequence[Path]
    runs: dict[str, Run] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    _known: dict[Path, tuple[tuple[int, ...], Run | Unreadable]] = field(default_factory=dict)

    def look(self) -> None:
        found: dict[str, Run] = {}
        self.skipped = {}
        for path in dict.fromkeys(path for root in self.roots for path in _directories(root)):
            stamp = _stamp(path)
            if path not in self._known or self._known[path][0] != stamp:
                self._known[path] = (stamp, _read(path))
            run = self._known[path][1]
            if isinstance(run, Run):
                found[label(path)] = run
            else:
                self.skipped[label(path)] = str(run)
        self.runs = dict(sorted(found.items(), key=lambda item: item[1].began or datetime.min, reverse=True))


def _directories(root: Path) -> Iterator[Path]:
    """Those with a configuration, which hold no others; links are not followed."""
    for path, below, files in os.walk(root):
        below.sort()
        if CONFIG in files:
            below.clear()
            if COMPARISON not in files:
                yield Path(path).absolute()


def _stamp(path: Path) -> tuple[int, ...]:
    """When its files were written, which changes with any of them."""
    try:
        return tuple(sorted(entry.stat(follow_symlinks=False).st_mtime_ns for entry in os.scandir(path)))
    except OSError:  # gone, or closed to us: reading it will say so
        return ()


def _read(path: Path) -> Run | Unreadable:
    try:
        return Run.read(path)
    except Unreadable as error:
        return error

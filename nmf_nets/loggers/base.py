"""What Lightning's loggers have no common word for: pictures, tables, final figures, and which runs belong together."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger

SWEEP = "multirun.yaml"
"""What Hydra leaves in the directory of a sweep, above those of its jobs."""


class Tracker(ABC):
    """A logger that can show more than curves. The others, CSVLogger for one, leave it to the run directory."""

    @abstractmethod
    def show_picture(self, key: str, path: Path, step: int) -> None:
        """path: of a PNG."""

    @abstractmethod
    def show_table(self, key: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], step: int) -> None: ...

    @abstractmethod
    def show_summary(self, summary: Mapping[str, Any]) -> None:
        """The final figures, in a form that runs can be compared by."""


def trackers(loggers: Iterable[Logger]) -> list[Tracker]:
    return [logger for logger in loggers if isinstance(logger, Tracker)]


def label(directory: str | Path) -> str:
    """What a tracker calls the run of this directory: its path, from here if it lies below; never with a / in front, as
    trackers put names behind paths of their own.
    """
    path = Path(directory).absolute()
    return str(path.relative_to(Path.cwd() if path.is_relative_to(Path.cwd()) else path.anchor))


def sweep_of(directory: str | Path) -> str | None:
    """What a tracker calls the sweep that the run of this directory is a job of."""
    parent = Path(directory).absolute().parent
    return label(parent) if (parent / SWEEP).exists() else None

"""trackio, in one local database for all runs."""

import os
from argparse import Namespace
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger

from nmf_nets.extras import extra
from nmf_nets.loggers.base import Tracker, label, sweep_of
from nmf_nets.refusal import Refusal


class Trackio(Logger, Tracker):
    """A run of the project in `save_dir`, where all runs have one database; what is resumed is a run of its own there.

    directory: of the run, which gives it its name; jobs of one sweep are one group. Nothing is sent anywhere. trackio
    ships no logger for Lightning. It has one directory for a process, and another is refused.
    """

    def __init__(self, save_dir: str, project: str, directory: str):
        super().__init__()
        self._where = Path(save_dir).absolute()
        self._where.mkdir(parents=True, exist_ok=True)
        os.environ["TRACKIO_DIR"] = str(self._where)
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        self._trackio = extra("trackio", "trackio")
        if Path(self._trackio.utils.TRACKIO_DIR) != self._where:
            raise Refusal(
                f"logger.trackio.save_dir is {self._where}, but trackio already writes to "
                f"{self._trackio.utils.TRACKIO_DIR} in this process; choose that, or run them one after another."
            )
        self._project, self._label, self._sweep = project, label(directory), sweep_of(directory)
        self._config: dict[str, Any] = {}
        self._run: Any = None
        self._open = False

    @property
    def name(self) -> str:
        return self._project

    @property
    def version(self) -> str:
        return self._label

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """The parameters of the run, one by one, to group and filter runs by, and beside them the whole configuration.

        Only before anything else is logged.
        """
        given = dict(params) if isinstance(params, dict) else vars(params)
        self._config = {"configuration": given, **given.get("parameters", {})}

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        self._log({name: float(value) for name, value in metrics.items()}, step)

    def show_picture(self, key: str, path: Path, step: int) -> None:
        self._log({key: self._trackio.Image(str(path))}, step)

    def show_table(self, key: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], step: int) -> None:
        self._log({key: self._trackio.Table(columns=list(columns), data=[list(row) for row in rows])}, step)

    def show_summary(self, summary: Mapping[str, Any]) -> None:
        """Numbers, as metrics; words stand among the parameters."""
        numbers = {f"summary/{name}": value for name, value in summary.items() if isinstance(value, int | float)}
        self._log(numbers, None)

    def finalize(self, status: str) -> None:
        """Everything is on the disk; what comes later gets there at once."""
        if self._open:
            self._open = False
            with redirect_stdout(StringIO()):
                self._trackio.finish()

    def _log(self, entries: Mapping[str, Any], step: int | None) -> None:
        if self._run is None:
            with redirect_stdout(StringIO()):  # where it recommends its dashboard
                self._run = self._trackio.init(
                    project=self._project,
                    name=self._label,
                    group=self._sweep,
                    config=self._config,
                    embed=False,
                    auto_log_gpu=False,
                    auto_log_cpu=False,
                )
            self._open = True
        self._run.log(dict(entries), step)

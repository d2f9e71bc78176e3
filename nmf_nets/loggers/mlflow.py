"""MLflow, in one local database for all runs."""

import csv
import logging
import os
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import matplotlib.image
from pytorch_lightning.loggers import MLFlowLogger

from nmf_nets.extras import extra
from nmf_nets.loggers.base import Tracker, label, sweep_of
from nmf_nets.refusal import Refusal


class MLflow(MLFlowLogger, Tracker):
    """A run of the experiment in `save_dir`/mlflow.db, with its pictures and tables under `save_dir`/artifacts.

    directory: of the run, which gives it its name; the tag `sweep` joins the jobs of one sweep. Nothing is sent
    anywhere, MLflow's own telemetry included.
    """

    def __init__(self, save_dir: str, experiment_name: str, directory: str):
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
        for module in ("mlflow", "sqlalchemy", "alembic"):
            extra(module, "mlflow")
        for name in ("alembic", "pytorch_lightning.loggers.mlflow"):  # which tell of new tables and a new experiment
            logging.getLogger(name).setLevel(logging.ERROR)
        where = Path(save_dir).absolute()
        where.mkdir(parents=True, exist_ok=True)
        sweep = sweep_of(directory)
        try:
            super().__init__(
                experiment_name,
                run_name=label(directory),
                tracking_uri=f"sqlite:///{where / 'mlflow.db'}",
                artifact_location=(where / "artifacts").as_uri(),
                tags={"directory": str(Path(directory).absolute())} | ({} if sweep is None else {"sweep": sweep}),
            )
        except extra("mlflow.exceptions", "mlflow").MlflowException as error:
            raise Refusal(
                f"logger=mlflow cannot use {where / 'mlflow.db'}: {error}. Mend that, or choose another "
                "logger.mlflow.save_dir."
            ) from error

    def show_picture(self, key: str, path: Path, step: int) -> None:
        self.experiment.log_image(self._id, matplotlib.image.imread(path), key=key, step=step)

    def show_table(self, key: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], step: int) -> None:
        """As CSV, which MLflow's page shows as a table."""
        text = StringIO()
        csv.writer(text).writerows([columns, *rows])
        self.experiment.log_text(self._id, text.getvalue(), f"{key}/step_{step}.csv")

    def show_summary(self, summary: Mapping[str, Any]) -> None:
        """Numbers, as metrics; words stand among the parameters."""
        self.log_metrics(
            {f"summary/{name}": value for name, value in summary.items() if isinstance(value, int | float)}
        )

    @property
    def _id(self) -> str:
        assert self.run_id is not None
        return self.run_id

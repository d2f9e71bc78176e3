"""Weights & Biases, online if there is a key, offline if not, and never a question."""

import netrc
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import wandb
from pytorch_lightning.loggers import WandbLogger

from nmf_nets.loggers.base import Tracker, sweep_of


class Wandb(WandbLogger, Tracker):
    """A run under `save_dir`, where its staging, cache and settings stay too, so that it can be copied whole.

    offline: None leaves it to WANDB_MODE, or to whether there is a key (WANDB_API_KEY, or netrc's). `wandb sync`
    uploads an offline run later, which is silent. Jobs of one sweep are one group.
    """

    def __init__(self, save_dir: str, project: str, offline: bool | None = None, **init: Any):
        directory = Path(save_dir).absolute()
        directory.mkdir(parents=True, exist_ok=True)
        os.environ["WANDB_DIR"] = str(directory)
        for variable in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
            os.environ[variable] = str(directory / "wandb")
        if offline is None:
            offline = os.environ["WANDB_MODE"] == "offline" if os.environ.get("WANDB_MODE") else not _has_key()
        if offline:
            os.environ["WANDB_SILENT"] = "true"
            # What Lightning passes would draw a warning before wandb hears of silence.
            wandb.setup(wandb.Settings(mode="offline", silent=True))
        init = {"group": sweep_of(directory), **init}
        super().__init__(project=project, save_dir=directory, offline=offline, log_model=False, **init)

    def show_picture(self, key: str, path: Path, step: int) -> None:
        self.log_image(key, [str(path)], step=step)

    def show_table(self, key: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], step: int) -> None:
        self.log_table(key, columns=list(columns), data=[list(row) for row in rows], step=step)

    def show_summary(self, summary: Mapping[str, Any]) -> None:
        self.experiment.summary.update(dict(summary))


def _has_key() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators("api.wandb.ai") is not None
    except (OSError, netrc.NetrcParseError):
        return False

"""TensorBoard, which shows tables as text."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.image
from pytorch_lightning.loggers import TensorBoardLogger

from nmf_nets.loggers.base import Tracker


class TensorBoard(TensorBoardLogger, Tracker):
    """Event files of one run under `save_dir`; `tensorboard --logdir` takes any directory above it."""

    def show_picture(self, key: str, path: Path, step: int) -> None:
        self.experiment.add_image(key, matplotlib.image.imread(path), step, dataformats="HWC")

    def show_table(self, key: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], step: int) -> None:
        lines = [columns, ["---"] * len(columns), *rows]
        text = "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
        self.experiment.add_text(key, text, step)

    def show_summary(self, summary: Mapping[str, Any]) -> None:
        self.show_table("summary", ("figure", "value"), list(summary.items()), 0)

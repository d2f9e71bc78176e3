"""What Lightning'"'"'s loggers have no common word for: pictures and tables."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.image
from pytorch_lightning.loggers import Logger, TensorBoardLogger, WandbLogger


def log_picture(logger: Logger, key: str, path: Path, step: int) -> None:
    """Shows the PNG in trackers that show pictures."""
    if isinstance(logger, WandbLogger):
        logger.log_image(key, [str(path)], step=step)
    elif isinstance(logger, TensorBoardLogger):
        logger.experiment.add_image(key, matplotlib.image.imread(path), step, dataformats="HWC")


def log_table(logger: Logger, key: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], step: int) -> None:
    """Shows the table in trackers that show tables or text."""
    if isinstance(logger, WandbLogger):
        logger.log_table(key, columns=list(columns), data=[list(row) for row in rows], step=step)
    elif isinstance(logger, TensorBoardLogger):
        lines = [columns, ["---"] * len(columns), *rows]
        text = "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
        logger.experiment.add_text(key, text, step)


def log_summary(logger: Logger, summary: dict[str, Any]) -> None:
    """The final figures, beside the curves."""
    if isinstance(logger, WandbLogger):
        logger.experiment.summary.update(summary)

"""The state that a run resumes from."""

import os
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint as LightningCheckpoint
from pytorch_lightning.utilities.exceptions import SIGTERMException


class Checkpoint(LightningCheckpoint):
    """Saves `path` after every so many steps, at the end, and when SIGTERM stops the run between two steps.

    The file is replaced whole. After any other exception it stays as it is: a step may have been half made.
    Lightning's ModelCheckpoint warns against itself under manual optimisation, and does not reach the disk before it
    replaces.
    """

    def __init__(self, path: str, every_n_steps: int = 100):
        self.path, self.every_n_steps = Path(path), every_n_steps
        self._saved_step = -1

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step % self.every_n_steps == 0:
            self._save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._save(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if isinstance(exception, SIGTERMException):
            self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        if trainer.global_step == self._saved_step:
            return
        unfinished = self.path.with_name(self.path.name + ".unfinished")
        trainer.save_checkpoint(unfinished)
        if trainer.is_global_zero:
            with unfinished.open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(unfinished, self.path)
        self._saved_step = trainer.global_step

"""The state that a run resumes from."""

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint as LightningCheckpoint
from pytorch_lightning.plugins import TorchCheckpointIO
from pytorch_lightning.utilities.exceptions import SIGTERMException

from nmf_nets.whole_file import SealedFile


class Checkpoint(LightningCheckpoint):
    """Saves `path` after every so many steps, at the end, and when SIGTERM stops the run between two steps.

    The file is sealed and replaced whole, and the one before it is kept. After any other exception both stay as they
    are: a step may have been half made. Raises FullDisk where there is no room for another.
    After the last step of an epoch it waits for what else is done then: Lightning takes an epoch whose last step was
    saved for one that has ended, and would not make up for it.
    Lightning's ModelCheckpoint warns against itself under manual optimisation, and does not reach the disk before it
    replaces.
    """

    def __init__(self, path: str, every_n_steps: int = 100):
        self.file, self.every_n_steps = SealedFile(Path(path)), every_n_steps
        self._saved_step = -1

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = DirectCheckpointIO()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not trainer.is_last_batch:
            self._save_if_due(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._save_if_due(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._save(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if isinstance(exception, SIGTERMException) and trainer.global_step != self._saved_step:
            self._save(trainer)

    def _save_if_due(self, trainer: Trainer) -> None:
        if trainer.global_step % self.every_n_steps == 0:
            self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        if trainer.is_global_zero:
            with self.file.replacing() as unfinished:
                trainer.save_checkpoint(unfinished)
        else:
            trainer.save_checkpoint(self.file.path)  # which ranks make together and the first one writes
        self._saved_step = trainer.global_step


class DirectCheckpointIO(TorchCheckpointIO):
    """Lightning's own collects the file in memory, twice, and passes it on through a temporary one that may lie on
    another disk."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        with Path(path).open("wb") as file:  # for a path torch raises errors that do not say that the disk is full
            torch.save(checkpoint, file)

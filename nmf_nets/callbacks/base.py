"""What the monitors share: when they look, and where what they saw goes."""

from abc import ABC, abstractmethod
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback

from nmf_nets.data.base import MatrixDataModule
from nmf_nets.grid import GeometricGrid
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder

LATE = 0.9
"""Of the training, after which a component would not have the time to learn."""


def parts_of(trainer: Trainer, pl_module: LightningModule) -> tuple[NonNegativeAutoencoder, MatrixDataModule]:
    """The net and the data that every callback here is given; Lightning's types say less."""
    data = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
    assert isinstance(pl_module, NonNegativeAutoencoder)
    assert isinstance(data, MatrixDataModule)
    return pl_module, data


class Monitor(Callback, ABC):
    """Looks at the net before training, on a geometric grid of epochs, and at the end; once a step, also over a resume.

    What it measures goes to every logger and, at epochs, to `trainer.callback_metrics`. Over several processes rank 0
    looks, and the others wait where they need it next.
    """

    def __init__(self, growth: float):
        self.grid = GeometricGrid(growth)
        self.looked_step = -1

    @abstractmethod
    def look(self, trainer: Trainer, net: NonNegativeAutoencoder, data: MatrixDataModule) -> dict[str, float]: ...

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.global_step == 0:
            self._look(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch + 1 in self.grid and self.looked_step != trainer.global_step:
            pl_module.log_dict(self._look(trainer, pl_module), logger=False, rank_zero_only=True)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.looked_step != trainer.global_step:
            self._look(trainer, pl_module)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A start that is not trained, with `max_epochs=0`, is looked at too."""
        self.on_train_end(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        return {"looked_step": self.looked_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.looked_step = state_dict["looked_step"]

    def _look(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, float]:
        net, data = parts_of(trainer, pl_module)
        net.gather_()
        measured = self.look(trainer, net, data) if trainer.is_global_zero else {}
        self.looked_step = trainer.global_step
        if measured:
            for logger in trainer.loggers:
                logger.log_metrics(measured, step=trainer.global_step)
        return measured


def late(trainer: Trainer) -> bool:
    """Whether it is too late for a component to begin anew."""
    epochs, steps = trainer.max_epochs, trainer.max_steps
    return (
        trainer.should_stop
        or (epochs is not None and epochs >= 0 and trainer.current_epoch + 1 > LATE * epochs)
        or (steps >= 0 and trainer.global_step > LATE * steps)
    )

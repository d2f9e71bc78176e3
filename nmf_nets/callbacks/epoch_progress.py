"""A bar that says how good it is already."""

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ProgressBar
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class EpochProgress(ProgressBar):
    """Epochs done, the last measured divergence, and how far own codes stand above exact ones.

    One bar for the whole training: Lightning's own draw one for every epoch, which costs more than an epoch here.
    """

    def __init__(self) -> None:
        super().__init__()
        self._bar: Progress | None = None
        self._shown = True

    def enable(self) -> None:
        self._shown = True

    def disable(self) -> None:
        """As Lightning does on all ranks but the first."""
        self._shown = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self._shown:
            return
        self._bar = Progress(
            TextColumn("epoch"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("loss {task.fields[loss]}  gap to exact codes {task.fields[gap]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            refresh_per_second=8,
        )
        total = trainer.max_epochs if trainer.max_epochs and trainer.max_epochs > 0 else None
        self._task = self._bar.add_task("", total=total, completed=trainer.current_epoch, loss="…", gap="…")
        self._bar.start()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._bar is None:
            return
        measured = trainer.callback_metrics
        if "training/divergence" in measured:
            gap = measured.get("training/code_gap")
            shown = "—" if gap is None else f"{float(gap):.2%}"
            self._bar.update(self._task, loss=f"{float(measured['training/divergence']):.6g}", gap=shown)
        self._bar.update(self._task, completed=trainer.current_epoch + 1)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

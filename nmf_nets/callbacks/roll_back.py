"""Back to the last good state, with smaller steps, where training diverges."""

import logging
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback, Checkpoint
from torch import Tensor

from nmf_nets.callbacks.stopwatch import Stopwatch
from nmf_nets.factorization import Factorization
from nmf_nets.grid import GeometricGrid
from nmf_nets.loader import Batch
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder
from nmf_nets.refusal import Refusal
from nmf_nets.whole_file import replacing

log = logging.getLogger(__name__)

RATES = ("lr", "first_lr")
"""Of a group of parameters: the rate of the next step, and the one that decays to it."""


@dataclass(frozen=True)
class State:
    """Copies of what training goes on from."""

    step: int
    weights: dict[str, Tensor]
    optimizer: dict[str, Any]
    callbacks: dict[str, dict[str, Any]]


class RollBack(Callback):
    """Looks, often at first and at least after every so many steps, whether all weights and what encoders keep are
    finite, and whether D of the batch is at most `explosion` times that of a constant matrix, or that of the start
    where it was worse.

    If not, weights, moments and what callbacks keep become those of the last look that was good, and all learning rates
    are halved for good; batches, epochs and the stopwatch go on. After `most` times it refuses, and leaves in `path`
    what there is to look into. D is asked for only where gradients move weights: half-steps and multiplicative steps do
    not raise what they minimise. They have no rate either, so that a number that is not finite ends their run at once.
    No start is much worse than a constant matrix, and steps that come back overshoot it by less than ten times
    (heuristic).
    The last good state is in memory; a checkpoint has it, too, where it is not what the checkpoint is of, so that a
    resumed run rolls back to the same.
    """

    def __init__(self, path: str, every_n_steps: int = 100, explosion: float = 10.0, most: int = 3):
        if not (every_n_steps >= 1 and explosion > 1 and most >= 0):
            raise Refusal(
                f"callbacks.roll_back has every_n_steps={every_n_steps}, explosion={explosion} and most={most}, but "
                "they must be at least 1, above 1, and at least 0."
            )
        self.path, self.every_n_steps, self.explosion, self.most = Path(path), every_n_steps, explosion, most
        self.grid = GeometricGrid(1.25)
        self.count, self.start_ratio = 0, 0.0
        self.good: State | None = None
        self._net: NonNegativeAutoencoder | None = None
        self._batch: Batch | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, NonNegativeAutoencoder)
        self._net = pl_module
        self.good = self.good or _state(trainer, pl_module)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        assert isinstance(pl_module, NonNegativeAutoencoder)
        if self.start_ratio == 0:
            self.start_ratio = max(1.0, ratio_to_constant(pl_module, batch))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step, epoch = trainer.global_step, trainer.current_epoch + 1
        if step in self.grid or step % self.every_n_steps == 0 or (trainer.is_last_batch and epoch in self.grid):
            self._look(trainer, pl_module, batch)
        self._batch = batch

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert self.good is not None
        if self._batch is not None and self.good.step != trainer.global_step:
            self._look(trainer, pl_module, self._batch)

    def state_dict(self) -> dict[str, Any]:
        kept = None if self.good is None or self._is_now(self.good) else asdict(self.good)
        return {"count": self.count, "start_ratio": self.start_ratio, "good": kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.count, self.start_ratio, good = state_dict["count"], state_dict["start_ratio"], state_dict["good"]
        self.good = None if good is None else State(**good)

    def _is_now(self, good: State) -> bool:
        """Whether nothing was done since."""
        assert self._net is not None
        now = self._net.state_dict()
        return good.step == self._net.trainer.global_step and all(
            torch.equal(now[key], good.weights[key]) for key in now
        )

    def _look(self, trainer: Trainer, net: LightningModule, batch: Batch) -> None:
        assert isinstance(net, NonNegativeAutoencoder)
        assert self.good is not None
        optimizer = trainer.optimizers[0]
        moved = moved_by_gradients(optimizer)
        found = None if _finite(net) else "numbers that are not finite"
        if found is None and moved:
            ratio = ratio_to_constant(net, batch)
            found = None if ratio <= self.explosion * self.start_ratio else f"{ratio:.3g} times D of a constant matrix"
        if not trainer.strategy.reduce_boolean_decision(found is not None, all=False):
            self.good = _state(trainer, net)
            return
        found = found or "the same on another rank"
        if not moved or self.count == self.most:
            self._refuse(trainer, net, batch, found, bool(moved))
        self.count += 1
        if trainer.is_global_zero:
            log.warning(
                f"training came to {found} after {trainer.global_step} steps, and goes on from where it was after "
                f"{self.good.step} with half the learning rates ({self.count} of at most {self.most} times)."
            )
            for logger in trainer.loggers:
                logger.log_metrics({"rolled_back": float(self.count)}, step=trainer.global_step)
        _restore(trainer, net, self.good)
        for group in moved_by_gradients(optimizer):
            group.update({name: group[name] / 2 for name in RATES if name in group})
        self.good = _state(trainer, net)

    def _refuse(self, trainer: Trainer, net: LightningModule, batch: Batch, found: str, has_rate: bool) -> None:
        """Leaves what stood, what was good, the rows of the batch and the configuration, and ends the run."""
        assert self.good is not None
        left = self.path / f"diverged_after_{trainer.global_step}.pt"
        config = self.path / "config.yaml"
        known = {
            "found": found,
            "step": trainer.global_step,
            "epoch": trainer.current_epoch,
            "rows": batch.rows,
            "X": batch.X.dense() if batch.rows is None else None,
            "weights": net.state_dict(),
            "optimizer": trainer.optimizers[0].state_dict(),
            "good": asdict(self.good),
            "config": config.read_text() if config.is_file() else None,
        }
        if trainer.is_global_zero:
            with replacing(left) as unfinished, unfinished.open("wb") as file:
                torch.save(known, file)
        tried = (
            f"also after learning rates were halved {self.count} times; choose smaller ones (optimizer.lr, "
            "optimizer.net_lr)"
            if has_rate
            else "by a step that has no learning rate to be made smaller; look into data and weights"
        )
        raise Refusal(
            f"training came to {found} after {trainer.global_step} steps, {tried}. {left} holds the rows of the batch, "
            f"the weights then and after {self.good.step} steps, when they were good, and the configuration."
        )


def moved_by_gradients(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """The groups of parameters that had a gradient in the last step, and have a learning rate."""
    groups = [group for group in optimizer.param_groups if "lr" in group]
    return [group for group in groups if any(parameter.grad is not None for parameter in group["params"])]


@torch.no_grad()
def ratio_to_constant(net: NonNegativeAutoencoder, batch: Batch) -> float:
    """D(X | H W) / D(X | mean(X)) with the net's own codes: free of units, of the size of X and of its sparsity."""
    X, own, divergence = batch.X, net.factorize(batch.X, batch.rows), net.divergence
    n, m = X.shape
    constant = Factorization(own.H.new_ones(n, 1), X.mean.to(own.W).expand(1, m))
    return float(divergence.total(X, own)) / max(float(divergence.total(X, constant)), divergence.rounding(X))


def _finite(net: LightningModule) -> bool:
    """Asks the device once."""
    tensors = [tensor for tensor in net.state_dict().values() if tensor.is_floating_point()]
    return bool(torch.stack([tensor.isfinite().all() for tensor in tensors]).all())


def _state(trainer: Trainer, net: LightningModule) -> State:
    states = {callback.state_key: callback.state_dict() for callback in _of_weights(trainer)}
    return State(
        trainer.global_step,
        deepcopy(dict(net.state_dict())),
        deepcopy(trainer.optimizers[0].state_dict()),
        deepcopy({key: state for key, state in states.items() if state}),
    )


def _restore(trainer: Trainer, net: LightningModule, state: State) -> None:
    state = deepcopy(state)  # optimizers work on what they are given
    net.load_state_dict(state.weights)
    trainer.optimizers[0].load_state_dict(state.optimizer)
    for callback in _of_weights(trainer):
        if callback.state_key in state.callbacks:
            callback.load_state_dict(state.callbacks[callback.state_key])


def _of_weights(trainer: Trainer) -> list[Callback]:
    """Those whose state belongs to the weights: time has passed all the same, and files were written."""
    callbacks: list[Callback] = trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
    return [callback for callback in callbacks if not isinstance(callback, RollBack | Stopwatch | Checkpoint)]

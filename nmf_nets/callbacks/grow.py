"""Components that come one after another while a net is trained."""

from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback

from nmf_nets.callbacks.base import parts_of
from nmf_nets.callbacks.reseed import Reseed
from nmf_nets.decoders.linear import Linear
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder
from nmf_nets.optimizers.block import Block
from nmf_nets.optimizers.online import Online
from nmf_nets.refusal import Refusal
from nmf_nets.sequential import appended, first_component, refuse_growth
from nmf_nets.updates.base import Update


class Grow(Callback):
    """Nested growth of a net: it begins with one component, and every `epochs` epochs another is appended to its own
    codes and W as in Growth, all that there are going on to be trained.

    The net has all its components from the start; those to come are 0 in W and in the codes, which no step can change:
    a checkpoint is that of any net, and a resumed run is the uninterrupted one. Of the start only the shapes count.
    update: that refines a new component alone. With a table, full batches and block steps without extrapolation this
    is Growth.
    Refuses constraints without a zero, encoders that give codes to a component of zeros, Reseed, and a training that
    ends before the last component has come.
    """

    def __init__(self, update: Update, epochs: int = 20):
        if not epochs >= 1:
            raise Refusal(f"callbacks.grow.epochs is {epochs}, but must be at least 1.")
        self.update, self.epochs, self.grown = update, epochs, 0

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, NonNegativeAutoencoder)
        needed = (len(pl_module.decoder.W) - 1) * self.epochs + 1
        if trainer.max_epochs is not None and 0 <= trainer.max_epochs < needed:
            raise Refusal(
                f"the last component would come in epoch {needed}, but trainer.max_epochs is {trainer.max_epochs}; "
                "lower callbacks.grow.epochs."
            )
        if any(isinstance(callback, Reseed) for callback in trainer.callbacks):  # pyright: ignore[reportAttributeAccessIssue]
            raise Refusal(
                "callbacks.reseed would start components before they grow; take it out with ~callbacks.reseed."
            )

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Before a batch, on the clock; of an epoch that a resumed run begins with Lightning does not tell."""
        net, data = parts_of(trainer, pl_module)
        due = min(len(net.decoder.W), 1 + trainer.current_epoch // self.epochs)
        while self.grown < due:
            self.grow(net, trainer.optimizers[0], data.training.to(net.device))

    @torch.no_grad()
    def grow(self, net: NonNegativeAutoencoder, optimizer: object, X: Matrix) -> None:
        """One component more; the first leaves the others at zero."""
        decoder, k = net.decoder, self.grown
        if not isinstance(decoder, Linear):
            raise Refusal(f"components of {type(decoder).__name__} cannot grow, as it makes W of other weights.")
        W = decoder.W.clone()
        if k == 0:
            refuse_growth(X, net.criterion, self.update)
            new, moved = first_component(X), torch.arange(len(W), device=W.device)
            W = torch.zeros_like(W)
        else:
            if bool(W[k:].any()):
                raise Refusal(
                    f"{type(net.encoder).__name__} gives codes to components that are 0, so that they do not wait to "
                    "grow; use encoder=unrolled, exact or table."
                )
            net.gather_()
            own = net.own_factors(X)
            before = Factorization(own.H[:, :k], own.W[:k])
            new, moved = appended(X, before, net.criterion, self.update), torch.tensor([k], device=W.device)
        W[k] = new.W[k]
        codes = W.new_zeros(X.shape[0], len(W))
        codes[:, k] = new.H[:, k]
        net.group.from_first_(W, codes)
        decoder.assign_(W)
        net.encoder.restart_(moved, W, codes)
        if isinstance(optimizer, Block | Online):
            optimizer.forget_(moved)
        self.grown = k + 1
        if k == 0 and bool(decoder.W[1:].any()):
            raise Refusal("components to come have to be 0, which this constraint never is; use constraint=projected.")

    def state_dict(self) -> dict[str, Any]:
        return {"grown": self.grown}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.grown = state_dict["grown"]

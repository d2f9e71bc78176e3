"""Motifs in the middle of their lags."""

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback

from nmf_nets.callbacks.base import late, parts_of
from nmf_nets.decoders.convolutive import Convolutive
from nmf_nets.grid import GeometricGrid
from nmf_nets.lags import moved
from nmf_nets.matrix import Matrix
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder

LIFT = 0.01
"""Of the mean of a component's codes: what the last rows get, which have none to move there."""


class Recentre(Callback):
    """On a geometric grid of epochs, moves every motif to the middle of its lags, and its codes as much the other way.

    A motif of which a part has no room at one end of the lags is the usual local minimum of convolutive NMF, which no
    step leaves: the motif a row later, with its codes a row earlier, is far away. The divergence rises at such an epoch
    by what is moved out (heuristic). Nothing is done with other decoders.
    Source: Mackevicius et al. (2019).
    """

    def __init__(self, growth: float = 2.0):
        self.grid = GeometricGrid(growth)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        net, data = parts_of(trainer, pl_module)
        if trainer.current_epoch + 1 in self.grid and not late(trainer):
            self.recentre(net, data.training.to(net.device))

    @torch.no_grad()
    def recentre(self, net: NonNegativeAutoencoder, X: Matrix) -> None:
        decoder, encoder, rows = net.decoder, net.encoder, torch.arange(X.shape[0], device=X.device)
        if not isinstance(decoder, Convolutive):
            return
        H = net.codes(X, rows) if encoder.kept is None else encoder.kept
        by = decoder.recentre_().repeat(decoder.shifts)
        encoder.keep_(moved(H.T, -by, LIFT * H.mean(0)).T, rows)

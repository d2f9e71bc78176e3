"""Which components explain nothing."""

import logging

import torch
from pytorch_lightning import Trainer

from nmf_nets.callbacks.base import Monitor
from nmf_nets.data.base import MatrixDataModule
from nmf_nets.metrics.dead_components import DEAD, component_shares
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder

log = logging.getLogger(__name__)


class DeadComponentMonitor(Monitor):
    """Warns once of every component that dies, by its number; logs the least share of ΣX̂ that a component brings."""

    def __init__(self, growth: float = 1.25):
        super().__init__(growth)
        self.dead: set[int] = set()

    def look(self, trainer: Trainer, net: NonNegativeAutoencoder, data: MatrixDataModule) -> dict[str, float]:
        shares = component_shares(net.own_factors(data.training.to(net.device)))
        dead = {int(k) for k in torch.nonzero(shares <= DEAD / len(shares))}
        died = sorted(dead - self.dead)
        if trainer.global_step > 0:  # before training, codes of a start are nobody's fault
            self.dead |= dead
            if died and trainer.is_global_zero:
                log.warning(
                    f"components {died} explain nothing after {trainer.global_step} steps; try another init or seed."
                )
        return {"least_share": float(shares.min())}

"""A half-step on W from the codes of the batch."""

from collections.abc import Callable
from dataclasses import replace

import torch

from nmf_nets.decoders.base import Decoder
from nmf_nets.encoders.base import Encoder
from nmf_nets.encoders.table import Table
from nmf_nets.heads.base import Head
from nmf_nets.objective import Objective
from nmf_nets.optimizers.base import NetAdam
from nmf_nets.updates.base import Update


class Block(NetAdam):
    """W ← update(Xᵀ, Wᵀ, Hᵀ)ᵀ, `repeats` times; before it a half-step on the codes of a table, or Adam on what else the
    encoder and a head learn. With a table or exact codes on full batches this is the classical solver.

    W is fitted to the batch at hand alone, and to no head: for batches that do not hold all there is to learn, Online.
    lr, net_lr, decay: of NetAdam.
    Raises Refusal, at the first step, if the update does not lower the divergence of the objective.
    """

    def __init__(
        self,
        encoder: Encoder,
        decoder: Decoder,
        update: Update,
        repeats: int = 1,
        lr: float = 0.1,
        net_lr: float = 1e-2,
        decay: float = 400,
        head: Head | None = None,
    ):
        super().__init__(encoder, decoder, lr, net_lr, decay, head)
        self._table = encoder.codes if isinstance(encoder, Table) else None
        self._decoder, self._update, self._repeats = decoder, update, repeats

    def step(self, closure: Callable[[], Objective]) -> Objective:  # pyright: ignore[reportIncompatibleMethodOverride]
        with torch.enable_grad():
            objective = closure()
        self._update.refuse(objective.divergence)
        X, W, H = objective.X, objective.factors.W.detach(), objective.factors.H.detach()
        if self._table is None:
            self.learn(objective)
        else:
            self.learn(replace(objective, factors=objective.factors.detach(), proposal=None))
            H = self._update(X, H, W, self._repeats)
            self._table.assign_(H, objective.rows)
        self._decoder.assign_(self._update(X.T, W.T, H.T, self._repeats).T)
        return objective

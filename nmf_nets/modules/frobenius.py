"""The autoencoder of the Frobenius loss."""

from collections.abc import Callable
from functools import partial

import torch

from nmf_nets.constraints.projected import Projected
from nmf_nets.decoders.base import Decoder
from nmf_nets.decoders.linear import Linear
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.encoders.base import Encoder
from nmf_nets.encoders.unrolled import Unrolled
from nmf_nets.factorization import Factorization
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder
from nmf_nets.optimizers.block import Block
from nmf_nets.updates.hals import HALS


class FrobeniusNMF(NonNegativeAutoencoder):
    """½ ‖X − H W‖², by default with tied HALS sweeps for H and for W."""

    def __init__(
        self,
        start: Factorization,
        encoder: Encoder | None = None,
        decoder: Decoder | None = None,
        optimizer: Callable[[Encoder, Decoder], torch.optim.Optimizer] | None = None,
    ):
        super().__init__(
            encoder or Unrolled(start, HALS()),
            decoder or Linear(start, Projected()),
            Frobenius(),
            optimizer or partial(Block, update=HALS()),
        )

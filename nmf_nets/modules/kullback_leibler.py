"""The autoencoder of the Kullback–Leibler loss."""

from collections.abc import Callable
from functools import partial

import torch

from nmf_nets.constraints.projected import Projected
from nmf_nets.decoders.base import Decoder
from nmf_nets.decoders.linear import Linear
from nmf_nets.divergences.kullback_leibler import KullbackLeibler
from nmf_nets.encoders.base import Encoder
from nmf_nets.encoders.unrolled import Unrolled
from nmf_nets.factorization import Factorization
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder
from nmf_nets.optimizers.block import Block
from nmf_nets.updates.scalar_newton import ScalarNewton


class KullbackLeiblerNMF(NonNegativeAutoencoder):
    """Σ x log(x / x̂) − x + x̂, by default with tied scalar Newton sweeps for H and for W."""

    def __init__(
        self,
        start: Factorization,
        encoder: Encoder | None = None,
        decoder: Decoder | None = None,
        optimizer: Callable[[Encoder, Decoder], torch.optim.Optimizer] | None = None,
    ):
        super().__init__(
            encoder or Unrolled(start, ScalarNewton()),
            decoder or Linear(start, Projected()),
            KullbackLeibler(),
            optimizer or partial(Block, update=ScalarNewton()),
        )

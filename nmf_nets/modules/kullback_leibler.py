"""The autoencoder of the Kullback–Leibler loss."""

from functools import partial

from nmf_nets.constraints.projected import Projected
from nmf_nets.decoders.base import Decoder
from nmf_nets.decoders.linear import Linear
from nmf_nets.divergences.kullback_leibler import KullbackLeibler
from nmf_nets.encoders.base import Encoder
from nmf_nets.encoders.unrolled import Unrolled
from nmf_nets.factorization import Factorization
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder
from nmf_nets.optimizers.base import MakeOptimizer
from nmf_nets.optimizers.block import Block
from nmf_nets.updates.scalar_newton import ScalarNewton


class KullbackLeiblerNMF(NonNegativeAutoencoder):
    """Σ x log(x / x̂) − x + x̂, by default with tied scalar Newton sweeps for H and for W.

    Parts that are not given are made from the start.
    """

    def __init__(
        self,
        start: Factorization | None = None,
        encoder: Encoder | None = None,
        decoder: Decoder | None = None,
        optimizer: MakeOptimizer | None = None,
    ):
        if start is not None:
            encoder = encoder or Unrolled(start, ScalarNewton())
            decoder = decoder or Linear(start, Projected())
        if encoder is None or decoder is None:
            raise TypeError("either a start, or both an encoder and a decoder")
        super().__init__(encoder, decoder, KullbackLeibler(), optimizer or partial(Block, update=ScalarNewton()))

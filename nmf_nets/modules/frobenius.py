"""The autoencoder of the Frobenius loss."""

from functools import partial

from nmf_nets.constraints.projected import Projected
from nmf_nets.decoders.base import Decoder
from nmf_nets.decoders.linear import Linear
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.encoders.base import Encoder
from nmf_nets.encoders.unrolled import Unrolled
from nmf_nets.factorization import Factorization
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder
from nmf_nets.optimizers.base import MakeOptimizer
from nmf_nets.optimizers.block import Block
from nmf_nets.updates.hals import HALS


class FrobeniusNMF(NonNegativeAutoencoder):
    """½ ‖X − H W‖², by default with tied HALS sweeps for H and for W.

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
            encoder = encoder or Unrolled(start, HALS())
            decoder = decoder or Linear(start, Projected())
        if encoder is None or decoder is None:
            raise TypeError("either a start, or both an encoder and a decoder")
        super().__init__(encoder, decoder, Frobenius(), optimizer or partial(Block, update=HALS()))

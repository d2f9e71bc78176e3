"""What the named forms share."""

from functools import partial

from nmf_nets.constraints.projected import Projected
from nmf_nets.decoders.base import Decoder
from nmf_nets.decoders.linear import Linear
from nmf_nets.encoders.base import Encoder
from nmf_nets.encoders.unrolled import Unrolled
from nmf_nets.factorization import Factorization, refuse_equal_components
from nmf_nets.optimizers.base import MakeOptimizer
from nmf_nets.optimizers.block import Block
from nmf_nets.updates.base import Update


def completed(
    update: Update,
    start: Factorization | None,
    encoder: Encoder | None,
    decoder: Decoder | None,
    optimizer: MakeOptimizer | None,
) -> tuple[Encoder, Decoder, MakeOptimizer]:
    """The parts that are given, and for the others the tied encoder, the plain decoder and the block step."""
    if start is not None:
        refuse_equal_components(start)
        encoder = encoder or Unrolled(start, update)
        decoder = decoder or Linear(start, Projected())
    if encoder is None or decoder is None:
        raise TypeError("either a start, or both an encoder and a decoder")
    return encoder, decoder, optimizer or partial(Block, update=update)

"""The autoencoder of the Frobenius loss."""

from collections.abc import Sequence

from nmf_nets.decoders.base import Decoder
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.encoders.base import Encoder
from nmf_nets.factorization import Factorization
from nmf_nets.heads.base import Head
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder
from nmf_nets.modules.base import completed
from nmf_nets.optimizers.base import MakeOptimizer
from nmf_nets.penalties.base import PairPenalty, Penalty
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
        head: Head | None = None,
        penalties_H: Sequence[Penalty] = (),
        penalties_W: Sequence[Penalty] = (),
        penalties_HW: Sequence[PairPenalty] = (),
    ):
        encoder, decoder, optimizer = completed(HALS(), start, encoder, decoder, optimizer)
        super().__init__(encoder, decoder, Frobenius(), optimizer, head, penalties_H, penalties_W, penalties_HW)

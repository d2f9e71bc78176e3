"""The codes of the codes: level by level, each the best there is on the weights of its own level."""

from torch import Tensor

from nmf_nets.criterion import PLAIN, Terms
from nmf_nets.decoders.base import Decoder
from nmf_nets.divergences.base import Divergence
from nmf_nets.encoders.base import Encoder
from nmf_nets.encoders.exact import Exact
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import DenseMatrix, Matrix
from nmf_nets.part import part_name
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Codes, Rows
from nmf_nets.updates.base import Update


class Hierarchical(Encoder):
    """Neural NMF, for decoder=deep: H_1 = argmin D(X | H_1 W_1), H_2 = argmin D(H_1 | H_2 W_2), …, all H_l ≥ 0.

    The codes are a function of all weights, by the implicit gradient of each level, so that every level learns what the
    levels above need of it; before training they are those of the layer-wise factorization that the decoder starts
    from. They are not the best codes on the product of the levels, which encoder=exact has.
    decoder: whose levels these are; it keeps them. tolerance, most: as in Exact, for each level.
    Refuses what Exact with an implicit gradient does.
    Source: Gao, Haddock & Needell (2019); Will et al. (2023).
    """

    codes_follow_W = True

    def __init__(
        self,
        start: Factorization | None,
        decoder: Decoder,
        update: Update,
        tolerance: float = 1e-7,
        most: int = 1000,
    ):
        super().__init__()
        if len(decoder.levels) < 2:
            raise Refusal(
                f"encoder=hierarchical codes level by level, but decoder={part_name(decoder)} has one level; use "
                "decoder=deep, or encoder=exact."
            )
        self._decoder = (decoder,)  # in a tuple, as its weights are not this part's
        self._exact = Exact(None, update, tolerance, most, implicit=True)

    def forward(self, X: Matrix, W: Tensor, rows: Rows | None = None, terms: Terms = PLAIN) -> Codes:
        (decoder,) = self._decoder
        for level in decoder.levels:
            H = self._exact(X, level)
            X = DenseMatrix(H)
        return H  # pyright: ignore[reportPossiblyUnboundVariable]  # there are two levels at least

    def refuse_data(self, X: Matrix, terms: Terms = PLAIN) -> None:
        self._exact.refuse_data(X, terms)

    def refuse(self, divergence: Divergence, terms: Terms = PLAIN) -> None:
        self._exact.refuse(divergence, terms)

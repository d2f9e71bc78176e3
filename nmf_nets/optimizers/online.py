"""Mini-batches that add up to full batches."""

from collections.abc import Callable

import torch
from torch import Tensor

from nmf_nets.criterion import Terms
from nmf_nets.decoders.base import Decoder
from nmf_nets.encoders.base import Encoder
from nmf_nets.heads.base import Head
from nmf_nets.matrix import Matrix
from nmf_nets.objective import Objective
from nmf_nets.optimizers.base import NetAdam
from nmf_nets.running_sums.of_update import sums_of
from nmf_nets.updates.base import Update


class Online(NetAdam):
    """W ← the minimum of a model of D that is a sum over rows, where those of the batch have just taken the place of
    what was known of them: with mini-batches it comes to where full batches do. Before W, Adam on what the encoder and
    a head learn.

    For the Frobenius divergence the model is D itself (GramSums), and on full batches this is Block; for
    Kullback–Leibler it is Newton's (NewtonSums); with update=multiplicative, for any β, for data with weights and for
    penalties on W, it is the majoriser of that step (MultiplicativeSums). Rows without a place in the training matrix,
    as of a stream, are added to what is remembered of the others: with cold codes this is Stream, step by step.
    memory: what earlier rows still weigh at each batch: of a stream, and in the first two passes, as their codes were
    made when W was worse, but no less than lets 64 rows a component weigh; later all rows weigh the same.
    aging: of a stream, how fast the codes of its first batches are forgotten (RunningSums); 0 leaves it to memory.
    update: of the model by steps for the Frobenius divergence; `repeats` of them.
    lr, net_lr, decay: of NetAdam.
    """

    def __init__(
        self,
        encoder: Encoder,
        decoder: Decoder,
        update: Update,
        repeats: int = 2,
        memory: float = 0.9,
        aging: float = 0.0,
        lr: float = 0.1,
        net_lr: float = 1e-2,
        decay: float = 400,
        head: Head | None = None,
    ):
        super().__init__(encoder, decoder, lr, net_lr, decay, head)
        self._update, self._sums = update, sums_of(update, repeats, memory, aging)

    def step(self, closure: Callable[[], Objective]) -> Objective:  # pyright: ignore[reportIncompatibleMethodOverride]
        with torch.enable_grad():
            objective = closure()
        self._update.refuse(objective.divergence)
        self._sums.refuse(objective)
        self.learn(objective)
        self._decoder.assign_(self._sums.fitted(objective, self.known))
        return objective

    def refuse_data(self, X: Matrix, on_W: Terms) -> None:
        self._sums.refuse_data(X)

    def refuse_ranks(self, ranks: int) -> None:
        self._sums.refuse_ranks(ranks)

    def forget_(self, components: Tensor) -> None:
        """What the sums hold of these components."""
        self._sums.forget_(self.known, components)

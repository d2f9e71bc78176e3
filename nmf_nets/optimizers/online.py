"""Mini-batches that add up to full batches."""

from collections.abc import Callable

import torch
from torch import Tensor

from nmf_nets.decoders.base import Decoder
from nmf_nets.encoders.base import Encoder
from nmf_nets.heads.base import Head
from nmf_nets.objective import Objective
from nmf_nets.optimizers.base import NetAdam
from nmf_nets.refusal import Refusal
from nmf_nets.running_sums.base import RunningSums
from nmf_nets.running_sums.gram import GramSums
from nmf_nets.running_sums.newton import NewtonSums
from nmf_nets.updates.base import GramUpdate, Update
from nmf_nets.updates.scalar_newton import ScalarNewton


class Online(NetAdam):
    """W ← the minimum of a quadratic model of D that is a sum over rows, where those of the batch have just taken the
    place of what was known of them: with mini-batches it comes to where full batches do. Before W, Adam on what the
    encoder and a head learn.

    For the Frobenius divergence the model is D itself (GramSums), and on full batches this is Block; for
    Kullback–Leibler it is Newton's (NewtonSums). Rows without a place in the training matrix, as of a stream, are added
    to what is remembered of the others.
    memory: what earlier rows still weigh at each batch: of a stream, and in the first two passes, as their codes were
    made when W was worse, but no less than lets 64 rows a component weigh; later all rows weigh the same.
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
        lr: float = 0.1,
        net_lr: float = 1e-2,
        decay: float = 400,
        head: Head | None = None,
    ):
        if not 0 < memory <= 1:
            raise Refusal(f"optimizer.memory is {memory}, but must be above 0 and 1 at most, which forgets nothing.")
        super().__init__(encoder, decoder, lr, net_lr, decay, head)
        self._update, self._sums = update, _sums(update, repeats, memory)

    def step(self, closure: Callable[[], Objective]) -> Objective:  # pyright: ignore[reportIncompatibleMethodOverride]
        with torch.enable_grad():
            objective = closure()
        self._update.refuse(objective.divergence)
        if objective.on_W.penalties:
            raise Refusal("optimizer=online knows no penalties on W; use optimizer=block on full batches.")
        if objective.X.weights is not None:
            raise Refusal("optimizer=online has no sums for data with weights; use optimizer=block on full batches.")
        self.learn(objective)
        self._decoder.assign_(self._sums.fitted(objective, self.known))
        return objective

    def forget_(self, components: Tensor) -> None:
        """What the sums hold of these components."""
        self._sums.forget_(self.known, components)


def _sums(update: Update, repeats: int, memory: float) -> RunningSums:
    if isinstance(update, GramUpdate):
        return GramSums(repeats, memory, update)
    if isinstance(update, ScalarNewton):
        return NewtonSums(repeats, memory)
    raise Refusal(
        "optimizer=online finds W from sums over rows, which there are for the updates of the Frobenius divergence and "
        f"for ScalarNewton, but not for {type(update).__name__}; use optimizer=block on full batches."
    )

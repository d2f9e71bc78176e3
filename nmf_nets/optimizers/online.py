"""Mini-batches that add up to full batches."""

from collections.abc import Callable

import torch
from torch import Tensor

from nmf_nets.decoders.base import Decoder
from nmf_nets.encoders.base import Encoder
from nmf_nets.objective import Objective
from nmf_nets.optimizers.base import NetAdam
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Rows
from nmf_nets.updates.base import GramUpdate, Update


class Online(NetAdam):
    """W ← the half-step on A = HᵀX and C = HᵀH of all rows, where those of the batch have just replaced their old part:

        A ← A + (H_new − H_old)ᵀ X_batch        C ← C + H_newᵀ H_new − H_oldᵀ H_old

    for the Frobenius divergence. Rows without a place in the training matrix, as of a stream, are added to what is
    remembered of the others, times `memory`. On full batches it is Block. Before W, Adam on what the encoder learns.
    Holds the codes of all rows, and a matrix of the size of W.
    lr, net_lr, decay: of NetAdam.
    """

    def __init__(
        self,
        encoder: Encoder,
        decoder: Decoder,
        update: Update,
        repeats: int = 1,
        memory: float = 0.95,
        lr: float = 0.1,
        net_lr: float = 1e-2,
        decay: float = 400,
    ):
        super().__init__(encoder, decoder, lr, net_lr, decay)
        if not isinstance(update, GramUpdate):
            raise Refusal(
                "optimizer=online finds W from sums over rows, as the Frobenius divergence allows, but "
                f"{type(update).__name__} needs the rows; use optimizer=block on full batches."
            )
        self._decoder, self._update, self._repeats, self._memory = decoder, update, repeats, memory

    def step(self, closure: Callable[[], Objective]) -> Objective:  # pyright: ignore[reportIncompatibleMethodOverride]
        with torch.enable_grad():
            objective = closure()
        self._update.refuse(objective.divergence)
        self.learn(objective)
        X, W, H = objective.X, objective.factors.W.detach(), objective.factors.H.detach()
        known = self.state.setdefault(next(iter(self._decoder.parameters())), {})
        if not known:
            known["products"], known["gram"] = torch.zeros_like(W.T), W.new_zeros(len(W), len(W))
            known["codes"], known["step"] = W.new_zeros(0, len(W)), W.new_zeros(())  # Adam asks for a step
        if objective.rows is None:
            for name, part in (("products", X.T @ H), ("gram", H.T @ H)):
                known[name].mul_(self._memory).add_(part)
        else:
            known["codes"] = codes = _long_enough(known["codes"], objective.rows)
            old = codes[objective.rows]
            known["products"] += X.T @ (H - old)
            known["gram"] += H.T @ H - old.T @ old
            codes[objective.rows] = H
        new = self._update.solve(W.T.contiguous(), known["products"], known["gram"], self._repeats, 0.0)
        self._decoder.assign_(new.T)
        return objective

    def forget_(self, components: Tensor) -> None:
        """What the sums hold of these components."""
        known = self.state.get(next(iter(self._decoder.parameters())), {})
        if known:
            known["products"][:, components] = 0
            known["gram"][components] = 0
            known["gram"][:, components] = 0
            known["codes"][:, components] = 0


def _long_enough(codes: Tensor, rows: Rows) -> Tensor:
    """Rows that never came have codes of zero."""
    missing = int(rows.max()) + 1 - len(codes)
    return codes if missing <= 0 else torch.cat([codes, codes.new_zeros(max(missing, len(codes)), codes.shape[1])])

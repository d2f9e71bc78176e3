"""One component after another, each below what the others leave."""

from collections.abc import Callable
from typing import Any

import torch

from nmf_nets.decoders.base import Decoder
from nmf_nets.decoders.linear import Linear
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.encoders.base import Encoder
from nmf_nets.encoders.table import Table
from nmf_nets.factorization import Factorization
from nmf_nets.heads.base import Head
from nmf_nets.multipliers import (
    Approach,
    approached,
    begun,
    below,
    left_of,
    refuse_steps,
    refuse_underapproximation,
)
from nmf_nets.objective import Objective
from nmf_nets.refusal import Refusal


class Underapproximating(torch.optim.Optimizer):
    """NMU as a net: `steps` steps for each component in turn, on its column of a table and its row of W, all others
    frozen; those that come later are 0. A step lowers ½ ‖R − h wᵀ‖² + ⟨Λ, h wᵀ − R⟩, then Λ follows the overshoot.

    With a projected table on full batches this is Underapproximation, to the bit; steps after the last component
    change nothing. The start is not used. A greedy heuristic, not NMF of X.
    steps, exact: as in Underapproximation.
    """

    def __init__(
        self, encoder: Encoder, decoder: Decoder, steps: int = 200, exact: bool = True, head: Head | None = None
    ):
        if not isinstance(encoder, Table) or not isinstance(decoder, Linear) or head is not None:
            raise Refusal(
                "optimizer=underapproximating freezes the codes of one component after another; use encoder=table, "
                "decoder=linear and no head."
            )
        refuse_steps(steps, "optimizer.steps")
        super().__init__([{"params": [encoder.codes.theta, decoder.weight.theta]}], {})
        self._encoder, self._decoder, self._steps, self._exact = encoder, decoder, steps, exact

    @property
    def known(self) -> dict[str, Any]:
        """The residual, the multipliers, and how many steps were taken; saved with the state."""
        return self.state[self._decoder.weight.theta]

    @torch.no_grad()
    def step(self, closure: Callable[[], Objective]) -> Objective:  # pyright: ignore[reportIncompatibleMethodOverride]
        objective = closure()
        known, W = self.known, self._decoder.W.clone()
        if not known:
            self._refuse(objective)
            known.update(taken=0, residual=objective.X.dense(), multipliers=None)
            W = torch.zeros_like(W)
            self._encoder.keep_(W.new_zeros(objective.X.shape[0], len(W)), objective.rows)
        k, taken = divmod(known["taken"], self._steps)
        if k >= len(W):
            return objective
        H, R = self._encoder.codes.value.clone(), known["residual"]
        approach = begun(R) if taken == 0 else Approach(Factorization(H[:, [k]], W[[k]]), known["multipliers"])
        found, known["multipliers"] = approached(R, approach, taken + 1)
        if taken + 1 == self._steps:
            found = below(R, found) if self._exact else found.balanced()
            known["residual"] = left_of(R, found)
        H[:, [k]], W[[k]] = found.H, found.W
        self._encoder.keep_(H, torch.arange(len(H), device=H.device))
        self._decoder.assign_(W)
        known["taken"] += 1
        return objective

    def _refuse(self, objective: Objective) -> None:
        refuse_underapproximation(objective.X)
        if not isinstance(objective.divergence, Frobenius) or objective.on_H.penalties or objective.on_W.penalties:
            raise Refusal(
                "optimizer=underapproximating lowers squared errors alone; use divergence=frobenius, no penalty."
            )
        if objective.rows is None or objective.n_rows not in (None, objective.X.shape[0]):
            raise Refusal("optimizer=underapproximating needs all rows at once; use data.batch_size=null.")

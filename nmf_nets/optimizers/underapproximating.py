"""One component after another, each below what the others leave."""

from collections.abc import Callable
from typing import Any

import torch

from nmf_nets.criterion import Terms
from nmf_nets.decoders.base import Decoder
from nmf_nets.decoders.linear import Linear
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.encoders.base import Encoder
from nmf_nets.encoders.table import Table
from nmf_nets.factorization import Factorization
from nmf_nets.heads.base import Head
from nmf_nets.matrix import Matrix
from nmf_nets.multipliers import Approach, approached, begun, below, refuse_underapproximation
from nmf_nets.objective import Objective
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Data, Scalar


class Underapproximating(torch.optim.Optimizer):
    """NMU as a net: `steps` steps for each component in turn, on its column of a table and its row of W, all others
    frozen; those that come later are 0. A step lowers ½ ‖R − h wᵀ‖² + ⟨Λ, h wᵀ − R⟩, then Λ follows the overshoot.

    With a projected table this is Underapproximation; steps after the last component change nothing. The start is not
    used. A greedy heuristic, not NMF of X.
    steps, tolerance: as in Underapproximation.
    """

    def __init__(
        self,
        encoder: Encoder,
        decoder: Decoder,
        steps: int = 200,
        tolerance: float | None = 0.0,
        head: Head | None = None,
    ):
        if not isinstance(encoder, Table) or not isinstance(decoder, Linear) or head is not None:
            raise Refusal(
                "optimizer=underapproximating freezes the codes of one component after another; use encoder=table, "
                "decoder=linear and no head."
            )
        super().__init__([{"params": [encoder.codes.theta, decoder.weight.theta]}], {})
        self._encoder, self._decoder, self._steps, self._tolerance = encoder, decoder, steps, tolerance

    @property
    def known(self) -> dict[str, Any]:
        """What is left of X, the multipliers, and how many steps were taken; saved with the state."""
        return self.state[self._decoder.weight.theta]

    @torch.no_grad()
    def step(self, closure: Callable[[], Objective]) -> Objective:  # pyright: ignore[reportIncompatibleMethodOverride]
        objective = closure()
        X, known = objective.X, self.known
        if not known:
            self._refuse(objective)
            known.update(taken=0, left=X.dense(), multipliers=None)
            self._assign(*(torch.zeros_like(weight.value) for weight in (self._encoder.codes, self._decoder.weight)))
        k, taken = divmod(known["taken"], self._steps)
        H, W, left = self._encoder.codes.value.clone(), self._decoder.W.clone(), known["left"]
        if k >= len(W):
            return objective
        R = left.clamp(min=0)
        approach = begun(R) if taken == 0 else Approach(Factorization(H[:, [k]], W[[k]]), known["multipliers"])
        found, known["multipliers"] = approached(R, approach, taken + 1)
        if taken + 1 == self._steps:
            found = self._finished(left, found, X.mean)
            known["left"] = left - found.reconstruction
        H[:, [k]], W[[k]] = found.H, found.W
        self._assign(H, W)
        known["taken"] += 1
        return objective

    def refuse_data(self, X: Matrix, on_W: Terms) -> None:
        """Raises Refusal for data that are not all there or may be negative."""
        refuse_underapproximation(X, self._steps, self._tolerance)

    def _finished(self, left: Data, found: Factorization, mean: Scalar) -> Factorization:
        return found.balanced() if self._tolerance is None else below(left, found, self._tolerance * mean)

    def _assign(self, H: torch.Tensor, W: torch.Tensor) -> None:
        self._encoder.codes.assign_(H)
        self._decoder.assign_(W)

    def _refuse(self, objective: Objective) -> None:
        self.refuse_data(objective.X, objective.on_W)
        if not isinstance(objective.divergence, Frobenius) or objective.criterion.penalised:
            raise Refusal(
                "optimizer=underapproximating lowers squared errors alone; use divergence=frobenius, no penalty."
            )
        if objective.rows is None or objective.n_rows not in (None, objective.X.shape[0]):
            raise Refusal("optimizer=underapproximating needs all rows at once; use data.batch_size=null.")

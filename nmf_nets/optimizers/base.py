"""What the steps share."""

from collections.abc import Callable
from dataclasses import replace
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from nmf_nets.criterion import Terms
from nmf_nets.decoders.base import Decoder
from nmf_nets.decoders.linear import Linear
from nmf_nets.encoders.base import Encoder
from nmf_nets.factorization import Factorization
from nmf_nets.heads.base import Head
from nmf_nets.matrix import Matrix
from nmf_nets.objective import Objective
from nmf_nets.refusal import Refusal, refuse_number
from nmf_nets.weight import free_parameters_of, weights_of

MakeOptimizer = Callable[..., torch.optim.Optimizer]
"""Of (encoder, decoder), and of `head=` where the net has one."""

EPS = 1e-12
"""Of Adam, whose own 1e-8 is not small beside the gradient of D / unit(X) for data with many entries."""


OF_ROWS = ("codes", "weights")
"""What of NetAdam's `known` has a row for each training row."""


def parameter_groups(
    encoder: Encoder, decoder: Decoder, lr: float, net_lr: float, head: Head | None = None
) -> list[dict[str, Any]]:
    """Non-negative weights and the others, each with a learning rate of its own; Refusal for a rate that is none."""
    refuse_number("lr", lr)
    refuse_number("net_lr", net_lr)
    parts = [part for part in (encoder, decoder, head) if part is not None]
    groups = [
        {"params": [weight.theta for part in parts for weight in weights_of(part)], "lr": lr},
        {"params": [parameter for part in parts for parameter in free_parameters_of(part).values()], "lr": net_lr},
    ]
    return [group for group in groups if group["params"]]


class NetAdam(torch.optim.Adam):
    """Adam on what an encoder and a head learn, for steps that find W in another way.

    lr, net_lr: as in ProjectedAdam, at first; after t steps they are divided by 1 + t / decay.
    """

    def __init__(
        self, encoder: Encoder, decoder: Decoder, lr: float, net_lr: float, decay: float, head: Head | None = None
    ):
        if encoder.tied:
            raise Refusal(
                f"this step finds W for codes that are held, but those of {type(encoder).__name__} are made of W itself"
                "; use optimizer=multiplicative or optimizer=adam with this encoder."
            )
        if not isinstance(decoder, Linear):
            raise Refusal(
                f"this step finds W as a whole, but {type(decoder).__name__} makes it of other weights; use "
                "optimizer=multiplicative or optimizer=adam with this decoder."
            )
        if not (isinstance(decay, Real) and decay > 0):
            raise Refusal(f"decay must be a number of steps above 0, but is {decay!r}.")
        super().__init__(parameter_groups(encoder, decoder, lr, net_lr, head), eps=EPS)
        for group in self.param_groups:
            group["first_lr"], group["steps"] = group["lr"], 0
        self._encoder, self._decoder, self._decay = encoder, decoder, decay
        self._learned = [*encoder.parameters(), *(head.parameters() if head is not None else ())]

    @property
    def known(self) -> dict[str, Any]:
        """What a step remembers for the next one; saved with the state of Adam, which asks for a `step` in all."""
        return self.state.setdefault(next(self._decoder.parameters()), {"step": torch.zeros(())})

    def refuse_data(self, X: Matrix, on_W: Terms) -> None:
        """Raises Refusal for weights that the step on W cannot heed, or cannot heed beside these penalties on W."""

    def refuse_ranks(self, ranks: int) -> None:
        """Raises Refusal for several, if the step on W cannot be taken by them together."""

    def learn(self, objective: Objective) -> None:
        """One step on the encoder and the head, W held."""
        if not self._learned or not (objective.learning.requires_grad or objective.head is not None):
            return
        self.zero_grad()
        H, W = objective.factors.H, objective.factors.W
        replace(objective, factors=Factorization(H, W.detach())).backward(self._learned)
        for group in self.param_groups:
            group["lr"] = group["first_lr"] / (1 + group["steps"] / self._decay)
            group["steps"] += 1
        super().step()
        self._encoder.project_()


def memory_of_rows(optimizer: torch.optim.Optimizer, encoder: Encoder) -> list[Tensor]:
    """What a step remembers of each training row: Adam's moments of a table, and what NetAdam knows."""
    moments = [
        moment
        for M in encoder.of_rows
        for moment in optimizer.state.get(M, {}).values()
        if isinstance(moment, Tensor) and moment.shape == M.shape
    ]
    known = optimizer.known if isinstance(optimizer, NetAdam) else {}
    return moments + [known[name] for name in OF_ROWS if name in known]

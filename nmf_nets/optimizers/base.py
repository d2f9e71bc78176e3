"""What the steps share."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from nmf_nets.decoders.base import Decoder
from nmf_nets.encoders.base import Encoder
from nmf_nets.objective import Objective
from nmf_nets.refusal import Refusal
from nmf_nets.weight import free_parameters_of, weights_of

MakeOptimizer = Callable[[Encoder, Decoder], torch.optim.Optimizer]

EPS = 1e-12
"""Of Adam, whose own 1e-8 is not small beside the gradient of D / unit(X) for data with many entries."""


def parameter_groups(encoder: Encoder, decoder: Decoder, lr: float, net_lr: float) -> list[dict[str, Any]]:
    """Non-negative weights and the others, each with a learning rate of its own."""
    parts = (encoder, decoder)
    groups = [
        {"params": [weight.theta for part in parts for weight in weights_of(part)], "lr": lr},
        {"params": [parameter for part in parts for parameter in free_parameters_of(part).values()], "lr": net_lr},
    ]
    return [group for group in groups if group["params"]]


class NetAdam(torch.optim.Adam):
    """Adam on what an encoder learns, for steps that find W in another way.

    lr, net_lr: as in ProjectedAdam, at first; after t steps they are divided by 1 + t / decay.
    """

    def __init__(self, encoder: Encoder, decoder: Decoder, lr: float, net_lr: float, decay: float):
        if encoder.tied:
            raise Refusal(
                f"this step finds W for codes that are held, but those of {type(encoder).__name__} are made of W itself"
                "; use optimizer=multiplicative or optimizer=adam with this encoder."
            )
        super().__init__(parameter_groups(encoder, decoder, lr, net_lr), eps=EPS)
        for group in self.param_groups:
            group["first_lr"], group["steps"] = group["lr"], 0
        self._encoder, self._decay = encoder, decay

    def learn(self, objective: Objective) -> None:
        """One step on the encoder, W held."""
        if not objective.learning.requires_grad:
            return
        self.zero_grad()
        replace(objective, factors=objective.factors.detach(), proposal=objective.learning).backward()
        for group in self.param_groups:
            group["lr"] = group["first_lr"] / (1 + group["steps"] / self._decay)
            group["steps"] += 1
        super().step()
        self._encoder.project_()

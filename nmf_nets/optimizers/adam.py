"""Adam on every weight, and back into the constraints."""

from collections.abc import Callable
from typing import Any

import torch

from nmf_nets.decoders.base import Decoder
from nmf_nets.encoders.base import Encoder
from nmf_nets.objective import Objective
from nmf_nets.weight import free_parameters_of, weights_of

EPS = 1e-12
"""Adam's own 1e-8 is not small beside the gradient of D / unit(X) for data with many entries."""


class ProjectedAdam(torch.optim.Adam):
    """Adam on the gradient of D / unit(X), then the projection of every constraint.

    lr: for non-negative weights, in units of the mean of their start; net_lr: for weights of any sign.
    """

    def __init__(
        self, encoder: Encoder, decoder: Decoder, lr: float, net_lr: float, betas: tuple[float, float] = (0.9, 0.999)
    ):
        super().__init__(parameter_groups(encoder, decoder, lr, net_lr), betas=tuple(betas), eps=EPS)
        self._parts = (encoder, decoder)

    def step(self, closure: Callable[[], Objective]) -> Objective:  # pyright: ignore[reportIncompatibleMethodOverride]
        with torch.enable_grad():
            objective = closure()
            self.zero_grad()
            objective.backward()
        super().step()
        for part in self._parts:
            part.project_()
        return objective


def parameter_groups(encoder: Encoder, decoder: Decoder, lr: float, net_lr: float) -> list[dict[str, Any]]:
    """Non-negative weights and the others, each with a learning rate of its own."""
    parts = (encoder, decoder)
    groups = [
        {"params": [weight.theta for part in parts for weight in weights_of(part)], "lr": lr},
        {"params": [parameter for part in parts for parameter in free_parameters_of(part).values()], "lr": net_lr},
    ]
    return [group for group in groups if group["params"]]

"""What the steps share."""

from collections.abc import Callable
from typing import Any

import torch

from nmf_nets.decoders.base import Decoder
from nmf_nets.encoders.base import Encoder
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

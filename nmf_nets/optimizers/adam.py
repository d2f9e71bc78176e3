"""Adam on every weight, and back into the constraints."""

from collections.abc import Callable, Sequence

import torch

from nmf_nets.decoders.base import Decoder
from nmf_nets.encoders.base import Encoder
from nmf_nets.heads.base import Head
from nmf_nets.objective import Objective
from nmf_nets.optimizers.base import EPS, parameter_groups


class ProjectedAdam(torch.optim.Adam):
    """Adam on the gradient of D / unit(X), plus what a head loses, then the projection of every constraint.

    lr: for non-negative weights, in units of the mean of their start; net_lr: for weights of any sign.
    """

    def __init__(
        self,
        encoder: Encoder,
        decoder: Decoder,
        lr: float,
        net_lr: float,
        betas: Sequence[float] = (0.9, 0.999),
        head: Head | None = None,
    ):
        super().__init__(parameter_groups(encoder, decoder, lr, net_lr, head), betas=(betas[0], betas[1]), eps=EPS)
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

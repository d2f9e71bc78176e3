"""Adam on every weight, and back into the constraints."""

from collections.abc import Callable, Sequence

import torch

from nmf_nets.decoders.base import Decoder
from nmf_nets.division import divisor
from nmf_nets.encoders.base import Encoder
from nmf_nets.heads.base import Head
from nmf_nets.objective import Objective
from nmf_nets.optimizers.base import EPS, parameter_groups


class ProjectedAdam(torch.optim.Adam):
    """Adam on the gradient of D / unit(X), plus what a head loses, then the projection of every constraint.

    Then every component gets the mean norm that components started with, and its codes what it lost: H D, D⁻¹ W leave
    H W as it is, and steps that have the size of lr would be small beside components that grow. Components that their
    codes are tied to keep their norm, as a norm of their own is no such freedom there, nor is it with penalties.
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
        self._encoder, self._decoder = encoder, decoder
        self.param_groups[0]["norm"] = float(decoder.sizes.detach().mean())

    def step(self, closure: Callable[[], Objective]) -> Objective:  # pyright: ignore[reportIncompatibleMethodOverride]
        with torch.enable_grad():
            objective = closure()
            self.zero_grad()
            objective.backward([parameter for group in self.param_groups for parameter in group["params"]])
        super().step()
        self._encoder.project_()
        self._decoder.project_()
        if not (self._encoder.tied or objective.criterion.penalised or objective.weights):
            self._rescale()
        return objective

    @torch.no_grad()
    def _rescale(self) -> None:
        sizes = self._decoder.sizes
        sizes = divisor(sizes / divisor(sizes.new_tensor(self.param_groups[0]["norm"])))
        self._decoder.rescale_(sizes)
        self._encoder.rescale_(sizes)

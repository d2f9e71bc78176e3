"""Lee and Seung's step through autograd, for any net whose weights are non-negative."""

from collections.abc import Callable

import torch

from nmf_nets.decoders.base import Decoder
from nmf_nets.encoders.base import Encoder
from nmf_nets.heads.base import Head
from nmf_nets.kernels.multiplicative import multiplied
from nmf_nets.objective import Objective
from nmf_nets.refusal import Refusal
from nmf_nets.weight import free_parameters_of, weights_of


class Multiplicative(torch.optim.Optimizer):
    """w ← w ∘ (N / P)^γ(β), the encoder's weights first, then the decoder's from fresh codes.

    P and N are the divergence's own split gradient, taken back through the net, whose Jacobian must be non-negative.
    With encoder=table on full batches this is the multiplicative solver, with encoder=linear convex NMF.
    Source: Lee & Seung (2001), Févotte & Idier (2011).
    """

    def __init__(self, encoder: Encoder, decoder: Decoder, head: Head | None = None):
        if head is not None:
            raise Refusal(
                "optimizer=multiplicative knows no head, whose loss has no non-negative parts; use optimizer=adam, or "
                "optimizer=block, which fits W to the data alone."
            )
        for part in (encoder, decoder):
            for name in free_parameters_of(part):
                raise Refusal(
                    f"optimizer=multiplicative needs non-negative weights, but {name!r} of {type(part).__name__} may "
                    "be negative; use optimizer=block or optimizer=adam with this encoder."
                )
        self._weights = [weights for weights in (weights_of(encoder), weights_of(decoder)) if weights]
        super().__init__([{"params": [weight.theta for weight in weights]} for weights in self._weights], {})

    def step(self, closure: Callable[[], Objective]) -> Objective:  # pyright: ignore[reportIncompatibleMethodOverride]
        for weights in self._weights:
            with torch.enable_grad():
                objective = closure()
                splits = objective.split_gradient([weight.theta for weight in weights])
            for weight, (P, N) in zip(weights, splits, strict=True):
                weight.assign_(multiplied(weight.value.detach(), P, N, objective.divergence.exponent))
        return objective  # pyright: ignore[reportPossiblyUnboundVariable]  # a decoder has at least one weight

"""Lee and Seung's step through autograd, for any net whose weights are non-negative."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from nmf_nets.decoders.base import Decoder
from nmf_nets.encoders.base import Encoder
from nmf_nets.heads.base import Head
from nmf_nets.kernels.multiplicative import multiplied
from nmf_nets.objective import Objective
from nmf_nets.refusal import Refusal
from nmf_nets.weight import NonNegativeWeight, free_parameters_of, weights_of


class Multiplicative(torch.optim.Optimizer):
    """w ← w ∘ (N / P)^γ(β), the encoder's weights first, then the decoder's from fresh codes.

    P and N are the divergence's own split gradient, taken back through the net, whose Jacobian must be non-negative.
    With encoder=table on full batches this is the multiplicative solver, with encoder=linear convex NMF, with
    encoder=projective projective NMF: there W is in X̂ twice, and where γ(β) would raise D of the batch, as it may, the
    smaller exponent that cannot is taken instead.
    Source: Lee & Seung (2001), Févotte & Idier (2011), Yang & Oja (2010).
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
        self._tied = encoder.tied
        super().__init__([{"params": [weight.theta for weight in weights]} for weights in self._weights], {})

    def step(self, closure: Callable[[], Objective]) -> Objective:  # pyright: ignore[reportIncompatibleMethodOverride]
        for weights in self._weights:
            with torch.enable_grad():
                objective = closure()
                splits = objective.split_gradient([weight.theta for weight in weights])
            before = [weight.value.detach() for weight in weights]
            _multiply(weights, before, splits, objective.divergence.exponent)
            if self._tied and weights is self._weights[-1] and closure().value() > objective.value():
                _multiply(weights, before, splits, objective.divergence.tied_exponent)
        return objective  # pyright: ignore[reportPossiblyUnboundVariable]  # a decoder has at least one weight


def _multiply(
    weights: Sequence[NonNegativeWeight],
    values: Sequence[Tensor],
    splits: Sequence[tuple[Tensor, Tensor]],
    exponent: float,
) -> None:
    for weight, value, (P, N) in zip(weights, values, splits, strict=True):
        weight.assign_(multiplied(value, P, N, exponent))

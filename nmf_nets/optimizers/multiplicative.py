"""Lee and Seung's step through autograd, for any net whose weights are non-negative."""

from collections.abc import Callable

import torch

from nmf_nets.decoders.base import Decoder
from nmf_nets.encoders.base import Encoder
from nmf_nets.heads.base import Head
from nmf_nets.kernels.multiplicative import multiplied
from nmf_nets.objective import Objective
from nmf_nets.refusal import Refusal
from nmf_nets.weight import Weight, free_parameters_of, weights_of


class Multiplicative(torch.optim.Optimizer):
    """w ← w ∘ ((N + R⁻) / (P + R⁺))^γ, one weight after another from fresh codes, the encoder's first.

    P and N are the divergence's own split gradient, taken back through the net, whose Jacobian must be non-negative; γ
    is the exponent with which no step raises the objective of the batch, as X̂ is linear in each weight.
    With encoder=table on full batches this is the multiplicative solver, whatever the decoder; with encoder=linear
    convex NMF, with encoder=projective and encoder=symmetric projective and symmetric NMF: there W is in X̂ twice, and
    where γ would raise the objective, as it may, half of it is tried, and then the exponent that cannot.
    Source: Lee & Seung (2001), Févotte & Idier (2011), Yang & Oja (2010), Ding, He & Simon (2005).
    """

    def __init__(self, encoder: Encoder, decoder: Decoder, head: Head | None = None):
        if head is not None:
            raise Refusal(
                "optimizer=multiplicative knows no head, whose loss has no non-negative parts; use optimizer=adam, or "
                "optimizer=block, which fits W to the data alone."
            )
        for part in (encoder, decoder):
            signed = [name for name, weight in part.named_modules() if _signed(weight)]
            for name in (*free_parameters_of(part), *signed):
                raise Refusal(
                    f"optimizer=multiplicative needs non-negative weights, but {name!r} of {type(part).__name__} may "
                    "be negative; use optimizer=block or optimizer=adam with this net."
                )
        if encoder.codes_follow_W and not encoder.tied:
            raise Refusal(
                f"optimizer=multiplicative needs codes whose slope in W is ≥ 0, as it is not for those of "
                f"{type(encoder).__name__}; use optimizer=adam."
            )
        self._of_codes, self._of_components = weights_of(encoder), weights_of(decoder)
        self._tied = encoder.tied
        weights = [*self._of_codes, *self._of_components]
        super().__init__([{"params": [weight.theta]} for weight in weights], {})

    def step(self, closure: Callable[[], Objective]) -> Objective:  # pyright: ignore[reportIncompatibleMethodOverride]
        for weight in (*self._of_codes, *self._of_components):
            with torch.enable_grad():
                objective = closure()
                ((P, N),) = objective.split_gradient([weight.theta])
            before, on_W = weight.value.detach(), weight in self._of_components
            terms = objective.on_W.beside(weight.terms) if on_W else objective.on_H
            exponent = terms.exponent(objective.divergence)
            weight.assign_(multiplied(before, P, N, exponent))
            if self._tied and on_W:
                for shorter in (exponent / 2, objective.divergence.tied_exponent):
                    if closure().value() <= objective.value():
                        break
                    weight.assign_(multiplied(before, P, N, shorter))
        return objective  # pyright: ignore[reportPossiblyUnboundVariable]  # a decoder has at least one weight


def _signed(module: torch.nn.Module) -> bool:
    return isinstance(module, Weight) and not module.constraint.non_negative

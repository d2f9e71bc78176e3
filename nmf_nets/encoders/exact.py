"""The best code there is on W."""

import torch

from nmf_nets.criterion import PLAIN, Terms
from nmf_nets.divergences.base import Divergence
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.effort import Ramp
from nmf_nets.encoders.base import Encoder
from nmf_nets.factorization import Factorization
from nmf_nets.implicit import with_implicit_gradient
from nmf_nets.matrix import Matrix
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Codes, Components, Rows
from nmf_nets.updates.base import Update
from nmf_nets.updates.multiplicative import Multiplicative

MOST, TOLERANCE = 1000, 1e-7
"""Half-steps, and what ends them, beyond which codes do not get better in float32."""


class Exact(Encoder):
    """h(x) = argmin_{h ≥ 0} D(x | h W), by half-steps until one moves the row by less than `tolerance` of the first.

    Detached, as the gradient of D with respect to W is that at fixed codes (Danskin); what else is made of the codes
    needs `implicit`.
    ramp: in training, codes of known rows get exact by and by, from one half-step at first: the length of a Ramp.
    With 0 and an exact step on W these are the iterates of alternating non-negative least squares.
    implicit: codes are a function of W, and of X where X has a graph, with the support of each row held; always exact.
    It needs no start. Refuses β outside 1 … 2, where D is not convex in h and a stationary code need not be the best;
    with implicit also the multiplicative step, the only one between 1 and 2, whose codes are never zero.
    """

    def __init__(
        self,
        start: Factorization | None,
        update: Update,
        tolerance: float = TOLERANCE,
        most: int = MOST,
        ramp: float = 100,
        implicit: bool = False,
    ):
        super().__init__()
        self.update, self.tolerance, self.most, self.implicit = update, tolerance, most, implicit
        self.ramp = Ramp(0 if implicit else ramp)
        self.codes_follow_W = implicit
        if implicit and isinstance(update, Multiplicative):
            raise Refusal(
                "encoder.implicit needs codes that are 0 where they should be, which the multiplicative step never "
                "reaches; use divergence=frobenius or kullback_leibler with an update of their own."
            )

    def forward(self, X: Matrix, W: Components, rows: Rows | None = None, terms: Terms = PLAIN) -> Codes:
        most = self.ramp.steps(self.most, 1, rows)
        with torch.no_grad():
            H = self.update.on(X.detach(), W.detach(), terms).codes(None, most, self.tolerance)
        if self.implicit and torch.is_grad_enabled():
            return with_implicit_gradient(X, H, W, 2 if self.update.lowers(Frobenius()) else 1)
        return H

    def refuse_data(self, X: Matrix, terms: Terms = PLAIN) -> None:
        self.update.refuse_data(X, terms)

    def refuse(self, divergence: Divergence, terms: Terms = PLAIN) -> None:
        self.update.refuse(divergence, terms)
        if self.implicit and terms.penalties:
            raise Refusal("encoder.implicit knows no penalties on H; use encoder.implicit=false, or no penalties_H.")
        if not 1 <= divergence.beta <= 2:
            raise Refusal(
                f"encoder=exact needs 1 ≤ β ≤ 2, where D is convex in the codes, but β is {divergence.beta:g}; "
                "use encoder=unrolled, whose codes are stationary."
            )

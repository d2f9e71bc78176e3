"""Any encoder, followed by half-steps."""

from collections.abc import Callable

import torch
from torch import Tensor

from nmf_nets.criterion import PLAIN, Terms
from nmf_nets.divergences.base import Divergence
from nmf_nets.effort import Ramp
from nmf_nets.encoders.base import Encoder
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.shapes import Codes, Components, Rows
from nmf_nets.updates.base import Update

REFINED = 3
"""Half-steps from a net's own codes to what is reported as its refined codes."""


class Refined(Encoder):
    """The codes that `inner` proposes, after `steps` half-steps on the current W, in training and outside.

    W is fitted to the refined codes, which are detached (Danskin); the inner encoder learns from the divergence at its
    own, plus `distillation` times Σ_k D(h_k w_k | p_k w_k), how far its proposal p is from the refined code.
    ramp: in training, known rows come to so many half-steps by and by, from none at first: the length of a Ramp.
    """

    def __init__(
        self,
        start: Factorization,
        inner: Callable[[Factorization], Encoder],
        update: Update,
        steps: int = REFINED,
        distillation: float = 0.0,
        ramp: float = 100,
    ):
        super().__init__()
        self.inner, self.update, self.steps, self.distillation = inner(start), update, steps, distillation
        self.ramp = Ramp(ramp)
        self.codes_unseen_rows = self.inner.codes_unseen_rows

    def forward(self, X: Matrix, W: Components, rows: Rows | None = None, terms: Terms = PLAIN) -> Codes:
        return self.learn(X, W, rows, terms)[0]

    def learn(self, X: Matrix, W: Components, rows: Rows | None = None, terms: Terms = PLAIN) -> tuple[Codes, Codes]:
        proposal = self.inner(X, W.detach(), rows, terms)
        steps = self.ramp.steps(self.steps, 0, rows)
        if not steps:
            return proposal.detach(), proposal
        with torch.no_grad():
            return self.update.on(X, W.detach(), terms).codes(proposal.detach(), steps), proposal

    def rescale_(self, sizes: Tensor) -> None:
        self.inner.rescale_(sizes)

    def restart_(self, components: Tensor, W: Components, codes: Codes) -> None:
        self.inner.restart_(components, W, codes)

    def refuse_data(self, X: Matrix, terms: Terms = PLAIN) -> None:
        self.update.refuse_data(X, terms)
        self.inner.refuse_data(X, terms)

    def refuse(self, divergence: Divergence, terms: Terms = PLAIN) -> None:
        self.update.refuse(divergence, terms)
        self.inner.refuse(divergence, terms)

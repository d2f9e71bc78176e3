"""The best code there is on W."""

import torch

from nmf_nets.divergences.base import Divergence
from nmf_nets.encoders.base import Encoder
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Codes, Components, Rows
from nmf_nets.updates.base import Update


class Exact(Encoder):
    """h(x) = argmin_{h ≥ 0} D(x | h W), by half-steps until one moves the row by less than `tolerance` of the first.

    With an exact step on W these are the iterates of alternating non-negative least squares. Detached, as its gradient
    with respect to W is that of D at fixed codes (Danskin).
    It needs no start. Refuses β outside 1 … 2, where D is not convex in h and a stationary code need not be the best.
    """

    def __init__(self, start: Factorization | None, update: Update, tolerance: float = 1e-7, most: int = 1000):
        super().__init__()
        self.update, self.tolerance, self.most = update, tolerance, most

    @torch.no_grad()
    def forward(self, X: Matrix, W: Components, rows: Rows | None = None) -> Codes:
        return self.update(X, None, W, self.most, self.tolerance)

    def refuse(self, divergence: Divergence) -> None:
        self.update.refuse(divergence)
        if not 1 <= divergence.beta <= 2:
            raise Refusal(
                f"encoder=exact needs 1 ≤ β ≤ 2, where D is convex in the codes, but β is {divergence.beta:g}; "
                "use encoder=unrolled, whose codes are stationary."
            )

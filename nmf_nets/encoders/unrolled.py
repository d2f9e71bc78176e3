"""The solver's own half-step, repeated: an encoder without parameters."""

import torch
from torch import Tensor

from nmf_nets.criterion import PLAIN, Terms
from nmf_nets.divergences.base import Divergence
from nmf_nets.encoders.base import Encoder
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.refusal import refuse_count, refuse_number
from nmf_nets.shapes import Codes, Components, Rows
from nmf_nets.updates.base import Update


class Unrolled(Encoder):
    """From least-squares codes, at most `steps` half-steps on the current W, until a step moves the row by less than
    `progress` of the first; the limit is the exact code.

    warm: in training, rows that are known go on from the code that is kept of them, by so many half-steps instead, or
    where that is None by the update's own effort, as the classical solver does; 0 keeps no codes, and makes all from x
    and W alone, as outside training.
    Codes are detached: at the optimum the gradient of D with respect to W is exact with H held constant (Danskin).
    """

    def __init__(
        self,
        start: Factorization,
        update: Update,
        steps: int = 300,
        progress: float = 1e-5,
        warm: int | None = None,
    ):
        super().__init__()
        if steps != 0:
            refuse_count("encoder.steps, unless it is 0,", steps)
        refuse_number("encoder.progress", progress)
        self.update, self.steps, self.progress, self.warm = update, steps, progress, update.effort_of(warm or None)
        self.kept = None if warm == 0 else start.H.clone()

    @torch.no_grad()
    def forward(self, X: Matrix, W: Components, rows: Rows | None = None, terms: Terms = PLAIN) -> Codes:
        if not self.training or self.kept is None or rows is None:
            return self.update.on(X, W, terms).codes(None, self.steps, self.progress)
        kept, most = self.kept.index_select(0, rows), self.warm.most(X, len(W))
        H = self.update.on(X, W, terms).codes(kept, most, self.warm.progress)
        self.keep_(H, rows)
        return H

    def keep_(self, H: Codes, rows: Rows | None) -> None:
        if self.kept is not None and rows is not None:
            self.kept[rows] = H

    def rescale_(self, sizes: Tensor) -> None:
        if self.kept is not None:
            self.kept *= sizes

    def restart_(self, components: Tensor, W: Components, codes: Codes) -> None:
        if self.kept is not None:
            self.kept[:, components] = codes[:, components]

    def refuse_data(self, X: Matrix, terms: Terms = PLAIN) -> None:
        self.update.refuse_data(X, terms)

    def refuse(self, divergence: Divergence, terms: Terms = PLAIN) -> None:
        self.update.refuse(divergence, terms)

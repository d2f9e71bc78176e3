"""The solver's own half-step, repeated: an encoder without parameters."""

import torch
from torch import Tensor

from nmf_nets.divergences.base import Divergence
from nmf_nets.encoders.base import Encoder
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.shapes import Codes, Components, Rows
from nmf_nets.updates.base import Update


class Unrolled(Encoder):
    """From least-squares codes, at most `steps` half-steps on the current W, until a step moves the row by less than
    `progress` of the first; the limit is the exact code.

    warm: in training, rows that are known go on from their last code by so many half-steps instead (1 gives the
    iterates of the classical solver); 0 makes every code from x and W alone. Outside training there is no memory.
    Codes are detached: at the optimum the gradient of D with respect to W is exact with H held constant (Danskin).
    """

    last: Tensor

    def __init__(self, start: Factorization, update: Update, steps: int = 300, progress: float = 1e-5, warm: int = 1):
        super().__init__()
        self.update, self.steps, self.progress, self.warm = update, steps, progress, warm
        self.register_buffer("last", start.H.clone() if warm else None)

    @torch.no_grad()
    def forward(self, X: Matrix, W: Components, rows: Rows | None = None) -> Codes:
        if not (self.training and self.warm and rows is not None):
            return self.update(X, None, W, self.steps, self.progress)
        H = self.update(X, self.last[rows], W, self.warm)
        self.last[rows] = H
        return H

    def rescale_(self, sizes: Tensor) -> None:
        if self.warm:
            self.last *= sizes

    def restart_(self, components: Tensor, W: Components, codes: Codes) -> None:
        if self.warm:
            self.last[:, components] = codes[:, components]

    def refuse(self, divergence: Divergence) -> None:
        self.update.refuse(divergence)

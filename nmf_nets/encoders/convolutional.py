"""Correlation with the motifs, and half-steps on what it finds."""

import torch
from torch import Tensor

from nmf_nets.criterion import PLAIN, Terms
from nmf_nets.divergences.base import Divergence
from nmf_nets.encoders.base import Encoder
from nmf_nets.factorization import Factorization
from nmf_nets.half_steps.coupled import CoupledSteps
from nmf_nets.matrix import Matrix
from nmf_nets.refusal import Refusal, refuse_count
from nmf_nets.shapes import Codes, Rows


class Convolutional(Encoder):
    """From Σ_τ S_−τ X W_τᵀ, at most `steps` half-steps on the current W, for decoder=convolutive: codes of sequences.

    The rows of X are one sequence, in its order: what stands before it is taken for silence, and so is what follows.
    A sequence that is shifted has codes that are shifted, but for what its borders cut off.
    progress: ends when the codes move by less than so much of their first move.
    warm: in training, codes go on from those that are kept, by so many half-steps; with 1 and optimizer=multiplicative
    that is the classical algorithm, and 0 keeps none. Codes are detached (Danskin), as those of encoder=unrolled.
    lags: of the decoder, whose W has so many rows for each column of the codes.
    """

    codes_coupled_rows = True

    def __init__(
        self,
        start: Factorization,
        divergence: Divergence,
        lags: int,
        steps: int = 100,
        progress: float = 1e-5,
        warm: int = 3,
    ):
        super().__init__()
        refuse_count("encoder.steps", steps)
        if warm != 0:
            refuse_count("encoder.warm, unless it is 0,", warm)
        self.divergence, self.steps, self.progress, self.warm = divergence, steps, progress, warm
        self.lags, self.width = lags, lags * start.H.shape[1]
        self.kept = start.H.clone() if warm else None

    @torch.no_grad()
    def forward(self, X: Matrix, W: Tensor, rows: Rows | None = None, terms: Terms = PLAIN) -> Codes:
        if len(W) != self.width:
            raise Refusal(
                f"encoder=convolutional was made for {self.width} rows of W, but is given {len(W)}; give it the lags "
                "of the decoder, and what its start_of_encoder makes of the start."
            )
        half_step = CoupledSteps(self.divergence, X, W, self.lags, terms)
        if not self.training or self.kept is None or rows is None:
            return half_step.codes(None, self.steps, self.progress)
        H = half_step.codes(self.kept[rows], self.warm)
        self.keep_(H, rows)
        return H

    def keep_(self, H: Codes, rows: Rows | None) -> None:
        if self.kept is not None and rows is not None:
            self.kept[rows] = H

    def rescale_(self, sizes: Tensor) -> None:
        if self.kept is not None:
            self.kept *= sizes

    def refuse(self, divergence: Divergence, terms: Terms = PLAIN) -> None:
        if divergence.beta != self.divergence.beta:
            raise Refusal(
                f"encoder=convolutional was made for β = {self.divergence.beta:g}, but the divergence has β = "
                f"{divergence.beta:g}; make both from the same divergence."
            )

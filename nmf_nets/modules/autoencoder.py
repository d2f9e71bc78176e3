"""Encoder, decoder, divergence and the step between them."""

from functools import partial

import torch
from pytorch_lightning import LightningModule

from nmf_nets.decoders.base import Decoder
from nmf_nets.divergences.base import Divergence
from nmf_nets.encoders.base import Encoder
from nmf_nets.factorization import Factorization
from nmf_nets.heads.base import Head
from nmf_nets.loader import Batch
from nmf_nets.matrix import Matrix
from nmf_nets.objective import Objective
from nmf_nets.optimizers.base import MakeOptimizer
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Rows


class NonNegativeAutoencoder(LightningModule):
    """X ≈ H W with H = encoder(X) and W the weights of the decoder, trained to lower D(X | H W).

    head: what the codes are for besides; its loss is lowered, too.
    optimizer: makes the step from (encoder, decoder), and the head if there is one. Its step takes a closure that
    returns the Objective of the batch, and serves a loop of one's own: `optimizer.step(lambda: net.objective(batch))`.
    """

    def __init__(
        self,
        encoder: Encoder,
        decoder: Decoder,
        divergence: Divergence,
        optimizer: MakeOptimizer,
        head: Head | None = None,
    ):
        super().__init__()
        self.automatic_optimization = False
        encoder.refuse(divergence)
        self.encoder, self.decoder, self.divergence, self.optimizer = encoder, decoder, divergence, optimizer
        self.head = head

    def forward(self, X: Matrix, rows: Rows | None = None) -> Factorization:
        """The net's own codes of X and its components; `rows` as in Encoder."""
        W = self.decoder.W
        return Factorization(self.encoder(X, W, rows), W)

    @torch.no_grad()
    def factorize(self, X: Matrix, rows: Rows | None = None) -> Factorization:
        """The factors as a user gets them: in evaluation mode, without a graph."""
        training = self.training
        try:
            return self.eval()(X, rows).detach()
        finally:
            self.train(training)

    def own_factors(self, X: Matrix) -> Factorization:
        """`factorize` for the whole training matrix: as if it had never been seen, where the encoder can do without."""
        rows = None if self.encoder.codes_unseen_rows else torch.arange(X.shape[0], device=X.device)
        return self.factorize(X, rows)

    def objective(self, batch: Batch) -> Objective:
        W = self.decoder.W
        H, proposal = self.encoder.learn(batch.X, W, batch.rows)
        if self.head is not None and batch.labels is None:
            raise Refusal(
                "the net has a head, but the batch no labels; give the loader `labels`, a class for each row."
            )
        return Objective(
            batch.X,
            Factorization(H, W),
            self.divergence,
            batch.rows,
            batch.n_rows,
            proposal,
            self.encoder.distillation,
            self.head,
            batch.labels,
            self.encoder.codes_follow_W,
        )

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        optimizer = self.optimizers()
        optimizer.step(closure=partial(self.objective, batch))  # pyright: ignore

    def configure_optimizers(self) -> torch.optim.Optimizer:
        if self.head is None:
            return self.optimizer(self.encoder, self.decoder)
        return self.optimizer(self.encoder, self.decoder, head=self.head)

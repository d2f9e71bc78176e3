"""Encoder, decoder, divergence and the step between them."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from pytorch_lightning import LightningModule

from nmf_nets.criterion import Criterion, Terms
from nmf_nets.decoders.base import Decoder
from nmf_nets.divergences.base import Divergence
from nmf_nets.encoders.base import Encoder
from nmf_nets.factorization import Factorization
from nmf_nets.group import ALONE, Group
from nmf_nets.heads.base import Head
from nmf_nets.loader import Batch
from nmf_nets.matrix import Matrix
from nmf_nets.objective import Objective
from nmf_nets.optimizers.base import MakeOptimizer, NetAdam, memory_of_rows
from nmf_nets.optimizers.underapproximating import Underapproximating
from nmf_nets.part import part_name
from nmf_nets.penalties.base import PairPenalty, Penalty
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Codes, Rows
from nmf_nets.strategy import Replicas
from nmf_nets.weight import weights_of


class NonNegativeAutoencoder(LightningModule):
    """X ≈ H W with H = encoder(X) and W the weights of the decoder, trained to lower D(X | H W) + R_H(H) + R_W(Wᵀ) +
    R(H, W).

    head: what the codes are for besides; its loss is lowered, too.
    optimizer: makes the step from (encoder, decoder), and the head if there is one. Its step takes a closure that
    returns the Objective of the batch, and serves a loop of one's own: `optimizer.step(lambda: net.objective(batch))`.
    """

    group: Group = ALONE
    """In training, the ranks that have the rows between them."""

    def __init__(
        self,
        encoder: Encoder,
        decoder: Decoder,
        divergence: Divergence,
        optimizer: MakeOptimizer,
        head: Head | None = None,
        penalties_H: Sequence[Penalty] = (),
        penalties_W: Sequence[Penalty] = (),
        penalties_HW: Sequence[PairPenalty] = (),
    ):
        super().__init__()
        self.automatic_optimization = False
        on_H, on_W = Terms(tuple(penalties_H)), Terms(tuple(penalties_W))
        self.criterion = Criterion(divergence, on_H, on_W, tuple(penalties_HW))
        encoder.refuse(divergence, self.criterion.on_H)
        _refuse_coupled(encoder, decoder, head, self.criterion)
        self.encoder, self.decoder, self.optimizer = encoder, decoder, optimizer
        self.head = head

    @property
    def divergence(self) -> Divergence:
        return self.criterion.divergence

    def codes(self, X: Matrix, rows: Rows | None = None) -> Codes:
        """The net's own codes of X; `rows` as in Encoder. Rows without a place heed no penalty that couples rows."""
        W, criterion = self.decoder.W, self.criterion.unseen if rows is None else self.criterion
        self.encoder.refuse_data(X, criterion.on_H)
        return self.encoder(X, W, rows, criterion.given_W(X, W.detach()))

    def forward(self, X: Matrix, rows: Rows | None = None) -> Factorization:
        """What the net makes X of: its own codes, as the decoder spreads them, and its components."""
        return Factorization(self.decoder.spread(self.codes(X, rows)), self.decoder.W, self.decoder.copies)

    @torch.no_grad()
    def factorize(self, X: Matrix, rows: Rows | None = None) -> Factorization:
        """The factors as a user gets them: in evaluation mode, without a graph."""
        training = self.training
        try:
            return self.eval()(X, rows).detach()
        finally:
            self.train(training)

    def own_factors(self, X: Matrix) -> Factorization:
        """`factorize` for the whole training matrix, from no memory of its codes where the encoder can do without.

        In training over ranks, after `gather_`.
        """
        return self.factorize(X, torch.arange(X.shape[0], device=X.device))

    def objective(self, batch: Batch) -> Objective:
        W = self.decoder.W
        if self.head is not None and batch.labels is None:
            raise Refusal(
                "the net has a head, but the batch no labels; give the loader `labels`, a class for each row."
            )
        for part in (self.decoder, *self.criterion.on_H.penalties):
            if part.couples_rows and batch.n_rows is not None and batch.X.shape[0] < batch.n_rows:
                raise Refusal(
                    f"{type(part).__name__} couples rows, but the batch has {batch.X.shape[0]} of {batch.n_rows}; "
                    "use data.batch_size=null."
                )
        self.encoder.refuse_data(batch.X, self.criterion.on_H)
        terms = self.criterion.given_W(batch.X, W.detach())
        H, proposal = self.encoder.learn(batch.X, W, batch.rows, terms)
        return Objective(
            batch.X,
            Factorization(self.decoder.spread(H), W, self.decoder.copies),
            self.criterion,
            batch.rows,
            batch.n_rows,
            None if proposal is H else proposal,
            self.encoder.distillation,
            self.head,
            batch.labels,
            self.encoder.codes_follow_W,
            [weight for weight in weights_of(self.decoder) if weight.terms.penalties],
            batch.group,
            self.encoder.of_rows,
        )

    def refuse_data(self, X: Matrix) -> None:
        """Raises Refusal for training data whose weights its parts cannot heed, before a step is taken."""
        self.encoder.refuse_data(X, self.criterion.on_H)
        optimizer = self.configure_optimizers()
        if isinstance(optimizer, NetAdam | Underapproximating):
            optimizer.refuse_data(X, self.criterion.on_W)

    def gather_(self) -> None:
        """What other ranks keep of their rows, codes and what steps remember, is then known here too; for all ranks at
        once.
        """
        if self.group.size == 1:
            return
        optimizer = self.optimizers(use_pl_optimizer=False)
        assert isinstance(optimizer, torch.optim.Optimizer)
        self.group.gather_(*self.encoder.of_rows, *memory_of_rows(optimizer, self.encoder))

    def on_fit_start(self) -> None:
        if self.trainer.world_size > 1:
            if not isinstance(self.trainer.strategy, Replicas):
                raise Refusal(
                    f"{type(self.trainer.strategy).__name__} does not sum over {self.trainer.world_size} processes "
                    "what a step needs of all rows; use strategy=nmf_nets.strategy.Replicas()."
                )
            self.refuse_ranks(self.trainer.world_size)
            self.group = Group()

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if isinstance(self.trainer.strategy, Replicas):
            self.trainer.strategy.stop_together()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The tensors of the checkpoint are these."""
        self.gather_()

    def on_train_end(self) -> None:
        self.gather_()
        self.group = ALONE

    def refuse_ranks(self, ranks: int) -> None:
        """Raises Refusal for several, if a part of the net needs all rows at once."""
        if ranks == 1:
            return
        optimizer = self.configure_optimizers()
        needing = [part for part in (self.decoder, *self.criterion.on_H.penalties) if part.couples_rows]
        for part in (*needing, *([optimizer] if isinstance(optimizer, Underapproximating) else [])):
            raise Refusal(
                f"{part_name(part)} needs all rows at once, but they would be spread over {ranks} processes; use "
                "trainer.devices=1."
            )
        if isinstance(optimizer, NetAdam):
            optimizer.refuse_ranks(ranks)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        optimizer = self.optimizers()
        optimizer.step(closure=partial(self.objective, batch))  # pyright: ignore

    def configure_optimizers(self) -> torch.optim.Optimizer:
        if self.head is None:
            return self.optimizer(self.encoder, self.decoder)
        return self.optimizer(self.encoder, self.decoder, head=self.head)


def _refuse_coupled(encoder: Encoder, decoder: Decoder, head: Head | None, criterion: Criterion) -> None:
    """Raises Refusal where rows that are coupled meet a part for rows that are not, and the other way round."""
    if not decoder.couples_rows:
        for penalty in criterion.between:
            raise Refusal(
                f"the penalty {part_name(penalty)} is on motifs, but {type(decoder).__name__} has none; use "
                "decoder=convolutive."
            )
        return
    if not encoder.codes_coupled_rows:
        raise Refusal(
            f"{type(encoder).__name__} codes each row by itself, but {type(decoder).__name__} couples rows; use "
            "encoder=convolutional or encoder=table."
        )
    if head is not None:
        raise Refusal(f"a head learns from the code of each row, but {type(decoder).__name__} couples rows.")

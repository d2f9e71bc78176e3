"""Nets of this package, in a plain loop: bitwise what Lightning's Trainer does, without its overhead."""

from collections.abc import Callable

import torch

from nmf_nets.benchmark.base import Coder, Method, Observer, Problem
from nmf_nets.decoders.base import Decoder
from nmf_nets.encoders.base import Encoder
from nmf_nets.factorization import Factorization
from nmf_nets.inits.base import Init
from nmf_nets.loader import ResidentLoader
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder
from nmf_nets.optimizers.base import MakeOptimizer
from nmf_nets.part import given
from nmf_nets.refusal import Refusal


class Net(Method):
    """A net from its parts. Its factors are its own codes of all rows, without memory of them where it can do without.

    One iteration is one epoch.
    """

    plain_only = False
    takes_between = True

    def __init__(
        self,
        encoder: Callable[..., Encoder],
        decoder: Callable[..., Decoder],
        optimizer: MakeOptimizer,
        init: Init,
        batch_size: int | None = None,
    ):
        self.encoder, self.decoder, self.optimizer = encoder, decoder, optimizer
        self.init, self.batch_size = init, batch_size

    def refuse(self, problem: Problem, start: Factorization | None) -> None:
        n, m = problem.X.shape
        few = problem.X.span(0, 1).values
        net = self._build(Factorization(few.new_ones(n, 1), few.new_ones(1, m)), problem)
        net.configure_optimizers()
        if problem.width is None and net.decoder.copies > 1:
            raise Refusal(
                f"{type(net.decoder).__name__} has {net.decoder.copies} rows of W for each component, which is another "
                "model than that of this comparison; train.py compares it with rivals of its own."
            )

    def run(self, problem: Problem, start: Factorization | None, observe: Observer) -> Coder | None:
        X = problem.X
        if start is None:
            start = self.init(X, problem.n_components, torch.Generator().manual_seed(problem.seed))
        net = self._build(start, problem)
        optimizer = net.configure_optimizers()
        loader = ResidentLoader(X, self.batch_size, problem.seed)
        epoch, going = 0, True
        while going:
            loader.sampler.set_epoch(epoch)
            for batch in loader:
                optimizer.step(lambda: net.objective(batch))  # noqa: B023  # pyright: ignore
            epoch += 1
            going = observe(lambda: net.own_factors(X), epoch)
        return (lambda rows: net.factorize(rows).H) if net.encoder.codes_unseen_rows else None

    def _build(self, start: Factorization, problem: Problem) -> NonNegativeAutoencoder:
        decoder = given(self.decoder, X=problem.X)(start)
        encoder = given(self.encoder, decoder=decoder)(decoder.start_of_encoder(start))
        return NonNegativeAutoencoder(
            encoder,
            decoder,
            problem.divergence,
            self.optimizer,
            penalties_H=problem.on_H.penalties,
            penalties_W=problem.on_W.penalties,
            penalties_HW=problem.between,
        )

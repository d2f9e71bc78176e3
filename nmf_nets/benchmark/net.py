"""Nets of this package, in a plain loop: bitwise what Lightning's Trainer does, without its overhead."""

from collections.abc import Callable

from nmf_nets.benchmark.base import Method, Observer
from nmf_nets.decoders.base import Decoder
from nmf_nets.divergences.base import Divergence
from nmf_nets.encoders.base import Encoder
from nmf_nets.factorization import Factorization
from nmf_nets.loader import ResidentLoader
from nmf_nets.matrix import Matrix
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder
from nmf_nets.optimizers.base import MakeOptimizer


class Net(Method):
    """A net from its parts. Its factors are its own codes of all rows, without memory of them where it can do without.

    One iteration is one epoch.
    """

    def __init__(
        self,
        encoder: Callable[[Factorization], Encoder],
        decoder: Callable[[Factorization], Decoder],
        optimizer: MakeOptimizer,
        batch_size: int | None = None,
        seed: int = 0,
    ):
        self.encoder, self.decoder, self.optimizer = encoder, decoder, optimizer
        self.batch_size, self.seed = batch_size, seed

    def refuse(self, X: Matrix, divergence: Divergence) -> None:
        few = X.span(0, 1)
        start = Factorization(few.values.new_ones(1, 1), few.values.new_ones(1, X.shape[1]))
        self._build(start, divergence).configure_optimizers()

    def run(self, X: Matrix, start: Factorization, divergence: Divergence, observe: Observer) -> None:
        net = self._build(start, divergence)
        optimizer = net.configure_optimizers()
        loader = ResidentLoader(X, self.batch_size, self.seed)
        epoch, going = 0, True
        while going:
            loader.sampler.set_epoch(epoch)
            for batch in loader:
                optimizer.step(lambda: net.objective(batch))  # noqa: B023  # pyright: ignore
            epoch += 1
            going = observe(lambda: net.own_factors(X), epoch)

    def _build(self, start: Factorization, divergence: Divergence) -> NonNegativeAutoencoder:
        return NonNegativeAutoencoder(self.encoder(start), self.decoder(start), divergence, self.optimizer)

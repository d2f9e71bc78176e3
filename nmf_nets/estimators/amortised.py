"""A net that codes rows on components that were found."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, islice

from nmf_nets.constraints.projected import Projected
from nmf_nets.criterion import Criterion
from nmf_nets.decoders.linear import Linear
from nmf_nets.divergences.base import Divergence
from nmf_nets.encoders.base import Encoder
from nmf_nets.encoders.lista import LISTA
from nmf_nets.encoders.mlp import MLP
from nmf_nets.encoders.refined import Refined
from nmf_nets.estimators.base import exact_codes
from nmf_nets.factorization import Factorization
from nmf_nets.loader import Batch, ResidentLoader
from nmf_nets.matrix import Matrix
from nmf_nets.metrics.relative_gap import relative_gap
from nmf_nets.objective import Objective
from nmf_nets.optimizers.base import NetAdam
from nmf_nets.refusal import Refusal
from nmf_nets.solvers import named

MakeEncoder = Callable[[Factorization], Encoder]
NAMES = ("lista", "mlp", "refined")

BATCH = 256
LR, DECAY = 1e-2, 400.0
"""Of Adam, as optimizer=online has them."""


def named_encoder(name: str, X: Matrix, D: Divergence) -> MakeEncoder:
    """lista, mlp, or refined: mlp and three half-steps."""
    if name not in NAMES:
        raise Refusal(f"encoder is {name!r}, but must be None, one of {', '.join(NAMES)}, or what makes an Encoder.")
    if name == "lista":
        return partial(LISTA, divergence=D)
    mlp = partial(MLP, divergence=D)
    return mlp if name == "mlp" else partial(Refined, inner=mlp, update=named("auto", X, D).update)


def amortised(
    make: MakeEncoder, X: Matrix, factors: Factorization, criterion: Criterion, steps: int
) -> tuple[Encoder, float]:
    """The encoder after so many steps of Adam on D + R, with W held, and how far its codes of X stand above exact ones.

    Raises Refusal for components of any sign, and for data with weights that the encoder cannot heed.
    """
    if bool((factors.W < 0).any()):
        raise Refusal("encoders are made for components ≥ 0; use encoder=None with semi-NMF.")
    D, on_H, W = criterion.divergence, criterion.on_H, factors.W
    encoder, exact = make(factors), exact_codes(X, factors.W, criterion)
    encoder.refuse(D, on_H)
    encoder.refuse_data(X, on_H)
    adam = NetAdam(encoder, Linear(factors, Projected()), LR, LR, DECAY)
    for batch in islice(_batches(X), steps):
        H, proposal = encoder.learn(batch.X, W, batch.rows, on_H)
        adam.learn(
            Objective(
                batch.X,
                Factorization(H, W),
                Criterion(D, on_H),
                batch.rows,
                batch.n_rows,
                None if proposal is H else proposal,
                encoder.distillation,
            )
        )
    encoder.eval().requires_grad_(False)
    own, best = (float(criterion.total(X, Factorization(H, W))) for H in (encoder(X, W, terms=on_H), exact))
    return encoder, relative_gap(own, best, D.rounding(X))


def _batches(X: Matrix) -> Iterator[Batch]:
    loader = ResidentLoader(X, BATCH)
    for epoch in count():
        loader.sampler.set_epoch(epoch)
        yield from loader

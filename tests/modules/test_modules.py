from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path

import pytest
import scipy.sparse
import torch
from pytorch_lightning import Callback, Trainer
from torch import Tensor

from nmf_nets.as_matrix import as_matrix
from nmf_nets.constraints.base import Constraint
from nmf_nets.constraints.exponential import Exponential
from nmf_nets.constraints.projected import Projected
from nmf_nets.constraints.softplus import Softplus
from nmf_nets.constraints.square import Square
from nmf_nets.decoders.linear import Linear as LinearDecoder
from nmf_nets.divergences.base import Divergence
from nmf_nets.divergences.beta import Beta
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.divergences.itakura_saito import ItakuraSaito
from nmf_nets.divergences.kullback_leibler import KullbackLeibler
from nmf_nets.encoders.base import Encoder
from nmf_nets.encoders.exact import Exact
from nmf_nets.encoders.linear import Linear
from nmf_nets.encoders.lista import LISTA
from nmf_nets.encoders.mlp import MLP
from nmf_nets.encoders.projective import Projective
from nmf_nets.encoders.refined import Refined
from nmf_nets.encoders.table import Table
from nmf_nets.encoders.unrolled import Unrolled
from nmf_nets.factorization import Factorization
from nmf_nets.inits.random import random
from nmf_nets.loader import Batch, ResidentLoader
from nmf_nets.matrix import Matrix
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder
from nmf_nets.modules.frobenius import FrobeniusNMF
from nmf_nets.modules.kullback_leibler import KullbackLeiblerNMF
from nmf_nets.optimizers.adam import ProjectedAdam
from nmf_nets.optimizers.base import MakeOptimizer
from nmf_nets.optimizers.block import Block
from nmf_nets.optimizers.multiplicative import Multiplicative
from nmf_nets.optimizers.online import Online
from nmf_nets.refusal import Refusal
from nmf_nets.updates.base import Update
from nmf_nets.updates.hals import HALS
from nmf_nets.updates.multiplicative import Multiplicative as MultiplicativeUpdate
from nmf_nets.updates.scalar_newton import ScalarNewton

NAMED = [(FrobeniusNMF, Frobenius, HALS), (KullbackLeiblerNMF, KullbackLeibler, ScalarNewton)]
every_named = pytest.mark.parametrize(("module", "divergence", "update"), NAMED, ids=["Frobenius", "KullbackLeibler"])
ROWS = torch.arange(40)


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def data(zeros: float = 0.3) -> Tensor:
    X = (uniform(40, 5) @ uniform(5, 30, seed=1)) * (0.5 + uniform(40, 30, seed=2))
    return X * (uniform(40, 30, seed=3) >= zeros)


def start_of(X: Matrix) -> Factorization:
    return random(X, 5, torch.Generator().manual_seed(0))


# The two named forms --------------------------------------------------------------------------------------------------


@every_named
def test_a_start_is_enough(module, divergence, update):
    X = as_matrix(data())
    start = start_of(X)
    net = module(start)
    assert type(net.divergence) is divergence
    assert type(net.encoder) is Unrolled
    assert type(net.encoder.update) is update
    assert type(net.decoder) is LinearDecoder
    assert type(net.decoder.weight.constraint) is Projected
    optimizer = net.configure_optimizers()
    assert type(optimizer) is Block
    before = float(net.divergence.total(X, net(X).detach()))
    for _ in range(5):
        optimizer.step(lambda: net.objective(Batch(X, ROWS)))
    assert float(net.divergence.total(X, net(X).detach())) < 0.9 * before


@every_named
def test_every_part_can_be_given(module, divergence, update):
    start = start_of(as_matrix(data()))
    encoder, decoder = Linear(start, Square()), LinearDecoder(start, Square())
    net = module(start, encoder, decoder, Multiplicative)
    assert net.encoder is encoder
    assert net.decoder is decoder
    assert type(net.configure_optimizers()) is Multiplicative


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@every_named
def test_forward_returns_codes_and_components(module, divergence, update, kind):
    X = as_matrix(data() if kind == "dense" else scipy.sparse.csr_array(data().numpy()))
    net = module(start_of(X))
    known, unseen = net(X, ROWS), net(X.rows(torch.tensor([5, 2])))
    assert isinstance(known, Factorization)
    assert known.H.shape == (40, 5)
    assert unseen.H.shape == (2, 5)
    for factors in (known, unseen):
        assert torch.equal(factors.W, net.decoder.W)
        assert (factors.H >= 0).all()
        assert (factors.W >= 0).all()


@every_named
def test_factorize_leaves_mode_memory_and_graph_alone(module, divergence, update):
    X = as_matrix(data())
    net = module(start_of(X))
    before = net.encoder.kept.clone()
    for training in (True, False):
        net.train(training)
        factors = net.factorize(X, ROWS)
        assert net.training is net.encoder.training is training
        assert torch.equal(net.encoder.kept, before)
        assert not factors.W.requires_grad
        assert torch.equal(factors.H, net.eval()(X).H)


@every_named
def test_constructor_refuses_an_encoder_of_another_divergence(module, divergence, update):
    start = start_of(as_matrix(data()))
    other = ScalarNewton() if update is HALS else HALS()
    for encoder in (Unrolled(start, other), Exact(start, other)):
        with pytest.raises(Refusal, match=f"does not minimise divergence {divergence.__name__}"):
            module(start, encoder)
    with pytest.raises(Refusal, match="1 ≤ β ≤ 2"):
        NonNegativeAutoencoder(
            Exact(start, MultiplicativeUpdate(Beta(3.0))), LinearDecoder(start, Projected()), Beta(3.0), Multiplicative
        )


# Lightning ------------------------------------------------------------------------------------------------------------

OPTIMIZERS: dict[str, Callable[[Update], MakeOptimizer]] = {
    "adam": lambda update: partial(ProjectedAdam, lr=0.03, net_lr=3e-3),
    "multiplicative": lambda update: Multiplicative,
    "block": lambda update: partial(Block, update=update),
    "online": lambda update: partial(Online, update=update),
}


def trainer(**options: object) -> Trainer:
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    return Trainer(**quiet, enable_model_summary=False, **options)


@pytest.mark.parametrize("batch_size", [None, 16])
@pytest.mark.parametrize("optimizer", ["adam", "multiplicative", "block"])
@every_named
def test_lightning_takes_the_steps_of_a_plain_loop(module, divergence, update, optimizer, batch_size):
    X = as_matrix(data())
    start = start_of(X)
    plain, fitted = (
        module(start, Table(start, Projected()) if optimizer == "multiplicative" else None, None, make)
        for make in [OPTIMIZERS[optimizer](update())] * 2
    )
    loader, step = ResidentLoader(X, batch_size), plain.configure_optimizers()
    for epoch in range(5):
        loader.sampler.set_epoch(epoch)
        for batch in loader:
            step.step(partial(plain.objective, batch))
    fit = trainer(max_epochs=5)
    fit.fit(fitted, ResidentLoader(X, batch_size))
    assert fit.global_step == 5 * len(loader)
    assert not torch.equal(plain.decoder.W, start.W)
    for name, M in plain.state_dict().items():
        assert torch.equal(fitted.state_dict()[name], M)


def test_lightning_stops_after_max_steps():
    X = as_matrix(data())
    net, plain = FrobeniusNMF(start_of(X)), FrobeniusNMF(start_of(X))
    fit = trainer(max_steps=7)
    fit.fit(net, ResidentLoader(X, 16))
    assert fit.global_step == 7
    loader, step = ResidentLoader(X, 16), plain.configure_optimizers()
    for i in range(7):
        loader.sampler.set_epoch(i // 3)
        step.step(partial(plain.objective, list(loader)[i % 3]))
    assert torch.equal(net.decoder.W, plain.decoder.W)


class SaveAfter(Callback):
    def __init__(self, steps: int, path: Path):
        self.steps, self.path = steps, path

    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        if trainer.global_step == self.steps:
            trainer.save_checkpoint(self.path)


@pytest.mark.parametrize(("batch_size", "steps"), [(16, 6), (16, 7), (None, 2)])
@pytest.mark.parametrize("optimizer", ["adam", "block", "online"])
def test_lightning_resumed_from_any_step_changes_no_bit(optimizer, batch_size, steps, tmp_path):
    X, path = as_matrix(data()), tmp_path / "saved.ckpt"
    whole, resumed = (FrobeniusNMF(start_of(X), optimizer=OPTIMIZERS[optimizer](HALS())) for _ in range(2))
    trainer(max_epochs=4, callbacks=[SaveAfter(steps, path)]).fit(whole, ResidentLoader(X, batch_size))
    again = trainer(max_epochs=4)
    again.fit(resumed, ResidentLoader(X, batch_size), ckpt_path=path, weights_only=True)
    assert again.global_step == 4 * len(ResidentLoader(X, batch_size)) > steps
    for name, M in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], M)


# Every combination ----------------------------------------------------------------------------------------------------

DIVERGENCES: dict[str, tuple[Divergence, Update]] = {
    "frobenius": (Frobenius(), HALS()),
    "kullback_leibler": (KullbackLeibler(), ScalarNewton()),
    "itakura_saito": (ItakuraSaito(), MultiplicativeUpdate(ItakuraSaito())),
    "beta_1.5": (Beta(1.5), MultiplicativeUpdate(Beta(1.5))),
}
CONSTRAINTS = {"projected": Projected(), "square": Square(), "softplus": Softplus(), "exponential": Exponential()}
ENCODERS: dict[str, Callable[[Factorization, Divergence, Update, Constraint], Encoder]] = {
    "table": lambda start, divergence, update, constraint: Table(start, constraint),
    "linear": lambda start, divergence, update, constraint: Linear(start, constraint),
    "projective": lambda start, divergence, update, constraint: Projective(start, constraint),
    "mlp": lambda start, divergence, update, constraint: MLP(start, divergence, (8,)),
    "lista": lambda start, divergence, update, constraint: LISTA(start, divergence, 2),
    "refined": lambda start, divergence, update, constraint: Refined(
        start, lambda start: MLP(start, divergence, (8,)), update
    ),
    "unrolled": lambda start, divergence, update, constraint: Unrolled(start, update, steps=10),
    "exact": lambda start, divergence, update, constraint: Exact(start, update, most=100),
}
LATER = [*DIVERGENCES][1:]
# (encoder, divergence, optimizer) -> a part of the sentence of refusal; all other combinations are allowed
REFUSED = {
    **{
        (*pair, "multiplicative"): "needs non-negative weights"
        for pair in product(("mlp", "refined", "lista"), DIVERGENCES)
    },
    **{("projective", *pair): "made of W itself" for pair in product(DIVERGENCES, ("block", "online"))},
    **{("lista", *pair): "layers for β = 1 and 2" for pair in product(LATER[1:], OPTIMIZERS)},
    **{("exact", "itakura_saito", optimizer): "1 ≤ β ≤ 2" for optimizer in OPTIMIZERS},
}


@pytest.mark.parametrize("constraint", CONSTRAINTS)
@pytest.mark.parametrize(("encoder", "divergence", "optimizer"), [*product(ENCODERS, DIVERGENCES, OPTIMIZERS)])
def test_every_combination_takes_a_step_or_is_refused(encoder, divergence, optimizer, constraint):
    D, update = DIVERGENCES[divergence]
    X = as_matrix(data(zeros=0.0))
    start = start_of(X)

    def make() -> tuple[NonNegativeAutoencoder, torch.optim.Optimizer]:
        made = ENCODERS[encoder](start, D, update, CONSTRAINTS[constraint])
        decoder = LinearDecoder(start, CONSTRAINTS[constraint])
        net = NonNegativeAutoencoder(made, decoder, D, OPTIMIZERS[optimizer](update))
        return net, net.configure_optimizers()

    refusal = REFUSED.get((encoder, divergence, optimizer))
    if refusal is not None:
        with pytest.raises(Refusal, match=refusal):
            make()
        return
    net, step = make()
    before = {name: M.clone() for name, M in net.named_parameters()}
    step.step(lambda: net.objective(Batch(X, ROWS, len(ROWS))))
    for name, M in net.named_parameters():
        assert M.isfinite().all()
        assert encoder in ("mlp", "refined", "lista") or not torch.equal(M, before[name])
    factors = net(X, ROWS).detach()
    for M in (factors.H, factors.W):
        assert M.isfinite().all()
        assert (M >= 0).all()
    assert not torch.equal(factors.W, start.W)
    assert D.total(X, factors).isfinite()


@pytest.mark.parametrize(
    ("update", "divergence"),
    [(update, divergence) for (_, update), (divergence, _) in product(DIVERGENCES.values(), DIVERGENCES.values())],
    ids=lambda part: type(part).__name__,
)
@pytest.mark.parametrize("place", ["unrolled", "block"])
def test_an_update_serves_its_own_divergence_alone_as_encoder_and_as_step(place, update, divergence):
    X = as_matrix(data(zeros=0.0))
    start = start_of(X)

    def fit() -> None:
        encoder = Unrolled(start, update) if place == "unrolled" else Table(start, Projected())
        optimizer = OPTIMIZERS["adam" if place == "unrolled" else "block"](update)
        net = NonNegativeAutoencoder(encoder, LinearDecoder(start, Projected()), divergence, optimizer)
        net.configure_optimizers().step(lambda: net.objective(Batch(X, ROWS)))

    if (update, divergence) in [(own, D) for D, own in DIVERGENCES.values()]:
        fit()
    else:
        with pytest.raises(Refusal, match="does not minimise"):
            fit()

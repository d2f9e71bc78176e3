from functools import partial
from itertools import pairwise

import pytest
import torch
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Callback

from nmf_nets.callbacks.checkpoint import Checkpoint
from nmf_nets.callbacks.grow import Grow
from nmf_nets.callbacks.reseed import Reseed
from nmf_nets.constraints.projected import Projected
from nmf_nets.constraints.softplus import Softplus
from nmf_nets.criterion import Criterion
from nmf_nets.data.digits import Digits
from nmf_nets.decoders.linear import Linear
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.divergences.kullback_leibler import KullbackLeibler
from nmf_nets.encoders.exact import Exact
from nmf_nets.encoders.lista import LISTA
from nmf_nets.encoders.mlp import MLP
from nmf_nets.encoders.table import Table
from nmf_nets.encoders.unrolled import Unrolled
from nmf_nets.inits.random import random
from nmf_nets.modules.frobenius import FrobeniusNMF
from nmf_nets.modules.kullback_leibler import KullbackLeiblerNMF
from nmf_nets.optimizers.adam import ProjectedAdam
from nmf_nets.optimizers.block import Block
from nmf_nets.optimizers.multiplicative import Multiplicative
from nmf_nets.optimizers.online import Online
from nmf_nets.refusal import Refusal
from nmf_nets.sequential import Growth
from nmf_nets.solver import Solver
from nmf_nets.updates.hals import HALS
from nmf_nets.updates.scalar_newton import ScalarNewton

EPOCHS = 6
UPDATES = {FrobeniusNMF: HALS(), KullbackLeiblerNMF: ScalarNewton()}


class Path(Callback):
    """What every epoch left: the net's own factors."""

    def __init__(self):
        self.seen = []

    def on_train_epoch_end(self, trainer, pl_module):
        self.seen.append(pl_module.own_factors(trainer.datamodule.training))


def fit(
    module, encoder=None, optimizer=None, constraint=None, batch_size=None, epochs=4 * EPOCHS, callbacks=(), resume=None
):
    data = Digits(batch_size=batch_size, dtype="float64")
    data.setup()
    start, path = random(data.training, 4, torch.Generator().manual_seed(0)), Path()
    net = module(start, encoder and encoder(start), Linear(start, constraint or Projected()), optimizer)
    grow = Grow(UPDATES[module], EPOCHS)
    options = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": bool(callbacks)}
    trainer = Trainer(max_epochs=epochs, logger=False, callbacks=[grow, path, *callbacks], accelerator="cpu", **options)
    trainer.fit(net, datamodule=data, ckpt_path=resume, weights_only=True)
    return data.training, net, path.seen


NETS = {
    "unrolled": (FrobeniusNMF, None, None),
    "unrolled, KL": (KullbackLeiblerNMF, None, None),
    "exact": (FrobeniusNMF, lambda start: Exact(start, HALS()), None),
    "exact, KL": (KullbackLeiblerNMF, lambda start: Exact(start, ScalarNewton(), tolerance=1e-3), None),
    "mlp": (FrobeniusNMF, lambda start: MLP(start, Frobenius(), (16,)), None),
    "mlp, KL": (KullbackLeiblerNMF, lambda start: MLP(start, KullbackLeibler(), (16,)), None),
    "lista": (FrobeniusNMF, lambda start: LISTA(start, Frobenius(), 2), None),
    "table, multiplicative": (FrobeniusNMF, lambda start: Table(start, Projected()), Multiplicative),
    "table, Adam": (
        FrobeniusNMF,
        lambda start: Table(start, Projected()),
        partial(ProjectedAdam, lr=0.05, net_lr=0.01),
    ),
    "online": (FrobeniusNMF, lambda start: Unrolled(start, HALS(), warm=0), partial(Online, update=HALS())),
}


@pytest.mark.parametrize("name", NETS)
def test_components_come_one_after_another_and_each_one_lowers_the_divergence(name):
    X, net, seen = fit(*NETS[name], batch_size=800 if name == "online" else None)
    for epoch, factors in enumerate(seen):
        grown = 1 + epoch // EPOCHS
        assert bool(factors.W[:grown].any(1).all())
        assert not factors.W[grown:].any()
        assert not factors.H[:, grown:].any()
    values = [float(net.divergence.total(X, factors)) for factors in seen[EPOCHS - 1 :: EPOCHS]]
    assert all(after < 0.95 * before for before, after in pairwise(values)), values


def test_with_a_table_and_block_steps_it_is_growth():
    X, _, seen = fit(
        FrobeniusNMF,
        lambda start: Table(start, Projected()),
        partial(Block, update=HALS(), repeats=1, extrapolate=False),
    )
    path = Growth(Solver(HALS()), Criterion(Frobenius()), EPOCHS).path(X, 4)
    for k, (own, classical) in enumerate(zip(seen[EPOCHS - 1 :: EPOCHS], path, strict=True), 1):
        torch.testing.assert_close(own.H[:, :k] @ own.W[:k], classical.reconstruction, rtol=0, atol=1e-8)


class Crash(Callback):
    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, trainer, *args):
        if trainer.global_step == self.step:
            raise ConnectionError


@pytest.mark.parametrize("batch_size", [None, 600])
@pytest.mark.parametrize("step", [2, 6, 7, 8, 13, 19, 20])
def test_a_run_that_crashed_while_it_grew_resumes_bitwise(tmp_path, batch_size, step):
    last = tmp_path / "last.ckpt"
    _, whole, _ = fit(FrobeniusNMF, batch_size=batch_size)
    with pytest.raises(ConnectionError):
        fit(FrobeniusNMF, batch_size=batch_size, callbacks=[Checkpoint(str(last), 1), Crash(step)])
    _, resumed, _ = fit(FrobeniusNMF, batch_size=batch_size, resume=last)
    assert torch.equal(resumed.decoder.W, whole.decoder.W)
    assert torch.equal(resumed.encoder.kept, whole.encoder.kept)


def test_what_cannot_grow_gets_a_sentence():
    with pytest.raises(Refusal, match="epochs is 0"):
        Grow(HALS(), 0)
    with pytest.raises(Refusal, match=r"would come in epoch 19, but trainer\.max_epochs is 18"):
        fit(FrobeniusNMF, epochs=18)
    with pytest.raises(Refusal, match=r"constraint never is"):
        fit(FrobeniusNMF, constraint=Softplus())
    with pytest.raises(Refusal, match="~callbacks"):
        fit(FrobeniusNMF, callbacks=[Reseed()])
    with pytest.raises(Refusal, match="LISTA gives codes to components that are 0"):
        fit(KullbackLeiblerNMF, lambda start: LISTA(start, KullbackLeibler(), 2))

import logging
from functools import partial

import pytest
import torch
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Callback

from nmf_nets.callbacks import roll_back
from nmf_nets.callbacks.checkpoint import Checkpoint
from nmf_nets.callbacks.reseed import Reseed
from nmf_nets.callbacks.roll_back import RollBack, ratio_to_constant
from nmf_nets.constraints.projected import Projected
from nmf_nets.data.digits import Digits
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.encoders.mlp import MLP
from nmf_nets.encoders.table import Table
from nmf_nets.inits.random import random
from nmf_nets.loader import Batch
from nmf_nets.modules.frobenius import FrobeniusNMF
from nmf_nets.optimizers.adam import ProjectedAdam
from nmf_nets.optimizers.block import Block
from nmf_nets.optimizers.multiplicative import Multiplicative
from nmf_nets.optimizers.online import Online
from nmf_nets.refusal import Refusal
from nmf_nets.updates.hals import HALS

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)


def adam(lr=0.1):
    return partial(ProjectedAdam, lr=lr, net_lr=lr / 10)


def table(start):
    return Table(start, Projected())


def mlp(start):
    return MLP(start, Frobenius())


LEARNING = {
    "table, Adam": (table, adam()),
    "mlp, Adam": (mlp, adam()),
    "mlp, block": (mlp, partial(Block, update=HALS())),
    "mlp, online": (mlp, partial(Online, update=HALS())),
}
WITHOUT_RATE = {
    "unrolled, block": (None, None),
    "unrolled, online": (None, partial(Online, update=HALS())),
    "table, block": (table, partial(Block, update=HALS())),
    "table, multiplicative": (table, Multiplicative),
}
MEMBERS = LEARNING | WITHOUT_RATE


class Poison(Callback):
    """Breaks a weight after each of these steps."""

    def __init__(self, *steps, value=float("nan")):
        self.steps, self.value = steps, value

    def on_train_batch_end(self, trainer, net, *args):
        if trainer.global_step in self.steps:
            with torch.no_grad():
                net.decoder.weight.theta[0, 0] = self.value


class Steps(Callback):
    """Remembers W after every step."""

    def __init__(self):
        self.W = {}

    def on_train_batch_end(self, trainer, net, *args):
        self.W[trainer.global_step] = net.decoder.W.detach().clone()


class Counting(Callback):
    count = 0

    def on_train_batch_end(self, *args):
        self.count += 1

    def state_dict(self):
        return {"count": self.count}

    def load_state_dict(self, state_dict):
        self.count = state_dict["count"]


class Crash(Callback):
    def __init__(self, step):
        self.step = step

    def on_train_batch_start(self, trainer, *args):
        if trainer.global_step == self.step:
            raise ConnectionError


def fit(net, callbacks, epochs=5, batch_size=600, resume=None):
    encoder, optimizer = net
    data = Digits(batch_size=batch_size)
    data.setup()
    start = random(data.training, 4, torch.Generator().manual_seed(0))
    made = FrobeniusNMF(start, encoder=encoder(start) if encoder else None, optimizer=optimizer)
    trainer = Trainer(
        max_epochs=epochs,
        callbacks=callbacks,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in callbacks),
    )
    trainer.fit(made, datamodule=data, ckpt_path=resume, weights_only=True)
    return made, trainer.optimizers[0]


def rates(optimizer):
    return [group.get("first_lr", group["lr"]) for group in optimizer.param_groups]


@pytest.mark.parametrize("member", MEMBERS)
def test_it_changes_no_bit_of_a_run_that_goes_well(member, tmp_path):
    plain, _ = fit(MEMBERS[member], [])
    watched, _ = fit(MEMBERS[member], [RollBack(str(tmp_path), 2)])
    assert torch.equal(plain.decoder.W, watched.decoder.W)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("member", "value"),
    [*((member, value) for member in LEARNING for value in (float("nan"), float("inf"))), ("table, Adam", 1e6)],
)
def test_it_goes_on_from_the_last_good_look_with_half_the_rates(member, value, tmp_path, caplog):
    good, before, counting, after = RollBack(str(tmp_path)), Steps(), Counting(), Steps()
    net, optimizer = fit(LEARNING[member], [before, counting, Poison(11, value=value), good, after])
    assert torch.equal(after.W[12], before.W[10]), "steps 10 and 12 are looked at, 11 is not"
    assert good.count == 1
    assert counting.count == 15 - 2, "what callbacks keep went back as well"
    _, unhurt = fit(LEARNING[member], [])
    halved = [after / before for after, before in zip(rates(optimizer), rates(unhurt), strict=True)]
    assert set(halved) <= {0.5, 1.0}
    assert 0.5 in halved
    assert bool(net.decoder.W.isfinite().all())
    assert "goes on from where it was after 10 with half the learning rates (1 of at most 3 times)" in caplog.text


def test_a_rate_that_is_too_large_is_found_out(tmp_path):
    too_large = (table, adam(lr=20.0))
    lost, _ = fit(too_large, [], 40, None)
    good = RollBack(str(tmp_path))
    saved, _ = fit(too_large, [good], 40, None)
    data = Digits()
    data.setup()
    batch = Batch(data.training, torch.arange(data.training.shape[0]))
    assert 1 <= good.count <= 3
    assert ratio_to_constant(saved, batch) < 0.9
    assert not ratio_to_constant(lost, batch) < 0.9


@pytest.mark.parametrize("member", LEARNING)
def test_after_three_times_it_refuses_and_leaves_what_there_is_to_know(member, tmp_path):
    (tmp_path / "config.yaml").write_text("seed: 3\n")
    with pytest.raises(Refusal, match=r"not finite after 10 steps, also after .* halved 3 times; choose smaller"):
        fit(LEARNING[member], [Poison(4, 6, 8, 10), RollBack(str(tmp_path))])
    left = torch.load(tmp_path / "diverged_after_10.pt", weights_only=True)
    assert left["step"] == 10
    assert len(left["rows"]) == 600
    assert left["good"]["step"] == 9
    assert left["weights"]["decoder.weight.theta"].isnan().any()
    assert left["good"]["weights"]["decoder.weight.theta"].isfinite().all()
    assert left["optimizer"]["param_groups"][0]["lr"] > 0
    assert left["config"] == "seed: 3\n"


@pytest.mark.parametrize("member", WITHOUT_RATE)
def test_what_has_no_rate_is_refused_at_once(member, tmp_path):
    with pytest.raises(Refusal, match=r"not finite after \d+ steps, by a step that has no learning rate"):
        fit(WITHOUT_RATE[member], [Poison(4), RollBack(str(tmp_path))])
    (left,) = tmp_path.iterdir()
    assert torch.load(left, weights_only=True)["good"]["step"] == 3


@pytest.mark.parametrize("batch_size", [600, None])
@pytest.mark.parametrize("every", [1, 4, 5])
@pytest.mark.parametrize("crash", [5, 8, 12])
def test_a_run_that_is_resumed_rolls_back_to_the_same_state(crash, every, batch_size, tmp_path):
    def callbacks():
        return [Poison(11), RollBack(str(tmp_path), 6), Reseed(), Checkpoint(str(last), every)]

    last = tmp_path / "last.ckpt"
    member, epochs = LEARNING["table, Adam"], 15 if batch_size is None else 5
    last = tmp_path / "whole" / "last.ckpt"
    whole, optimizer = fit(member, callbacks(), epochs, batch_size)
    last = tmp_path / "killed" / "last.ckpt"
    with pytest.raises(ConnectionError):
        fit(member, [*callbacks(), Crash(crash)], epochs, batch_size)
    resumed, again = fit(member, callbacks(), epochs, batch_size, resume=last)
    assert rates(again) == rates(optimizer)
    assert rates(again)[0] == 0.05
    assert torch.equal(whole.decoder.W, resumed.decoder.W)
    assert torch.equal(whole.encoder.codes.value, resumed.encoder.codes.value)


def test_the_last_step_is_looked_at(tmp_path):
    net, _ = fit(LEARNING["table, Adam"], [Poison(14), RollBack(str(tmp_path))], epochs=5)
    assert bool(net.decoder.W.isfinite().all())


def test_it_seldom_looks(tmp_path, monkeypatch):
    looks = []
    monkeypatch.setattr(roll_back, "_finite", lambda net: looks.append(net.trainer.global_step) or True)
    fit(WITHOUT_RATE["table, multiplicative"], [RollBack(str(tmp_path), 50)], 100, None)
    assert looks[:4] == [1, 2, 3, 4]
    assert len([step for step in looks if step > 8]) < 16
    assert looks[-1] == 100


def test_numbers_that_make_no_sense_are_refused(tmp_path):
    for wrong in ({"every_n_steps": 0}, {"explosion": 1.0}, {"most": -1}):
        with pytest.raises(Refusal, match=r"callbacks\.roll_back has"):
            RollBack(str(tmp_path), **wrong)

import csv
import logging
from dataclasses import replace
from functools import partial
from io import StringIO

import numpy as np
import pytest
import scipy.sparse
import torch
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Callback, EarlyStopping
from pytorch_lightning.loggers import Logger

from nmf_nets.as_matrix import as_matrix
from nmf_nets.callbacks.checkpoint import Checkpoint
from nmf_nets.callbacks.component_pictures import ComponentPictures
from nmf_nets.callbacks.dead_component_monitor import DeadComponentMonitor
from nmf_nets.callbacks.epoch_progress import EpochProgress
from nmf_nets.callbacks.gap_monitor import GapMonitor
from nmf_nets.callbacks.recentre import Recentre
from nmf_nets.callbacks.reseed import Reseed
from nmf_nets.callbacks.stopwatch import Stopwatch
from nmf_nets.constraints.projected import Projected
from nmf_nets.constraints.square import Square
from nmf_nets.data.digits import Digits
from nmf_nets.decoders.convolutive import Convolutive
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.encoders.convolutional import Convolutional
from nmf_nets.encoders.exact import Exact
from nmf_nets.encoders.linear import Linear
from nmf_nets.encoders.mlp import MLP
from nmf_nets.encoders.refined import Refined
from nmf_nets.encoders.table import Table
from nmf_nets.encoders.unrolled import Unrolled
from nmf_nets.factorization import Factorization
from nmf_nets.inits.random import random
from nmf_nets.loggers.base import Tracker
from nmf_nets.metrics.dead_components import dead_components
from nmf_nets.modules.frobenius import FrobeniusNMF
from nmf_nets.modules.kullback_leibler import KullbackLeiblerNMF
from nmf_nets.optimizers.multiplicative import Multiplicative
from nmf_nets.optimizers.online import Online
from nmf_nets.updates.hals import HALS


class Memory(Logger):
    name, version = "memory", "0"

    def __init__(self):
        super().__init__()
        self.seen = []

    def log_hyperparams(self, *args, **kwargs):
        pass

    def log_metrics(self, metrics, step=None):
        self.seen.append((step, metrics))


@pytest.fixture
def data():
    module = Digits()
    module.setup()
    return module


def fit(
    data, callbacks, epochs=6, encoder=None, start=None, optimizer=None, module=FrobeniusNMF, logger=None, resume=None
):
    start = start or random(data.training, 4, torch.Generator().manual_seed(0))
    net = module(start, encoder=encoder(start) if encoder else None, optimizer=optimizer)
    logger = logger or Memory()
    trainer = Trainer(
        max_epochs=epochs,
        logger=logger,
        callbacks=callbacks,
        accelerator="cpu",
        log_every_n_steps=1,
        enable_progress_bar=any(isinstance(callback, EpochProgress) for callback in callbacks),
        enable_model_summary=False,
        enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in callbacks),
    )
    trainer.fit(net, datamodule=data, ckpt_path=resume, weights_only=True)
    return net, trainer, logger


def test_the_gap_is_that_of_own_codes_above_exact_ones(data):
    encoder = lambda start: Unrolled(start, HALS(), steps=1, warm=0)  # noqa: E731
    net, trainer, logger = fit(data, [Stopwatch(), GapMonitor(HALS(), growth=2.0)], encoder=encoder)
    step, last = logger.seen[-1]
    assert step == 6
    assert [s for s, _ in logger.seen] == [0, 1, 2, 4, 6]
    for part, X in (("training", data.training), ("validation", data.validation)):
        own = net.factorize(X)
        exact = Factorization(Exact(None, HALS())(X, own.W), own.W)
        refined = Factorization(HALS()(X, own.H, own.W, 3), own.W)
        values = [float(net.divergence.total(X, factors)) for factors in (own, exact, refined)]
        assert last[f"{part}/divergence"] == pytest.approx(values[0])
        assert last[f"{part}/exact_codes"] == pytest.approx(values[1])
        assert last[f"{part}/refined_codes"] == pytest.approx(values[2])
        assert last[f"{part}/code_gap"] == pytest.approx(values[0] / values[1] - 1)
        assert last[f"{part}/code_gap"] > 1e-4, "one sweep is not enough for an exact code"
    assert 0 < last["seconds"] < 60
    assert float(trainer.callback_metrics["training/divergence"]) == pytest.approx(
        logger.seen[-2][1]["training/divergence"]
    )


def test_watching_changes_nothing(data):
    watched, *_ = fit(data, [Stopwatch(), GapMonitor(HALS(), growth=1.0), DeadComponentMonitor(1.0)])
    alone, *_ = fit(data, [])
    assert torch.equal(watched.decoder.W, alone.decoder.W)


def test_a_table_is_measured_on_its_training_rows_alone(data):
    _, _, logger = fit(data, [GapMonitor(HALS())], encoder=lambda start: Table(start, Projected()))
    assert "training/code_gap" in logger.seen[-1][1]
    assert not any(key.startswith("validation") for key in logger.seen[-1][1])


def test_lightnings_early_stopping_can_watch_what_is_measured(data):
    stopping = EarlyStopping("training/divergence", patience=0, min_delta=1e9, check_on_train_epoch_end=True)
    _, trainer, _ = fit(data, [GapMonitor(HALS(), growth=1.0), stopping], epochs=50)
    assert trainer.current_epoch < 5


class Sleeper(Callback):
    def on_train_batch_end(self, *args):
        import time

        time.sleep(0.05)


def test_the_stopwatch_runs_in_steps_alone(data):
    fit(data, [], epochs=1)  # compiles what is compiled
    watch = Stopwatch()
    fit(data, [watch, Sleeper()], epochs=5)
    assert 0 < watch.seconds < 0.2


def test_dead_components_are_warned_of_once_by_number(data, caplog):
    start = random(data.training, 4, torch.Generator().manual_seed(0))
    start.W[2] = 0
    start.H[:, 2] = 0
    with caplog.at_level(logging.WARNING):
        _, _, logger = fit(data, [DeadComponentMonitor(1.0)], start=start)
    assert [record.message for record in caplog.records] == [
        "components [2] explain nothing after 1 steps; try another init or seed."
    ]
    assert logger.seen[-1][1]["least_share"] == 0


# Dead components ------------------------------------------------------------------------------------------------------

CURED = {
    "unrolled": {},
    "unrolled, online": {"optimizer": partial(Online, update=HALS())},
    "unrolled, KL": {"module": KullbackLeiblerNMF},
    "mlp": {"encoder": lambda start: MLP(start, Frobenius())},
    "refined": {"encoder": lambda start: Refined(start, lambda start: Table(start, Projected()), HALS())},
    "table, multiplicative": {"encoder": lambda start: Table(start, Projected()), "optimizer": Multiplicative},
    "table, multiplicative, square": {"encoder": lambda start: Table(start, Square()), "optimizer": Multiplicative},
    "linear, multiplicative": {"encoder": lambda start: Linear(start, Projected()), "optimizer": Multiplicative},
}


def half_dead(data):
    """A start with two components of zeros, and those two as they were."""
    good = random(data.training, 6, torch.Generator().manual_seed(0))
    start = good.clone()
    start.W[[1, 4]] = 0
    start.H[:, [1, 4]] = 0
    return good, start


@pytest.mark.parametrize("case", CURED)
def test_dead_components_start_again_and_end_like_those_of_a_good_start(data, case, caplog):
    if "online" in case:
        data.batch_size = 500
    good, start = half_dead(data)
    ends = []
    for begin, callbacks in ((good, []), (start, []), (start, [Reseed(), DeadComponentMonitor()])):
        net, *_, logger = fit(data, callbacks, 60, start=begin.clone(), **CURED[case])
        own = net.own_factors(data.training)
        ends.append((float(net.divergence.total(data.training, own)), dead_components(own)))
    (of_good, _), (of_dead, dead), (of_cured, still_dead) = ends
    assert (dead, still_dead) == (2, 0)
    assert of_cured - of_good < 0.2 * (of_dead - of_good)
    said = [record.message for record in caplog.records if "explain" in record.message]
    assert len(said) == 1
    assert said[0].startswith("components [1, 4] explained nothing after ")
    assert [seen["reseeded"] for _, seen in logger.seen if "reseeded" in seen] == [2]


def test_what_starts_again_lowers_the_error_and_is_the_same_for_sparse_data(data):
    _, start = half_dead(data)
    ends = []
    dense = data.training.to(torch.float64)
    for X in (dense, as_matrix(scipy.sparse.csr_array(dense.numpy()))):
        begin = start.to(torch.float64).clone()
        net = FrobeniusNMF(begin, Table(begin, Projected()))
        before = float(net.divergence.total(X, net.own_factors(X)))
        rows = Reseed().reseed(net, net.configure_optimizers(), X)
        ends.append((rows, net.own_factors(X)))
        assert list(rows) == [1, 4]
        assert float(net.divergence.total(X, ends[-1][1])) < before
    assert ends[0][0] == ends[1][0]
    torch.testing.assert_close(ends[0][1].W, ends[1][1].W, rtol=1e-9, atol=1e-12)


def test_components_that_the_data_have_no_use_for_are_left_alone(data):
    H, W = (torch.rand(shape, generator=torch.Generator().manual_seed(0)).double() for shape in ((50, 3), (3, 20)))
    H[:, 2], W[2] = 0, 0
    X, start = as_matrix(H @ W), Factorization(H, W)
    net = FrobeniusNMF(start, Table(start, Projected()))
    assert Reseed().reseed(net, net.configure_optimizers(), X) == {}
    torch.testing.assert_close(net.decoder.W.detach(), W)


def test_nothing_starts_again_that_has_no_time_to_learn(data, caplog):
    _, start = half_dead(data)
    net, *_ = fit(data, [Reseed()], epochs=1, start=start)
    assert dead_components(net.own_factors(data.training)) == 2
    assert not [record for record in caplog.records if "explain" in record.message]


def test_a_row_starts_one_component_only_also_over_a_resume(data):
    _, start = half_dead(data)
    first = Reseed()
    rows = first.reseed(FrobeniusNMF(start.clone()), None, data.training)
    again = Reseed()
    again.load_state_dict(first.state_dict())
    others = again.reseed(FrobeniusNMF(start.clone()), None, data.training)
    assert len({*rows.values(), *others.values()}) == 4


class Shown(Memory, Tracker):
    """Keeps the pictures and tables that it was shown."""

    def __init__(self):
        super().__init__()
        self.pictures, self.tables = [], []

    def show_picture(self, key, path, step):
        self.pictures.append((key, path, step))

    def show_table(self, key, columns, rows, step):
        self.tables.append((key, columns, rows))

    def show_summary(self, summary):
        raise AssertionError("is for the end of a run")


NATURES = {
    "image": {},
    "words": {"image_shape": None, "feature_names": tuple(f"pixel {j}" for j in range(64))},
    "spectrum": {"image_shape": None, "frequencies": np.linspace(0, 4000, 64), "feature_names": None},
    "profile": {"image_shape": None, "feature_names": None},
}


@pytest.mark.parametrize("nature", NATURES)
def test_components_are_drawn_as_their_data_are_looked_at(data, tmp_path, nature):
    data._dataset = replace(data.dataset, **NATURES[nature])
    assert data.dataset.shown_as == nature
    path, shown = tmp_path / "components.png", Shown()
    net, *_ = fit(data, [ComponentPictures(str(path))], epochs=1, logger=shown)
    assert path.stat().st_size > 2000
    assert shown.pictures == [("components", path, step) for step in (0, 1)]
    assert (tmp_path / "topics.csv").exists() == bool(shown.tables) == (nature == "words")
    if nature == "words":
        lines = list(csv.DictReader(StringIO((tmp_path / "topics.csv").read_text())))
        W = net.decoder.W.detach()
        strongest = f"pixel {int(W[0].argmax())}"
        assert (lines[0]["component"], lines[0]["feature"]) == ("0", strongest)
        assert float(lines[0]["share"]) == pytest.approx(float(W[0].max() / W[0].sum()), rel=1e-3)
        key, columns, rows = shown.tables[-1]
        assert (key, len(rows), rows[0][0]) == ("topics", 4, 0)
        assert all(len(row) == len(columns) for row in rows)
        assert rows[0][1].startswith(f"{strongest} (")


def test_checkpoints_appear_whole_and_at_the_end(data, tmp_path):
    path = tmp_path / "deep" / "last.ckpt"
    net, *_ = fit(data, [Checkpoint(str(path), every_n_steps=4)], epochs=6)
    saved = torch.load(path, weights_only=True)
    assert saved["global_step"] == 6
    assert torch.equal(saved["state_dict"]["decoder.weight.theta"], net.decoder.weight.theta)
    assert sorted(file.name for file in path.parent.iterdir()) == ["last.ckpt", "last.earlier.ckpt"]


class Hooks(Callback):
    """What is done after which step."""

    def __init__(self):
        self.seen = []

    def on_train_epoch_start(self, trainer, *args):
        self.seen.append(("epoch starts", trainer.current_epoch, trainer.global_step))

    def on_train_batch_end(self, trainer, net, outputs, batch, batch_idx):
        self.seen.append(("batch", batch_idx, trainer.global_step, batch.rows.sum().item()))

    def on_train_epoch_end(self, trainer, *args):
        self.seen.append(("epoch ends", trainer.current_epoch, trainer.global_step))


class Crash(Callback):
    def __init__(self, step):
        self.step = step

    def on_train_batch_start(self, trainer, *args):
        if trainer.global_step == self.step:
            raise ConnectionError


@pytest.mark.parametrize(("batch_size", "step"), [(None, 1), (None, 2), (1000, 1), (1000, 2), (1000, 3), (1000, 4)])
def test_after_a_crash_nothing_is_left_out_and_nothing_done_twice(data, tmp_path, batch_size, step):
    data.batch_size = batch_size
    path, online = tmp_path / "last.ckpt", partial(Online, update=HALS())
    whole, before, after = Hooks(), Hooks(), Hooks()
    fit(data, [whole], 3, optimizer=online)
    with pytest.raises(ConnectionError):
        fit(data, [before, Checkpoint(str(path), 1), Crash(step)], 3, optimizer=online)
    fit(data, [after], 3, optimizer=online, resume=path)
    begun_again = before.seen[-1] == after.seen[0]  # an epoch of which no step was made
    assert before.seen[: -1 if begun_again else None] + after.seen == whole.seen


def test_an_exception_in_a_step_leaves_the_last_good_checkpoint(data, tmp_path):
    class Failing(Callback):
        def on_train_batch_start(self, trainer, *args):
            if trainer.global_step == 5:
                raise RuntimeError("in mid step")

    path = tmp_path / "last.ckpt"
    with pytest.raises(RuntimeError, match="in mid step"):
        fit(data, [Checkpoint(str(path), every_n_steps=4), Failing()], epochs=6)
    assert torch.load(path, weights_only=True)["global_step"] == 4


def test_the_bar_shows_loss_and_gap(data, capsys):
    fit(data, [GapMonitor(HALS(), growth=1.0), EpochProgress()], epochs=3)
    shown = capsys.readouterr().err
    assert "3/3" in shown
    assert "gap to exact codes" in shown
    assert "%" in shown


@pytest.mark.parametrize("shifts", [1, 2])
@pytest.mark.parametrize(
    "encoder", [lambda start: Table(start, Projected()), lambda start: Convolutional(start, Frobenius(), 7)]
)
def test_motifs_move_to_the_middle_and_their_codes_the_other_way(encoder, shifts):
    start = Factorization(torch.rand(30, 2), torch.rand(2, 6))
    start.H[:8], start.H[-8:] = 0, 0
    decoder = Convolutive(start, Projected(), 7, shifts)
    motifs = torch.zeros(2, 7, 6)
    motifs[0, :3], motifs[1, 4:] = torch.rand(3, 6), torch.rand(3, 6)
    decoder.weight.assign_(motifs.reshape(2, -1))
    net = FrobeniusNMF(encoder=encoder(decoder.start_of_encoder(start)), decoder=decoder, optimizer=Multiplicative)
    X, rows = as_matrix(torch.rand(30, 6)), torch.arange(30)
    net.eval()
    before = decoder(start.H.repeat(1, shifts)).detach()
    Recentre().recentre(net, X)
    H = net.encoder.codes.value if net.encoder.kept is None else net.encoder.kept
    assert (decoder.motifs.sum(2)[:, 2:5] > 2 * decoder.motifs.sum(2)[:, :1]).all()
    lifted = decoder.motifs < 0.1 * motifs.mean((1, 2))[:, None, None] * (1 + 1e-5)
    decoder.weight.assign_(torch.where(lifted, 0, decoder.motifs.detach()).reshape(2, -1))
    assert torch.allclose(decoder(H.detach() * shifts)[:28], before[:28], atol=0.02 * float(before.max()))
    assert (H >= 0).all()
    assert len(rows) == len(H)


def test_only_motifs_are_recentred(data):
    net, _, _ = fit(data, [Recentre()], epochs=3)
    same, _, _ = fit(data, [], epochs=3)
    assert torch.equal(net.decoder.W, same.decoder.W)

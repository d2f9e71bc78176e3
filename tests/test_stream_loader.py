"""Nets trained on what comes, for as long as it comes."""

import itertools
import warnings
from functools import partial

import numpy as np
import pytest
import pytorch_lightning as pl
import scipy.sparse
import torch

from nmf_nets.as_matrix import as_matrix
from nmf_nets.constraints.projected import Projected
from nmf_nets.decoders.linear import Linear
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.encoders.mlp import MLP
from nmf_nets.encoders.unrolled import Unrolled
from nmf_nets.factorization import Factorization
from nmf_nets.loader import Batch
from nmf_nets.metrics.relative_error import relative_error
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder
from nmf_nets.optimizers.adam import ProjectedAdam
from nmf_nets.optimizers.online import Online
from nmf_nets.refusal import Refusal
from nmf_nets.stream import Stream
from nmf_nets.stream_loader import StreamLoader
from nmf_nets.updates.hals import HALS

M, R = 12, 3
TRUE = torch.rand(R, M, dtype=torch.float64, generator=torch.Generator().manual_seed(9))


def batches(count=6, rows=20):
    for number in range(count):
        yield torch.rand(rows, R, dtype=torch.float64, generator=torch.Generator().manual_seed(number)) @ TRUE


def start(rows=20):
    X = next(batches(1, rows))
    W = torch.rand(R, M, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return Factorization(X.new_ones(rows, R), W)


def unrolled_online() -> NonNegativeAutoencoder:
    step = partial(Online, update=HALS(), memory=1.0, aging=10.0)
    encoder = Unrolled(start(), HALS(), steps=20, progress=0.0, warm=0)
    return NonNegativeAutoencoder(encoder, Linear(start(), Projected()), Frobenius(), step)


def mlp_adam() -> NonNegativeAutoencoder:
    step = partial(ProjectedAdam, lr=0.05, net_lr=0.01)
    return NonNegativeAutoencoder(MLP(start(), Frobenius()), Linear(start(), Projected()), Frobenius(), step)


def trainer(folder, **limits) -> pl.Trainer:
    return pl.Trainer(
        default_root_dir=folder,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        accelerator="cpu",
        **limits,
    )


def error(net: NonNegativeAutoencoder) -> float:
    return relative_error(as_matrix(next(batches(1))), net.factorize(as_matrix(next(batches(1)))))


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        yield


@pytest.mark.parametrize(("make", "steps", "most"), [(unrolled_online, 60, 0.01), (mlp_adam, 300, 0.1)])
def test_a_net_learns_from_an_iterator_that_has_no_end(make, steps, most, tmp_path):
    def forever():
        for number in itertools.count():
            yield torch.rand(20, R, dtype=torch.float64, generator=torch.Generator().manual_seed(number)) @ TRUE

    net = make()
    before = error(net)
    trained = trainer(tmp_path, max_steps=steps)
    trained.fit(net, StreamLoader(forever()))
    assert trained.global_step == steps
    assert error(net) < most < before


def test_a_run_over_a_stream_takes_the_steps_of_a_stream(tmp_path):
    net = unrolled_online()
    stream = Stream(R, update=HALS(), steps=20, progress=0.0, W=start().W)
    trainer(tmp_path, max_epochs=1).fit(net, StreamLoader(batches()))
    for batch in batches():
        stream.partial_fit(batch)
    assert stream.W is not None
    assert torch.allclose(net.decoder.W, stream.W, atol=1e-12)


KINDS = {
    "arrays": lambda X: X.numpy(),
    "tensors": lambda X: X,
    "sparse": lambda X: scipy.sparse.csr_array(X.numpy()),
    "matrices": as_matrix,
    "batches": lambda X: Batch(as_matrix(X), None),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("once", [True, False])
def test_batches_may_be_anything_that_is_a_matrix(kind, once):
    given = [KINDS[kind](X) for X in batches()]
    found = list(StreamLoader(iter(given) if once else given, torch.float64))
    for batch, X in zip(found, batches(), strict=True):
        assert torch.equal(batch.X.dense(), X)
        assert batch.rows is batch.n_rows is None


def test_an_iterable_begins_anew_in_every_epoch_and_an_iterator_is_refused_at_its_end():
    for again in (list(batches()), batches):
        loader = StreamLoader(again)
        assert [len(list(loader)) for _ in range(3)] == [6, 6, 6]
    loader = StreamLoader(batches())
    assert len(list(loader)) == 6
    with pytest.raises(Refusal, match="come to its end"):
        list(loader)


class Saved(pl.Callback):
    """A checkpoint after three steps."""

    def __init__(self, path):
        self.path = path

    def on_train_batch_end(self, trainer, *args):
        if trainer.global_step == 3:
            trainer.save_checkpoint(self.path)


@pytest.mark.parametrize("anew", [True, False])
def test_a_resumed_run_leaves_out_what_it_has_seen(anew, tmp_path):
    whole, resumed, saved = unrolled_online(), unrolled_online(), tmp_path / "last.ckpt"
    rest = batches if anew else iter(list(batches())[3:])
    trainer(tmp_path, max_epochs=1, callbacks=[Saved(saved)]).fit(whole, StreamLoader(batches if anew else batches()))
    trainer(tmp_path, max_epochs=1).fit(resumed, StreamLoader(rest), ckpt_path=saved, weights_only=True)
    assert torch.equal(resumed.decoder.W, whole.decoder.W)


@pytest.mark.untyped
def test_what_is_no_batch_is_refused_by_its_number():
    good = np.ones((4, M))
    for bad, says in (
        (-good, "batch 2 of the stream: X must be non-negative"),
        (np.ones((4, 2)), "batch 2 .* 2 features"),
    ):
        loader = iter(StreamLoader([good, good, bad]))
        next(loader), next(loader)
        with pytest.raises(Refusal, match=says):
            next(loader)
    with pytest.raises(Refusal, match="iterable"):
        StreamLoader(3)  # pyright: ignore

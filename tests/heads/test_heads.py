from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import scipy.sparse
import torch
import torch.nn.functional as F
from pytorch_lightning import Trainer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

import nmf_nets
from nmf_nets.as_matrix import as_matrix
from nmf_nets.constraints.projected import Projected
from nmf_nets.criterion import Criterion
from nmf_nets.data.digits import Digits
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.divergences.kullback_leibler import KullbackLeibler
from nmf_nets.encoders.base import Encoder
from nmf_nets.encoders.exact import Exact
from nmf_nets.encoders.lista import LISTA
from nmf_nets.encoders.mlp import MLP
from nmf_nets.encoders.table import Table
from nmf_nets.encoders.unrolled import Unrolled
from nmf_nets.factorization import Factorization
from nmf_nets.heads.classifier import Classifier
from nmf_nets.inits.random import random
from nmf_nets.loader import Batch, ResidentLoader
from nmf_nets.matrix import DenseMatrix, Matrix
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder
from nmf_nets.modules.frobenius import FrobeniusNMF
from nmf_nets.modules.kullback_leibler import KullbackLeiblerNMF
from nmf_nets.objective import Objective
from nmf_nets.optimizers.adam import ProjectedAdam
from nmf_nets.optimizers.base import MakeOptimizer
from nmf_nets.optimizers.block import Block
from nmf_nets.optimizers.multiplicative import Multiplicative
from nmf_nets.optimizers.online import Online
from nmf_nets.refusal import Refusal
from nmf_nets.updates.hals import HALS
from nmf_nets.updates.scalar_newton import ScalarNewton

ROWS, LABELS = torch.arange(40), torch.arange(40) % 3
ENCODERS = {
    "exact": lambda start: Exact(start, HALS(), implicit=True),
    "lista": lambda start: LISTA(start, Frobenius(), 2),
    "mlp": lambda start: MLP(start, Frobenius(), (8,)),
    "unrolled": lambda start: Unrolled(start, HALS()),
    "table": lambda start: Table(start, Projected()),
}
OPTIMIZERS: dict[str, MakeOptimizer] = {
    "adam": partial(ProjectedAdam, lr=0.03, net_lr=1e-2),
    "block": partial(Block, update=HALS()),
    "online": partial(Online, update=HALS()),
}


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def data() -> Tensor:
    return (uniform(40, 5) @ uniform(5, 30, seed=1)) * (0.5 + uniform(40, 30, seed=2))


def start_of(X: Matrix) -> Factorization:
    return random(X, 5, torch.Generator().manual_seed(0))


def trained_head(start: Factorization, weight: float = 0.3) -> Classifier:
    head = Classifier(start, 3, weight)
    with torch.no_grad():
        head.layer.weight.copy_(uniform(3, 5, seed=4) - 0.5)
    return head


# The head alone -------------------------------------------------------------------------------------------------------


def test_the_logits_know_neither_the_scale_of_the_data_nor_that_of_a_component():
    start = start_of(as_matrix(data()))
    logits = trained_head(start)(start)
    bigger = Factorization(start.H * 1e3, start.W * 1e3)
    assert torch.allclose(trained_head(bigger)(bigger), logits, rtol=1e-12)
    scales = 0.1 + uniform(5, seed=6)
    assert torch.allclose(trained_head(start)(Factorization(start.H * scales, start.W / scales[:, None])), logits)


def test_the_loss_is_the_smoothed_cross_entropy_of_each_sample():
    start = start_of(as_matrix(data()))
    head = trained_head(start)
    logarithms = head(start).log_softmax(1)
    expected = -0.9 * logarithms.gather(1, LABELS[:, None])[:, 0] - 0.1 * logarithms.mean(1)
    assert torch.allclose(head.loss(start, LABELS), expected)
    assert head.accuracy(start, head.predict(start)) == 1
    assert head.accuracy(start, (head.predict(start) + 1) % 3) == 0


@pytest.mark.parametrize("labels", [LABELS + 1, LABELS - 1])
def test_labels_of_other_classes_are_refused(labels):
    start = start_of(as_matrix(data()))
    with pytest.raises(Refusal, match="labels must be 0 … 2"):
        Classifier(start, 3).loss(start, labels)


# In a net -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize(
    ("divergence", "update"), [(Frobenius(), HALS()), (KullbackLeibler(), ScalarNewton())], ids=["Frobenius", "KL"]
)
def test_backward_is_the_gradient_of_divergence_and_head_together(divergence, update, kind):
    """Of one function of W alone, as exact codes make it, by finite differences along a direction."""
    X = as_matrix(data() if kind == "dense" else scipy.sparse.csr_array(data().numpy()))
    start = start_of(X)
    exact, head = Exact(None, update, 0.0, 20_000, implicit=True), trained_head(start, 2.0)
    W = (start.W + 0.1 * start.W.mean()).requires_grad_()

    def loss(W: Tensor) -> float:
        with torch.no_grad():
            factors = Factorization(exact(X, W), W)
            value = divergence.total(X, factors) / divergence.unit(X) + 2.0 * head.loss(factors, LABELS).mean()
            return float(value)

    objective = Objective(
        X,
        Factorization(exact(X, W), W),
        Criterion(divergence),
        head=head,
        labels=LABELS,
        codes_follow_W=exact.codes_follow_W,
    )
    objective.backward()
    assert W.grad is not None
    direction = 1e-5 * (uniform(5, 30, seed=7) - 0.5)
    expected = (loss(W + direction) - loss(W - direction)) / 2
    assert float((W.grad * direction).sum()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_encoder_and_step_trains_a_head_and_keeps_W_non_negative(encoder, optimizer):
    X = as_matrix(data())
    start = start_of(X)
    net = FrobeniusNMF(start, ENCODERS[encoder](start), None, OPTIMIZERS[optimizer], Classifier(start, 3))
    step = net.configure_optimizers()
    before = {name: M.clone() for name, M in net.named_parameters()}
    losses = []
    for _ in range(30):
        losses.append(float(net.head.loss(net(X, ROWS).detach(), LABELS).mean().detach()))
        step.step(lambda: net.objective(Batch(X, ROWS, 40, LABELS)))
        assert (net.decoder.W >= 0).all()
    assert losses[-1] < losses[0]
    for name, M in net.named_parameters():
        assert M.isfinite().all()
        assert not torch.equal(M, before[name]) or name == "encoder.row.weight", name


@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_step_on_W_alone_hears_no_head(encoder):
    """A head changes what an encoder learns, nothing else."""
    X = as_matrix(data())
    start = start_of(X)
    nets = [
        FrobeniusNMF(start, ENCODERS[encoder](start), None, OPTIMIZERS["block"], head)
        for head in (None, trained_head(start, 10.0))
    ]
    for net in nets:
        step = net.configure_optimizers()
        for _ in range(3):
            step.step(lambda net=net: net.objective(Batch(X, ROWS, 40, LABELS)))
    same = torch.equal(nets[0].decoder.W, nets[1].decoder.W)
    assert same == (encoder in ("exact", "unrolled", "table"))


def test_lightning_trains_a_head_and_resumes_it_to_the_bit(tmp_path):
    X = as_matrix(data())
    start = start_of(X)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}

    def net() -> FrobeniusNMF:
        return FrobeniusNMF(start, ENCODERS["mlp"](start), None, OPTIMIZERS["online"], Classifier(start, 3))

    whole, half, resumed = net(), net(), net()
    loader = partial(ResidentLoader, X, 16, labels=LABELS)
    Trainer(max_epochs=4, enable_checkpointing=False, **quiet).fit(whole, loader())
    first = Trainer(max_epochs=2, enable_checkpointing=False, **quiet)
    first.fit(half, loader())
    first.save_checkpoint(tmp_path / "half.ckpt")
    again = Trainer(max_epochs=4, enable_checkpointing=False, **quiet)
    again.fit(resumed, loader(), ckpt_path=tmp_path / "half.ckpt", weights_only=True)
    for name, M in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], M)


def test_what_cannot_be_is_refused():
    X = as_matrix(data())
    start = start_of(X)
    net = FrobeniusNMF(start, head=Classifier(start, 3))
    with pytest.raises(Refusal, match="the batch no labels"):
        net.objective(Batch(X, ROWS))
    with pytest.raises(Refusal, match="labels must be one for each of the 40 samples, but are 39"):
        ResidentLoader(X, labels=LABELS[:-1])
    with pytest.raises(Refusal, match="optimizer=multiplicative knows no head"):
        FrobeniusNMF(
            start, Table(start, Projected()), None, Multiplicative, Classifier(start, 3)
        ).configure_optimizers()


# Inside a larger network ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoder", ["exact", "lista", "mlp"])
@pytest.mark.parametrize("module", [FrobeniusNMF, KullbackLeiblerNMF])
def test_a_net_is_a_layer_between_others(module, encoder):
    """A layer before it, one after it, and an optimizer that knows nothing of either."""
    divergence, update = (Frobenius(), HALS()) if module is FrobeniusNMF else (KullbackLeibler(), ScalarNewton())
    X = data()
    start = start_of(as_matrix(X))
    made = {
        "exact": lambda: Exact(start, update, implicit=True),
        "lista": lambda: LISTA(start, divergence, 2),
        "mlp": lambda: MLP(start, divergence, (8,)),
    }[encoder]()
    net: NonNegativeAutoencoder = module(start, made)
    before, after = nn.Linear(30, 30, dtype=torch.float64), nn.Linear(5, 3, dtype=torch.float64)
    larger = nn.ModuleList([before, net, after])
    optimizer = torch.optim.Adam(larger.parameters(), 1e-2)
    losses = []
    for _ in range(20):
        Z = F.softplus(before(X))
        factors = net(DenseMatrix(Z))
        logits = after(factors.H)
        loss = F.cross_entropy(logits, LABELS) + 1e-3 * net.divergence(Z, factors.reconstruction).mean()
        optimizer.zero_grad()
        loss.backward()
        for name, parameter in larger.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
        assert before.weight.grad.abs().max() > 0
        optimizer.step()
        net.decoder.project_()
        assert (net.decoder.W >= 0).all()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]


# What it is for -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    accuracy: float
    divergence_value: float


def split_of(seed: int) -> Digits:
    split = Digits(validation=0.0, test=0.2, seed=seed)
    split.setup()
    return split


def two_steps(split: Digits) -> Found:
    """Logistic regression, with the ridge that scikit-learn gives it and does it good, on exact codes of the best W."""
    fitted = nmf_nets.factorize(split.training, 16, init="random", max_iter=1000)
    codes = [Exact(None, HALS())(X, fitted.W).numpy() for X in (split.training, split.test)]
    regression = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(codes[0], split.training_labels)
    return Found(float(regression.score(codes[1], split.test_labels)), fitted.divergence_value)


def jointly(split: Digits, encoder: Callable[[Factorization], Encoder], optimizer: MakeOptimizer, epochs: int) -> Found:
    start = random(split.training, 16, torch.Generator().manual_seed(0))
    net = FrobeniusNMF(start, encoder(start), None, optimizer, Classifier(start, 10))
    step, loader = net.configure_optimizers(), ResidentLoader(split.training, 128, 0, split.training_labels)
    for epoch in range(epochs):
        loader.sampler.set_epoch(epoch)
        for batch in loader:
            step.step(partial(net.objective, batch))
            assert (net.decoder.W >= 0).all()
    value = float(net.divergence.total(split.training, net.factorize(split.training)))
    return Found(net.head.accuracy(net.factorize(split.test), split.test_labels), value)


JOINT = {
    "mlp": (lambda start: MLP(start, Frobenius()), partial(Online, update=HALS()), 80, 0.015, 1.3),
    "exact": (
        lambda start: Exact(start, HALS(), 1e-4, 100, implicit=True),
        partial(ProjectedAdam, lr=0.03, net_lr=1e-2),
        60,
        0.004,
        1.7,
    ),
}


@pytest.mark.parametrize(("encoder", "optimizer", "epochs", "rise", "price"), JOINT.values(), ids=JOINT)
def test_digits_are_told_apart_better_by_codes_trained_with_a_head_than_in_two_steps(
    encoder, optimizer, epochs, rise, price
):
    """On held-out rows of three splits; `price` is of D, in which two steps are best."""
    splits = [split_of(seed) for seed in range(3)]
    plain = [two_steps(split) for split in splits]
    joint = [jointly(split, encoder, optimizer, epochs) for split in splits]
    assert np.mean([found.accuracy for found in joint]) > np.mean([found.accuracy for found in plain]) + rise
    for found, least in zip(joint, plain, strict=True):
        assert least.divergence_value < found.divergence_value < price * least.divergence_value

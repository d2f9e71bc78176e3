"""Training on data of which not all was observed: what stands where nothing was does not matter, to anybody."""

import json
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import scipy.sparse
import torch
from safetensors.numpy import load_file
from torch import Tensor

from nmf_nets.as_matrix import as_matrix
from nmf_nets.callbacks.reseed import Reseed
from nmf_nets.constraints.projected import Projected
from nmf_nets.decoders.convex import Convex
from nmf_nets.decoders.convolutive import Convolutive
from nmf_nets.decoders.deep import Deep
from nmf_nets.decoders.linear import Linear as LinearDecoder
from nmf_nets.decoders.tri_factor import TriFactor
from nmf_nets.divergences.beta import beta_divergence
from nmf_nets.encoders.convolutional import Convolutional
from nmf_nets.encoders.exact import Exact
from nmf_nets.encoders.hierarchical import Hierarchical
from nmf_nets.encoders.linear import Linear
from nmf_nets.encoders.lista import LISTA
from nmf_nets.encoders.mlp import MLP
from nmf_nets.encoders.projective import Projective
from nmf_nets.encoders.refined import Refined
from nmf_nets.encoders.symmetric import Symmetric
from nmf_nets.encoders.table import Table
from nmf_nets.encoders.unrolled import Unrolled
from nmf_nets.factorization import Factorization
from nmf_nets.inits.random import random
from nmf_nets.loader import Batch, ResidentLoader
from nmf_nets.matrix import DenseMatrix, Matrix, SparseMatrix
from nmf_nets.metrics.kkt_residual import kkt_residual
from nmf_nets.metrics.relative_error import relative_error
from nmf_nets.metrics.svd_excess import svd_error
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder
from nmf_nets.optimizers.adam import ProjectedAdam
from nmf_nets.optimizers.block import Block
from nmf_nets.optimizers.multiplicative import Multiplicative
from nmf_nets.optimizers.online import Online
from nmf_nets.optimizers.underapproximating import Underapproximating
from nmf_nets.refusal import Refusal
from nmf_nets.starts import INITS
from nmf_nets.updates import multiplicative as of_any
from nmf_nets.updates.active_set import ActiveSet
from nmf_nets.updates.assignment import Assignment
from nmf_nets.updates.base import Update
from nmf_nets.updates.hals import HALS
from nmf_nets.updates.least_squares import LeastSquares
from nmf_nets.updates.optimal_gradient import OptimalGradient
from nmf_nets.updates.pivoting import Pivoting
from nmf_nets.updates.projected_gradient import ProjectedGradient
from nmf_nets.updates.scalar_newton import ScalarNewton
from nmf_nets.updates.semi_multiplicative import SemiMultiplicative

N, M, R = 24, 24, 3  # as many, for symmetric codes
SEEN = torch.rand(N, M, generator=torch.Generator().manual_seed(9)) < 0.7
DIVERGENCES = {"frobenius": 2.0, "kullback_leibler": 1.0, "itakura_saito": 0.0, "beta": 1.5}
every_divergence = pytest.mark.parametrize("beta", DIVERGENCES.values(), ids=DIVERGENCES)


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def truth() -> Tensor:
    return (uniform(N, R) @ uniform(R, M, seed=1)) * (0.7 + 0.6 * uniform(N, M, seed=2)) + 0.1


def holding(what: float, seen: Tensor = SEEN) -> DenseMatrix:
    """The data with this, at random, where nothing was observed: the door would put zeros there, and does not look."""
    values = torch.where(seen, truth(), what * uniform(N, M, seed=3))
    return DenseMatrix(values, seen.double())


def stored() -> SparseMatrix:
    """The same, sparse: what was not observed is not there at all."""
    X = as_matrix(truth(), weights=scipy.sparse.csr_array(SEEN.double().numpy()))
    assert isinstance(X, SparseMatrix)
    return X


def update_of(beta: float) -> Update:
    return {2.0: HALS(), 1.0: ScalarNewton()}.get(beta, of_any.Multiplicative(beta_divergence(beta)))


def start_of(X: Matrix) -> Factorization:
    return random(X, R, torch.Generator().manual_seed(0))


# The parts ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """Of net, by its parts; what of each is made of the data is made of these."""

    encoder: str
    decoder: str = "linear"

    def __str__(self) -> str:
        return self.encoder if self.decoder == "linear" else f"{self.encoder}-{self.decoder}"

    def make(self, X: Matrix, beta: float, optimizer: str, **given: object) -> NonNegativeAutoencoder:
        start, D, update = start_of(X), beta_divergence(beta), update_of(beta)
        decoder = DECODERS[self.decoder](start, X, update)
        encoder = ENCODERS[self.encoder](decoder.start_of_encoder(start), decoder, D, update)
        return NonNegativeAutoencoder(encoder, decoder, D, partial(OPTIMIZERS[optimizer](D, update), **given))


DECODERS = {
    "linear": lambda start, X, update: LinearDecoder(start, Projected()),
    "convolutive": lambda start, X, update: Convolutive(start, Projected(), lags=2),
    "deep": lambda start, X, update: Deep(start, Projected(), X, [5], update, random, iterations=5),
    "tri_factor": lambda start, X, update: TriFactor(start, Projected(), X, random),
}
ENCODERS = {
    "table": lambda start, decoder, D, update: Table(start, Projected()),
    "exact": lambda start, decoder, D, update: Exact(start, update, ramp=0),
    "implicit": lambda start, decoder, D, update: Exact(start, update, implicit=True),
    "unrolled": lambda start, decoder, D, update: Unrolled(start, update, steps=20, warm=1),
    "cold": lambda start, decoder, D, update: Unrolled(start, update, steps=20, warm=0),
    "lista": lambda start, decoder, D, update: LISTA(start, D, 2),
    "refined": lambda start, decoder, D, update: Refined(
        start, partial(LISTA, divergence=D, layers=2), update, 2, distillation=0.1
    ),
    "symmetric": lambda start, decoder, D, update: Symmetric(start),
    "convolutional": lambda start, decoder, D, update: Convolutional(start, D, 2, steps=20),
    "hierarchical": lambda start, decoder, D, update: Hierarchical(start, decoder, update),
    "mlp": lambda start, decoder, D, update: MLP(start, D, (8,)),
    "linear": lambda start, decoder, D, update: Linear(start, Projected()),
    "projective": lambda start, decoder, D, update: Projective(start, Projected()),
    "refined-mlp": lambda start, decoder, D, update: Refined(start, partial(MLP, divergence=D, hidden=(8,)), update),
}
OPTIMIZERS = {
    "adam": lambda D, update: partial(ProjectedAdam, lr=0.03, net_lr=3e-3),
    "multiplicative": lambda D, update: Multiplicative,
    "block": lambda D, update: partial(Block, update=update, repeats=1),
    "online": lambda D, update: partial(Online, update=of_any.Multiplicative(D)),
}
SEES_ZEROS = ["mlp", "linear", "projective", "refined-mlp"]
KINDS = [
    Kind("table"),
    Kind("exact"),
    Kind("implicit"),
    Kind("unrolled"),
    Kind("cold"),
    Kind("lista"),
    Kind("refined"),
    Kind("symmetric"),
    Kind("table", "convolutive"),
    Kind("convolutional", "convolutive"),
    Kind("hierarchical", "deep"),
    Kind("table", "deep"),
    Kind("exact", "tri_factor"),
]


def serves(kind: Kind, optimizer: str, beta: float) -> bool:
    """What training without a hole in the data refuses is left out; of other β, where all take one path, most is."""
    if beta not in (1, 2) and kind.encoder not in ("table", "unrolled"):
        return False
    if optimizer in ("block", "online"):
        return kind.decoder == "linear" and kind.encoder != "symmetric"
    return optimizer == "adam" or kind.encoder not in ("implicit", "lista", "refined", "hierarchical")


RUNS = [
    pytest.param(kind, optimizer, beta, id=f"{kind}-{optimizer}-{beta}")
    for kind in KINDS
    for optimizer in OPTIMIZERS
    for beta in (2.0, 1.0, 0.0)
    if serves(kind, optimizer, beta)
]


def trained(net: NonNegativeAutoencoder, X: Matrix, epochs: int = 3, batch_size: int | None = None) -> Factorization:
    step, loader = net.configure_optimizers(), ResidentLoader(X, batch_size)
    for epoch in range(epochs):
        loader.sampler.set_epoch(epoch)
        for batch in loader:
            step.step(partial(net.objective, batch))
    return net.own_factors(X)


def entries(X: Tensor, X_hat: Tensor, beta: float) -> Tensor:
    """d_β, written once more."""
    if beta == 2:
        return 0.5 * (X - X_hat) ** 2
    if beta == 1:
        return X * (X / X_hat).log() - X + X_hat
    if beta == 0:
        return X / X_hat - (X / X_hat).log() - 1
    return (X**beta + (beta - 1) * X_hat**beta - beta * X * X_hat ** (beta - 1)) / (beta * (beta - 1))


# Nets -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "optimizer", "beta"), RUNS)
def test_what_stands_where_nothing_was_observed_does_not_matter_and_the_loss_is_of_the_rest(kind, optimizer, beta):
    """To the bit; and to rounding where it is not even stored."""
    runs = []
    for X in (holding(0.0), holding(1e3), stored()):
        net = kind.make(X, beta, optimizer)
        net.refuse_data(X)
        runs.append((net, trained(net, X)))
    (one, of_one), (other, of_other), (_, sparse) = runs
    for name, value in one.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name
    assert torch.equal(of_one.H, of_other.H)
    assert (of_one.W != kind.make(holding(0.0), beta, optimizer).decoder.W).any()
    torch.testing.assert_close(sparse.reconstruction, of_one.reconstruction, rtol=1e-4, atol=1e-6)

    expected = float(entries(truth(), of_other.reconstruction, beta)[SEEN].sum())
    assert float(other.divergence.total(holding(1e3), of_other)) == pytest.approx(expected, rel=1e-10)
    objective = other.objective(Batch(holding(1e3), torch.arange(N), N))
    at_step = entries(truth(), objective.factors.detach().reconstruction, beta)[SEEN].sum()
    assert float(objective.value()) == pytest.approx(float(at_step), rel=1e-10)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.encoder not in ("table", "symmetric")], ids=str)
@pytest.mark.parametrize("beta", [2.0, 1.0])
def test_rows_that_were_not_trained_on_are_coded_from_what_they_have(kind, beta):
    X = holding(0.0)
    net = kind.make(X, beta, "adam")
    trained(net, X)
    seen = SEEN.flip(0)
    one, other = (net.factorize(holding(what, seen)) for what in (0.0, 1e3))
    assert torch.equal(one.H, other.H)
    whole = net.factorize(DenseMatrix(truth()))
    assert (one.H - whole.H).abs().max() > 1e-3 * whole.H.max(), "what is hidden would have said something"


ALIKE = [
    pytest.param(kind, optimizer, beta, id=f"{kind}-{optimizer}-{beta}")
    for kind in (Kind("table"), Kind("exact"), Kind("convolutional", "convolutive"))
    for optimizer in ("adam", "multiplicative", "block")
    for beta in (2.0, 1.0)
    if serves(kind, optimizer, beta)
]


@pytest.mark.parametrize(("kind", "optimizer", "beta"), ALIKE)
def test_weights_of_one_are_no_weights(kind, optimizer, beta):
    """Of nets whose steps begin alike with weights and without."""
    given = {"extrapolate": False} if optimizer == "block" else {}
    plain, ones = (
        trained(kind.make(X, beta, optimizer, **given), X)
        for X in (DenseMatrix(truth()), DenseMatrix(truth(), torch.ones(N, M, dtype=torch.float64)))
    )
    torch.testing.assert_close(ones.reconstruction, plain.reconstruction, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "optimizer", "beta"),
    [run for run in RUNS if run.values[0].decoder != "convolutive" and run.values[2] in (1, 2)],
)
def test_batches_of_which_nothing_was_observed_break_nothing(kind, optimizer, beta):
    seen = SEEN & (torch.arange(N) < 20)[:, None]
    X = holding(7.0, seen)
    net = kind.make(X, beta, optimizer)
    step = net.configure_optimizers()
    for rows in (torch.arange(20), torch.arange(20, N), torch.arange(20)):
        step.step(partial(net.objective, Batch(X.rows(rows), rows, N)))
    assert all(value.isfinite().all() for value in net.state_dict().values())
    assert net.decoder.W.max() > 0.1


# Divergences ----------------------------------------------------------------------------------------------------------


@every_divergence
def test_no_gradient_comes_from_where_nothing_was_observed(beta):
    """∂D/∂X̂ by autograd, through the loss itself."""
    D, one = beta_divergence(beta), torch.eye(M, dtype=torch.float64)
    for X in (holding(0.0), holding(1e3), stored()):
        X_hat = (truth() * (0.5 + uniform(N, M, seed=5))).requires_grad_()
        D.total(X, Factorization(X_hat, one)).backward()
        assert not X_hat.grad[~SEEN].any()
        assert (X_hat.grad[SEEN] != 0).all()
        P, N_ = D.split_gradient(X, X_hat.detach(), one)
        torch.testing.assert_close(P - N_, X_hat.grad, rtol=1e-9, atol=1e-10)


@every_divergence
def test_a_divergence_with_weights_of_one_is_that_without(beta):
    D, F = beta_divergence(beta), start_of(holding(0.0))
    plain, ones = DenseMatrix(truth()), DenseMatrix(truth(), torch.ones(N, M, dtype=torch.float64))
    assert float(D.total(ones, F)) == pytest.approx(float(D.total(plain, F)), rel=1e-12)
    assert float(D.unit(ones)) == pytest.approx(float(D.unit(plain)), rel=1e-12)
    for expected, found in zip(D.split_gradient(plain, F.H, F.W), D.split_gradient(ones, F.H, F.W), strict=True):
        torch.testing.assert_close(found, expected.expand_as(found), rtol=1e-10, atol=0)


# Half-steps and inits -------------------------------------------------------------------------------------------------

UPDATES = [HALS(), Pivoting(), ActiveSet(), ProjectedGradient(), OptimalGradient(), ScalarNewton()]
UPDATES += [of_any.Multiplicative(beta_divergence(beta)) for beta in DIVERGENCES.values()]


@pytest.mark.parametrize("update", UPDATES, ids=lambda update: type(update).__name__)
def test_half_steps_see_what_was_observed_alone(update):
    start = start_of(holding(0.0))
    for H in (None, start.H):
        one, other = (update(holding(what), H, start.W, 5) for what in (0.0, 1e3))
        assert torch.equal(one, other)
        one, other = (update(holding(what).T, None if H is None else start.W.T, start.H.T, 5) for what in (0.0, 1e3))
        assert torch.equal(one, other)


@pytest.mark.parametrize("update", [LeastSquares(), Assignment(), SemiMultiplicative()], ids=lambda u: type(u).__name__)
def test_half_steps_that_know_no_weights_say_so_before_the_first(update):
    start = start_of(holding(0.0))
    net = NonNegativeAutoencoder(
        Exact(start, HALS()), LinearDecoder(start, Projected()), beta_divergence(2.0), partial(Block, update=update)
    )
    net.refuse_data(DenseMatrix(truth()))
    for refused in (net.refuse_data, lambda X: update(X, start.H, start.W)):
        with pytest.raises(Refusal, match="takes no weights; use"):
            refused(holding(0.0))


@pytest.mark.parametrize("init", INITS)
def test_inits_see_what_was_observed_alone_or_refuse(init):
    def start(X):
        return INITS[init](X, R, torch.Generator().manual_seed(0))

    if init in ("separable", "rank_factorization", "random_codes"):
        with pytest.raises(Refusal, match="weights"):
            start(holding(0.0))
        return
    one, other = start(holding(0.0)), start(holding(1e3))
    assert torch.equal(one.H, other.H)
    assert torch.equal(one.W, other.W)
    assert float(one.reconstruction.mean()) == pytest.approx(float(truth()[SEEN].mean()), rel=0.3)
    if init == "random":
        torch.testing.assert_close(start(stored()).W, one.W, rtol=1e-12, atol=0)
    else:
        with pytest.raises(Refusal, match="would make them dense; use init=random"):
            start(stored())


# What refuses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoder", SEES_ZEROS)
def test_encoders_that_would_see_zeros_refuse_before_a_weight_is_changed(encoder):
    X = holding(0.0)
    net = Kind(encoder).make(X, 2.0, "adam")
    before = {name: value.clone() for name, value in net.state_dict().items()}
    named = encoder.removeprefix("refined-")
    for refused in (net.refuse_data, net.factorize, partial(trained, net)):
        with pytest.raises(Refusal, match=f"encoder={named} would see zeros where nothing was observed; use encoder="):
            refused(X)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    net.refuse_data(DenseMatrix(truth()))


def test_sums_of_rows_refuse_what_they_do_not_heed_before_a_step():
    X = holding(0.0)
    for beta in (2.0, 1.0):
        net = Kind("cold").make(X, beta, "online", update=update_of(beta))
        with pytest.raises(Refusal, match=r"cannot heed weights of X; use update=multiplicative"):
            net.refuse_data(X)
    net = Kind("table").make(X, 2.0, "adam")
    net.optimizer = Underapproximating
    with pytest.raises(Refusal, match="underapproximation knows no weights"):
        net.refuse_data(X)


def test_components_of_whole_samples_are_refused():
    X = holding(0.0)
    with pytest.raises(Refusal, match="decoder=convex mixes whole samples"):
        Convex(start_of(X), Projected(), X)


# Learned steps --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [2.0, 1.0])
def test_learned_codes_scale_with_their_rows_and_know_no_other_row(beta):
    X = holding(0.0)
    start = start_of(X)
    lista = LISTA(start, beta_divergence(beta), 3)
    with torch.no_grad():
        lista.threshold += 0.1
    H = lista(X, start.W)
    c = 10 ** (4 * uniform(N, 1, seed=8) - 2)
    torch.testing.assert_close(lista(DenseMatrix(X.values * c, X.weights), start.W) / c, H, rtol=1e-9, atol=1e-12)
    rows = torch.tensor([7, 3])
    torch.testing.assert_close(lista(X.rows(rows), start.W), H[rows], rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(lista(DenseMatrix(X.values, 5 * X.given_weights), start.W), H, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("beta", [2.0, 1.0])
def test_learned_steps_come_near_the_best_codes_of_what_was_observed(beta):
    X = holding(0.0)
    D, update = beta_divergence(beta), update_of(beta)
    net = Kind("lista").make(X, beta, "block", update=update)
    own = trained(net, X, epochs=150)
    best = Factorization(update(X, None, own.W, 500, 1e-7), own.W)
    flat = Factorization(own.H.mean(0).expand_as(own.H), own.W)
    gap, of_flat = (float(D.total(X, F) / D.total(X, best)) - 1 for F in (own, flat))
    assert gap < 0.1
    assert of_flat > 1


# Callbacks and metrics ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_a_dead_component_starts_again_from_what_was_observed_and_lowers_the_error(form):
    found = []
    for X in (holding(0.0), holding(1e3)) if form == "dense" else (stored(), stored()):
        net = Kind("table").make(X, 2.0, "block")
        W = net.decoder.W.detach().clone()
        W[1] = 0
        net.decoder.assign_(W)
        before = float(net.divergence.total(X, net.own_factors(X)))
        seeded = Reseed().reseed(net, net.configure_optimizers(), X)
        found.append((seeded, net.decoder.W.detach(), net.encoder.codes.value.detach()))
        assert list(seeded) == [1]
        assert float(net.divergence.total(X, net.own_factors(X))) < before
    (rows, W, H), (other_rows, other_W, other_H) = found
    assert rows == other_rows
    assert torch.equal(W, other_W)
    assert torch.equal(H, other_H)
    hidden = ~SEEN[rows[1]]
    assert hidden.any()
    assert W[1][hidden].max() <= W[1][~hidden].max() * 1e-2
    residual = (truth() - start_of(holding(0.0)).H[:, [0, 2]] @ W[[0, 2]]) * SEEN
    assert rows[1] == int(residual.square().sum(1).argmax())


def test_metrics_are_of_what_was_observed():
    for X in (holding(1e3), stored()):
        F = start_of(holding(0.0))
        left = (truth() - F.reconstruction)[SEEN]
        assert relative_error(X, F) == pytest.approx(float(left.norm() / truth()[SEEN].norm()), rel=1e-10)
        assert kkt_residual(X, F, beta_divergence(2.0)) == pytest.approx(
            kkt_residual(holding(0.0), F, beta_divergence(2.0)), rel=1e-10
        )
        with pytest.raises(Refusal, match="X has weights"):
            svd_error(X, 2)
    nothing = DenseMatrix(truth(), torch.zeros(N, M, dtype=torch.float64))
    assert float(nothing.mean) == 0


# The program ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def ratings(tmp_path):
    """From 1 to 5, of 80 × 30 about 40 %, some of 0 among them, and all of them."""
    chance = np.random.default_rng(3)
    full = np.round(5 * (chance.random((80, 2)) @ chance.random((2, 30))) / 2)
    seen = chance.random(full.shape) < 0.4
    given = scipy.sparse.csr_array((full[seen], np.nonzero(seen)), shape=full.shape)
    scipy.sparse.save_npz(tmp_path / "ratings.npz", given)
    return full, seen


def summary_of(ran, name="run"):
    assert ran.code == 0, ran.err
    return json.loads((ran.directory / name / "summary.json").read_text())


UNSTORED = ("data=matrix", "data.path=ratings.npz", "data.missing=unstored", "n_components=2", "data.dtype=float64")


@pytest.mark.parametrize(
    "overrides",
    [
        ["divergence=frobenius"],
        ["divergence=kullback_leibler", "encoder=lista"],
        ["encoder=exact", "optimizer=online", "update=multiplicative", "data.batch_size=16"],
    ],
    ids=" ".join,
)
def test_ratings_are_trained_on_and_judged_by_those_that_were_given(train, ratings, overrides):
    full, seen = ratings
    ran = train(*UNSTORED, *overrides, "trainer.max_epochs=30")
    summary = summary_of(ran)
    found = load_file(ran.directory / "run" / "factors.safetensors")
    rows = found["rows"]
    X_hat, given = found["H"] @ found["W"], seen[rows]
    left = (full[rows] - X_hat)[given]
    assert summary["relative_error"] == pytest.approx(
        np.linalg.norm(left) / np.linalg.norm(full[rows][given]), rel=1e-6
    )
    if summary["divergence"] == "frobenius":
        assert summary["divergence_value"] == pytest.approx(0.5 * (left**2).sum(), rel=1e-9)
    lines = (ran.directory / "run" / "metrics.jsonl").read_text().splitlines()
    watched = [line for line in map(json.loads, lines) if "training/divergence" in line][-1]
    assert watched["training/divergence"] == pytest.approx(summary["divergence_value"], rel=1e-9)
    assert watched["training/exact_codes"] <= watched["training/divergence"] * (1 + 1e-6)
    assert watched["validation/exact_codes"] > 0
    assert summary["observed"] == pytest.approx(given.mean())
    assert summary["sklearn_value"] is None
    assert summary["svd_error"] is None
    assert summary["heldout_exact_codes_value"] > 0
    assert "scikit-learn's solver, which needs them all, takes no part" in " ".join(ran.out.split())
    assert "scikit-learn cd" not in ran.out
    assert ("hals" in ran.out) == (overrides[-1] == "data.batch_size=16"), "HALS itself is in the table then"
    hidden = np.abs(full[rows] - X_hat)[~given].mean()
    assert hidden < np.abs(full[rows] - full[rows][given].mean())[~given].mean(), "and what was not given is found"


def test_a_file_of_weights_is_trained_with(train, ratings, tmp_path):
    full, seen = ratings
    np.save(tmp_path / "x.npy", np.where(seen, full, 1e6))
    np.save(tmp_path / "v.npy", seen)
    settings = ("data=matrix", "data.path=x.npy", "n_components=2", "data.dtype=float64", "trainer.max_epochs=5")
    one = summary_of(train(*settings, "data.weights=v.npy"))
    np.save(tmp_path / "x.npy", np.where(seen, full, np.nan))
    other = summary_of(train(*settings, "data.missing=nan", "hydra.run.dir=other"), "other")
    for name in ("divergence_value", "heldout_value", "observed", "kkt_residual"):
        assert one[name] == other[name]


REFUSED = {
    ("encoder=mlp",): "encoder=mlp would see zeros where nothing was observed",
    ("optimizer=online",): "GramSums cannot heed weights of X; use update=multiplicative",
    ("init=nndsvd",): "a guess for those of sparse data that were not observed would make them dense",
    ("init=separable",): "rows are selected by all of their entries",
    ("optimizer=block", "update=least_squares"): "takes no weights; use hals or pivoting",
    ("decoder=convex", "optimizer=multiplicative", "encoder=table"): "decoder=convex mixes whole samples",
    ("+penalty@penalties_H.near=graph",): "a graph of neighbours needs all of X",
    ("+penalty@penalties_H.apart=orthogonality",): "HALS with weights cannot heed the penalty orthogonality",
}


@pytest.mark.parametrize("overrides", REFUSED, ids=" ".join)
def test_what_knows_no_missing_entries_is_refused_before_it_starts(train, ratings, overrides):
    ran = train(*UNSTORED, *overrides)
    assert ran.code == 2, ran.err
    assert REFUSED[overrides] in ran.sentence
    assert not (ran.directory / "run" / "config.yaml").exists()


def test_nan_is_refused_with_the_way_to_allow_it(train, tmp_path):
    np.save(tmp_path / "x.npy", np.where(SEEN, truth(), np.nan))
    ran = train("data=matrix", "data.path=x.npy", "n_components=2")
    assert ran.code == 2
    assert "x.npy: Input X contains NaN at [" in ran.sentence
    assert "set data.missing=nan to fit what was observed, or impute it." in ran.sentence
    allowed = train("data=matrix", "data.path=x.npy", "n_components=2", "data.missing=nan", "trainer.max_epochs=2")
    assert allowed.code == 0, allowed.err


@pytest.mark.parametrize(
    "overrides", [("experiment=sparse_coding",), ("experiment=seqnmf", "data.contiguous=true", "decoder.lags=2")]
)
def test_variants_without_plain_rivals_have_theirs_with_missing_entries_too(train, ratings, overrides):
    ran = train(*UNSTORED, *overrides, "trainer.max_epochs=5")
    assert ran.code == 0, ran.err
    summary = summary_of(ran)
    assert 0.3 < summary["observed"] < 0.5
    assert np.isfinite(summary["gap"])

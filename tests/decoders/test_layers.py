"""Decoders whose W is a product of weights: three factors and deep."""

import io
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse
import torch
from sklearn.cluster import SpectralBiclustering
from torch import Tensor

from nmf_nets.as_matrix import as_matrix
from nmf_nets.constraints.projected import Projected
from nmf_nets.constraints.square import Square
from nmf_nets.data.co_clusters import CoClusters
from nmf_nets.decoders.deep import Deep
from nmf_nets.decoders.tri_factor import TriFactor
from nmf_nets.divergences.base import Divergence
from nmf_nets.divergences.beta import beta_divergence
from nmf_nets.division import ratio
from nmf_nets.encoders.exact import Exact
from nmf_nets.encoders.table import Table
from nmf_nets.encoders.unrolled import Unrolled
from nmf_nets.factorization import Factorization
from nmf_nets.inits.kmeans import kmeans
from nmf_nets.inits.random import random
from nmf_nets.loader import Batch
from nmf_nets.matrix import Matrix
from nmf_nets.metrics.clustering import adjusted_rand, cluster_of
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder
from nmf_nets.modules.frobenius import FrobeniusNMF
from nmf_nets.modules.kullback_leibler import KullbackLeiblerNMF
from nmf_nets.optimizers.adam import ProjectedAdam
from nmf_nets.optimizers.block import Block
from nmf_nets.optimizers.multiplicative import Multiplicative
from nmf_nets.optimizers.online import Online
from nmf_nets.penalties.l1 import L1
from nmf_nets.penalties.l2 import L2
from nmf_nets.penalties.orthogonality import Orthogonality
from nmf_nets.refusal import Refusal
from nmf_nets.solver import Solver
from nmf_nets.updates import multiplicative as update_room
from nmf_nets.updates.assignment import Assignment
from nmf_nets.updates.hals import HALS
from nmf_nets.updates.scalar_newton import ScalarNewton
from nmf_nets.weight import weights_of

TRI, DEEP = "tri_factor", "deep"
STARTS = partial(kmeans, positive=True)
every_decoder = pytest.mark.parametrize("decoder", [TRI, DEEP])
every_kind = pytest.mark.parametrize("kind", ["dense", "sparse", "masked"])
every_beta = pytest.mark.parametrize("beta", [2.0, 1.0, 0.5])
PENALTIES = {
    TRI: {"V": {"apart": partial(Orthogonality, 0.5), "small": partial(L2, 0.1)}, "S": {"small": partial(L2, 0.1)}},
    DEEP: {"W1": {"sparse": partial(L1, 0.3)}, "W3": {"small": partial(L2, 0.1)}},
}


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def data(kind: str = "dense") -> Matrix:
    X = (uniform(30, 4) @ uniform(4, 20, seed=1)) * (0.5 + uniform(30, 20, seed=2))
    if kind == "masked":
        return as_matrix(X, weights=(uniform(30, 20, seed=3) > 0.3).double())
    return as_matrix(X if kind == "dense" else scipy.sparse.csr_array((X * (uniform(30, 20, seed=4) > 0.4)).numpy()))


def start_of(X: Matrix, seed: int = 0) -> Factorization:
    return random(X, 3, torch.Generator().manual_seed(seed))


def decoder_of(name: str, X: Matrix, start: Factorization, constraint=None, penalties=None, update=None, **given):
    constraint = constraint or Projected()
    if name == TRI:
        return TriFactor(start, constraint, X, random, **{"n_feature_clusters": 4, **given}, penalties=penalties)
    options = {"sizes": (6, 4), "iterations": 5, **given}
    return Deep(start, constraint, X, update=update or HALS(), init=random, penalties=penalties, **options)


def net_of(name: str, X: Matrix, divergence: Divergence, optimizer=Multiplicative, on_H=(), **given):
    start = start_of(X)
    decoder = decoder_of(name, X, start, update=update_room.Multiplicative(divergence), **given)
    encoder = Table(decoder.start_of_encoder(start), Projected())
    return NonNegativeAutoencoder(encoder, decoder, divergence, optimizer, penalties_H=on_H)


def train(net, X: Matrix, steps: int, optimizer=None) -> list[float]:
    """The objective before each step and after the last."""
    optimizer, batch = optimizer or net.configure_optimizers(), Batch(X, torch.arange(X.shape[0]), X.shape[0])
    values = []
    for _ in range(steps):
        values.append(float(net.objective(batch).value()))
        optimizer.step(lambda: net.objective(batch))
    return [*values, float(net.objective(batch).value())]


# What they are --------------------------------------------------------------------------------------------------------


@every_decoder
@pytest.mark.parametrize("constraint", [Projected(), Square()], ids=lambda part: type(part).__name__)
def test_w_is_the_product_of_the_weights_and_rescaling_divides_its_rows(decoder, constraint):
    X = data()
    made = decoder_of(decoder, X, start_of(X), constraint)
    weights = [weight.value.detach() for weight in weights_of(made)]
    product = weights[0] @ weights[1] if decoder == TRI else weights[2] @ weights[1] @ weights[0]
    torch.testing.assert_close(made.W.detach(), product)
    H = uniform(30, 3)
    torch.testing.assert_close(made(H), H @ product)
    sizes = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
    made.rescale_(sizes)
    torch.testing.assert_close(made.W.detach(), product / sizes[:, None])


def test_the_names_of_the_weights_are_those_of_the_formulas():
    X = data()
    shapes = {name: tuple(weight.shape) for name, weight in decoder_of(TRI, X, start_of(X)).named_parameters()}
    assert shapes == {"S.theta": (3, 4), "V.theta": (4, 20)}
    shapes = {name: tuple(weight.shape) for name, weight in decoder_of(DEEP, X, start_of(X)).named_parameters()}
    assert shapes == {"W1.theta": (6, 20), "W2.theta": (4, 6), "W3.theta": (3, 4)}


def test_parts_are_the_components_of_every_level_in_the_data():
    X = data()
    deep = decoder_of(DEEP, X, start_of(X))
    W1, W2, W3 = deep.levels
    for part, expected in zip(deep.parts, (W1, W2 @ W1, W3 @ W2 @ W1), strict=True):
        torch.testing.assert_close(part, expected)


@every_decoder
@every_kind
@every_beta
def test_a_start_is_positive_and_of_the_size_of_the_data(decoder, kind, beta):
    X = data(kind)
    start = start_of(X)
    made = decoder_of(decoder, X, start, update=update_room.Multiplicative(beta_divergence(beta)))
    H, W = made.start_of_encoder(start).H, made.W.detach()
    assert all((weight.value > 0).all() for weight in weights_of(made))
    assert (H > 0).all()
    assert 0.5 < float((H @ W).mean() / X.mean) < 2


def dense_entries(x: Tensor, y: Tensor, beta: float) -> Tensor:
    if beta == 1:
        return torch.xlogy(x, x) - torch.xlogy(x, y) - x + y
    return (x**beta + (beta - 1) * y**beta - beta * x * y ** (beta - 1)) / (beta * (beta - 1))


# The mathematics ------------------------------------------------------------------------------------------------------


@every_decoder
@every_kind
@every_beta
def test_the_gradient_is_that_of_the_dense_formula(decoder, kind, beta):
    X, divergence = data(kind), beta_divergence(beta)
    net = net_of(decoder, X, divergence, penalties=PENALTIES[decoder], on_H=(Orthogonality(0.2),))
    objective = net.objective(Batch(X, torch.arange(30), 30))
    thetas = [weight.theta for weight in weights_of(net)]
    found = [P - N for P, N in objective.split_gradient(thetas)]
    assert all((part >= 0).all() for split in objective.split_gradient(thetas) for part in split)

    dense = torch.from_numpy(X.numpy().toarray() if X.is_sparse else X.numpy())
    V = 1 if X.weights is None else X.weights
    H, factors = net.encoder.codes.value, {name: weight.value for name, weight in net.decoder.named_children()}
    made = factors["S"] @ factors["V"] if decoder == TRI else factors["W3"] @ factors["W2"] @ factors["W1"]
    entries = dense_entries(dense, H @ made, beta)
    total = (V * entries).sum() + 0.1 * (H.sum(1).square().sum() - H.square().sum())
    if decoder == TRI:
        S, V2 = factors["S"], factors["V"]
        total = total + 0.25 * (V2.sum(0).square().sum() - V2.square().sum())
        total = total + 0.05 * (V2.square().sum() + S.square().sum())
    else:
        total = total + 0.3 * factors["W1"].sum() + 0.05 * factors["W3"].square().sum()
    assert float(objective.value()) == pytest.approx(float(total.detach()), rel=1e-10)
    for gradient, expected in zip(found, torch.autograd.grad(total, thetas), strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-9 * float(expected.abs().max()))


def tri_factor_step(X: np.ndarray, H: np.ndarray, S: np.ndarray, V: np.ndarray) -> tuple[np.ndarray, ...]:
    """Plain three-factor NMF, written by hand: the factors one after the other."""
    W = S @ V
    H = H * (X @ W.T) / (H @ W @ W.T)
    S = S * (H.T @ X @ V.T) / (H.T @ H @ S @ V @ V.T)
    G = H @ S
    V = V * (G.T @ X) / (G.T @ G @ V)
    return H, S, V


def test_a_table_with_multiplicative_steps_is_the_classical_algorithm_of_three_factors():
    X = data()
    net = net_of(TRI, X, beta_divergence(2.0))
    factors = net.encoder.codes.value, net.decoder.S.value, net.decoder.V.value
    expected = tuple(M.detach().numpy().copy() for M in factors)
    optimizer = net.configure_optimizers()
    for _ in range(5):
        train(net, X, 1, optimizer)
        expected = tri_factor_step(X.numpy(), *expected)
    for found, M in zip((net.encoder.codes.value, net.decoder.S.value, net.decoder.V.value), expected, strict=True):
        np.testing.assert_allclose(found.detach().numpy(), M, rtol=1e-10)


def test_a_table_with_multiplicative_steps_is_the_classical_algorithm_of_the_levels():
    """Kullback–Leibler, each W_l between the product to its left and the product to its right."""
    X = data()
    net = net_of(DEEP, X, beta_divergence(1.0))
    H, levels, A = net.encoder.codes.value.detach().clone(), [W.detach().clone() for W in net.decoder.levels], X.dense()
    train(net, X, 1)
    one = torch.ones_like(A)
    W = levels[2] @ levels[1] @ levels[0]
    H = H * (A / (H @ W) @ W.T) / (one @ W.T)
    for level in range(3):
        left, right = H, torch.eye(20, dtype=A.dtype)
        for above in range(2, level, -1):
            left = left @ levels[above]
        for below in range(level):
            right = levels[below] @ right
        X_hat = left @ levels[level] @ right
        levels[level] = levels[level] * (left.T @ (A / X_hat) @ right.T) / (left.T @ one @ right.T)
    torch.testing.assert_close(net.encoder.codes.value.detach(), H, rtol=1e-10, atol=0)
    for found, expected in zip(net.decoder.levels, levels, strict=True):
        torch.testing.assert_close(found.detach(), expected, rtol=1e-10, atol=0)


@every_decoder
@every_kind
@every_beta
@pytest.mark.parametrize("penalised", [False, True])
def test_no_multiplicative_step_raises_the_objective(decoder, kind, beta, penalised):
    X = data(kind)
    penalties, on_H = (PENALTIES[decoder], (Orthogonality(0.5), L2(0.1))) if penalised else (None, ())
    values = train(net_of(decoder, X, beta_divergence(beta), penalties=penalties, on_H=on_H), X, 30)
    assert all(after <= before * (1 + 1e-12) for before, after in pairwise(values))
    assert values[-1] < 0.999 * values[0]


@pytest.mark.parametrize("beta", [2.0, 1.0])
@every_decoder
def test_the_planted_truth_is_a_fixed_point(decoder, beta):
    H, S, V = uniform(30, 3), uniform(3, 4, seed=1), uniform(4, 20, seed=2)
    X = as_matrix(H @ S @ V)
    net = net_of(decoder, X, beta_divergence(beta), **({} if decoder == TRI else {"sizes": [4]}))
    net.encoder.codes.assign_(H)
    for weight, truth in zip(weights_of(net.decoder), (S, V) if decoder == TRI else (V, S), strict=True):
        weight.assign_(truth)
    train(net, X, 20)
    torch.testing.assert_close(net.encoder.codes.value.detach(), H, rtol=1e-10, atol=0)
    torch.testing.assert_close(net.decoder.W.detach(), S @ V, rtol=1e-10, atol=0)


@pytest.mark.parametrize("optimizer", [Multiplicative, partial(ProjectedAdam, lr=0.05, net_lr=1e-3)])
@pytest.mark.parametrize("scale", [1e-8, 1e8, 4.0**6])
@every_decoder
def test_data_times_c_give_factors_times_the_root_of_c(decoder, scale, optimizer):
    found = []
    for c in (1.0, scale):
        X = as_matrix(data().dense() * c)
        net = net_of(decoder, X, beta_divergence(2.0), optimizer)
        train(net, X, 10)
        own = net.own_factors(X)
        found.append(Factorization(own.H / c**0.5, own.W / c**0.5))
    for a, b in ((found[0].H, found[1].H), (found[0].W, found[1].W)):
        if scale == 4.0**6 and optimizer is Multiplicative:
            assert torch.equal(a, b)
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-7 * float(a.max()))


@pytest.mark.parametrize(
    ("module", "update"), [(FrobeniusNMF, HALS()), (KullbackLeiblerNMF, ScalarNewton())], ids=["Frobenius", "KL"]
)
@pytest.mark.parametrize("encoder", ["exact", "unrolled"])
@every_decoder
def test_codes_of_a_solver_end_lower_than_the_start(decoder, encoder, module, update):
    X = data("sparse")
    start = start_of(X)
    made = decoder_of(decoder, X, start, update=update)
    begin = made.start_of_encoder(start)
    net = module(start, Exact(begin, update) if encoder == "exact" else Unrolled(begin, update), made, Multiplicative)
    before = float(net.divergence.total(X, net.own_factors(X)))
    train(net, X, 50)
    assert float(net.divergence.total(X, net.own_factors(X))) < before


# Pre-training ---------------------------------------------------------------------------------------------------------


def test_pre_training_factorizes_the_codes_of_the_level_below():
    X = data()
    solver = Solver(HALS(), HALS.effort, HALS.extrapolation)
    deep = decoder_of(DEEP, X, start_of(X), sizes=[6], iterations=200)
    generator, values = torch.Generator().manual_seed(0), []
    first = list(zip(range(200), solver.iterates(X, random(X, 6, generator)), strict=False))[-1][1]
    sizes = first.W.norm(dim=1)
    codes = as_matrix(first.H * sizes)
    second = list(zip(range(200), solver.iterates(codes, random(codes, 3, generator)), strict=False))[-1][1]
    expected = second.H @ second.W @ (first.W / sizes[:, None])
    begin = deep.start_of_encoder(start_of(X))
    torch.testing.assert_close(begin.reconstruction, expected, rtol=0, atol=0.02 * float(expected.max()))
    torch.testing.assert_close(begin.W, deep.W.detach())
    for iterations in (0, 5, 200):
        made = decoder_of(DEEP, X, start_of(X), sizes=[6], iterations=iterations)
        values.append(float(beta_divergence(2.0).total(X, made.start_of_encoder(start_of(X)))))
    assert values[0] > 1.5 * max(values[1:])


def test_joint_training_is_better_than_pre_training_alone():
    X = data()
    values = train(net_of(DEEP, X, beta_divergence(2.0), iterations=300), X, 300)
    assert values[-1] < 0.98 * values[0]


# Penalties on weights of a decoder ------------------------------------------------------------------------------------


def test_an_l1_penalty_makes_the_weight_that_it_is_on_sparse():
    X = data()
    small = {name: {"small": partial(L2, 0.1)} for name in ("W2", "W3")}
    sparse = {}
    for strength in (0.0, 3.0):
        net = net_of(
            DEEP, X, beta_divergence(2.0), on_H=(L2(0.1),), penalties={**small, "W1": {"l1": partial(L1, strength)}}
        )
        train(net, X, 500)
        W1 = net.decoder.levels[0].detach()
        sparse[strength] = float((1e-3 * W1.max() > W1).double().mean())
    assert sparse[3.0] > sparse[0.0] + 0.1


def test_a_batch_heeds_its_part_of_the_penalties_on_weights():
    X = data()
    net = net_of(TRI, X, beta_divergence(2.0), penalties=PENALTIES[TRI])
    whole = net.objective(Batch(X, torch.arange(30), 30)).value()
    parts = [net.objective(Batch(X.rows(rows), rows, 30)).value() for rows in (torch.arange(10), torch.arange(10, 30))]
    assert float(sum(parts)) == pytest.approx(float(whole), rel=1e-12)


def test_adam_does_not_rescale_against_penalties_on_weights():
    X = data()
    for penalties in (None, PENALTIES[TRI]):
        net = net_of(TRI, X, beta_divergence(2.0), partial(ProjectedAdam, lr=0.05, net_lr=1e-3), penalties=penalties)
        before = float(torch.linalg.vector_norm(net.decoder.W.detach(), dim=1).mean())
        train(net, X, 20)
        norms = torch.linalg.vector_norm(net.decoder.W.detach(), dim=1)
        assert torch.allclose(norms, torch.full_like(norms, before), rtol=1e-9) == (penalties is None)


# Co-clustering --------------------------------------------------------------------------------------------------------


def planted(seed: int) -> tuple[Matrix, tuple[Tensor, Tensor]]:
    data = CoClusters(100, 80, 4, 3, noise=0.2, validation=0, test=0, dtype="float64", seed=seed)
    data.setup()
    assert data.training_labels is not None
    return data.training, (data.training_labels, torch.from_numpy(data.dataset.feature_labels))


def agreement(H: Tensor, S: Tensor, V: Tensor, labels: tuple[Tensor, Tensor]) -> float:
    found = cluster_of(Factorization(H, S @ V)), cluster_of(Factorization(V.T, (H @ S).T))
    return min(adjusted_rand(truth, clusters) for truth, clusters in zip(labels, found, strict=True))


def co_clustered(X: Matrix, seed: int, assigned: bool) -> tuple[float, Tensor, Tensor, Tensor]:
    """The objective, and H, S, V, of a table with penalties or of codes by assignment."""
    start = STARTS(X, 4, torch.Generator().manual_seed(seed))
    small = {"small": partial(L2, 0.1)}
    penalties = {"V": {"apart": partial(Orthogonality, 30.0), **small}, "S": small}
    decoder = TriFactor(start, Projected(), X, STARTS, 3, seed, penalties)
    encoder = Unrolled(start, Assignment()) if assigned else Table(start, Projected())
    on_H = (L2(0.1),) if assigned else (Orthogonality(30.0), L2(0.1))
    net = NonNegativeAutoencoder(encoder, decoder, beta_divergence(2.0), Multiplicative, penalties_H=on_H)
    value = train(net, X, 150)[-1]
    return value, net.own_factors(X).H, decoder.S.value.detach(), decoder.V.value.detach()


@pytest.mark.parametrize("assigned", [False, True], ids=["penalties", "assignment"])
@pytest.mark.parametrize("seed", [0, 2, 4])
def test_planted_co_clusters_are_found_by_the_best_of_four_starts(seed, assigned):
    X, labels = planted(seed)
    best = min((co_clustered(X, start, assigned) for start in range(4)), key=lambda found: found[0])
    assert agreement(*best[1:], labels) >= 0.95


def classical(X: Matrix, seed: int, steps: int = 30) -> tuple[float, Tensor, Tensor, Tensor]:
    """Exact orthogonality: samples and features are assigned in turn, S is the best on them."""
    chance = torch.Generator().manual_seed
    W, V, A = STARTS(X, 4, chance(seed)).W, STARTS(X.T, 3, chance(seed)).H.T, X.dense()
    S, values, H = HALS()(as_matrix(W), None, V, 50), [], torch.empty(0)
    for _ in range(steps):
        H = Assignment()(X, None, S @ V)
        V = Assignment()(X.T, None, (H @ S).T).T
        S = ratio(H.T @ A @ V.T, torch.outer(H.square().sum(0), V.square().sum(1)))
        values.append(float(0.5 * (A - H @ S @ V).square().sum()))
    assert all(after <= before * (1 + 1e-12) for before, after in pairwise(values))
    return values[-1], H, S, V


@pytest.mark.parametrize("seed", [0, 2, 4])
def test_assignment_in_turn_is_monotone_and_no_worse_than_spectral_biclustering(seed):
    X, labels = planted(seed)
    best = min((classical(X, start) for start in range(4)), key=lambda found: found[0])
    assert agreement(*best[1:], labels) >= 0.95
    spectral = SpectralBiclustering((4, 3), random_state=0).fit(X.numpy())
    outside = adjusted_rand(labels[0], spectral.row_labels_), adjusted_rand(labels[1], spectral.column_labels_)
    assert agreement(*best[1:], labels) >= min(outside)


# State, refusals, edges -----------------------------------------------------------------------------------------------


@every_decoder
def test_saving_and_loading_in_the_middle_changes_no_bit(decoder):
    X = data()
    net, other = (net_of(decoder, X, beta_divergence(2.0), seed=seed) for seed in (0, 1))
    train(net, X, 5)
    file = io.BytesIO()
    torch.save(net.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    train(net, X, 5)
    train(other, X, 5)
    assert torch.equal(net.own_factors(X).H, other.own_factors(X).H)
    assert torch.equal(net.decoder.W, other.decoder.W)


@every_decoder
@pytest.mark.parametrize("optimizer", [Block, Online])
def test_steps_that_find_w_as_a_whole_refuse_it(decoder, optimizer):
    X = data()
    with pytest.raises(Refusal, match="makes it of other weights"):
        net_of(decoder, X, beta_divergence(2.0), partial(optimizer, update=HALS())).configure_optimizers()


@pytest.mark.untyped
@pytest.mark.parametrize("value", [0, -1, 2.5, True, "4"])
def test_sizes_that_are_no_positive_integers_are_refused(value):
    X = data()
    with pytest.raises(Refusal, match=r"decoder.n_feature_clusters must be an integer"):
        decoder_of(TRI, X, start_of(X), n_feature_clusters=value)
    with pytest.raises(Refusal, match=r"each of decoder.sizes must be an integer"):
        decoder_of(DEEP, X, start_of(X), sizes=[6, value])


def test_what_cannot_be_is_refused_in_one_sentence():
    X = data()
    with pytest.raises(Refusal, match=r"decoder.sizes is empty"):
        decoder_of(DEEP, X, start_of(X), sizes=[])
    with pytest.raises(Refusal, match=r"decoder.iterations must be an integer of at least 0, but is -1"):
        decoder_of(DEEP, X, start_of(X), iterations=-1)
    with pytest.raises(Refusal, match=r"decoder.penalties names 'U', but the weights of TriFactor are S, V"):
        decoder_of(TRI, X, start_of(X), penalties={"U": {}})
    signed = as_matrix(X.dense() - 1, signed=True)
    for decoder in (TRI, DEEP):
        with pytest.raises(Refusal, match=f"decoder={decoder} needs X ≥ 0"):
            decoder_of(decoder, signed, start_of(X))
    with pytest.raises(Refusal, match="all components of start are the same"):
        decoder_of(TRI, X, Factorization(torch.ones(30, 3).double(), torch.ones(3, 20).double()))


@every_decoder
@pytest.mark.parametrize(
    "X",
    [torch.eye(6, 5), torch.arange(1.0, 8)[None], torch.arange(1.0, 8)[:, None], torch.ones(6, 5)],
    ids=["identity", "one row", "one column", "constant"],
)
def test_small_and_empty_data(decoder, X):
    X = as_matrix(X.double())
    net = net_of(decoder, X, beta_divergence(2.0))
    train(net, X, 5)
    own = net.own_factors(X)
    assert own.H.isfinite().all()
    assert own.W.isfinite().all()


def test_data_of_zeros_have_levels_of_zeros_but_no_clusters():
    X = as_matrix(torch.zeros(6, 5).double())
    net = net_of(DEEP, X, beta_divergence(2.0))
    train(net, X, 5)
    assert not net.own_factors(X).reconstruction.any()
    with pytest.raises(Refusal, match="all components of start are the same"):
        net_of(TRI, X, beta_divergence(2.0))


@every_decoder
def test_an_empty_row_gets_no_codes_and_an_empty_column_no_weight(decoder):
    X = data().dense().clone()
    X[3], X[:, 5] = 0, 0
    X = as_matrix(X)
    net = net_of(decoder, X, beta_divergence(2.0))
    train(net, X, 300)
    own = net.own_factors(X)
    assert float(own.H[3].max()) < 1e-6 * float(own.H.max())
    assert float(own.W[:, 5].max()) < 1e-6 * float(own.W.max())

import io
from collections.abc import Callable
from functools import partial
from itertools import islice, pairwise

import pytest
import scipy.sparse
import torch
from torch import Tensor

from nmf_nets.as_matrix import as_matrix
from nmf_nets.constraints.base import Constraint
from nmf_nets.constraints.exponential import Exponential
from nmf_nets.constraints.projected import Projected
from nmf_nets.constraints.softplus import Softplus
from nmf_nets.constraints.square import Square
from nmf_nets.decoders.linear import Linear as LinearDecoder
from nmf_nets.divergences.base import Divergence
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.divergences.itakura_saito import ItakuraSaito
from nmf_nets.divergences.kullback_leibler import KullbackLeibler
from nmf_nets.effort import Effort
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
from nmf_nets.matrix import Matrix, SparseMatrix
from nmf_nets.metrics.kkt_residual import kkt_residual
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder
from nmf_nets.optimizers.adam import ProjectedAdam
from nmf_nets.optimizers.base import MakeOptimizer
from nmf_nets.optimizers.block import Block
from nmf_nets.optimizers.multiplicative import Multiplicative
from nmf_nets.optimizers.online import Online
from nmf_nets.refusal import Refusal
from nmf_nets.solver import Solver
from nmf_nets.updates import multiplicative as update_room
from nmf_nets.updates.base import Update
from nmf_nets.updates.hals import HALS
from nmf_nets.updates.scalar_newton import ScalarNewton
from nmf_nets.weight import weights_of

CONSTRAINTS = [Projected(), Square(), Softplus(), Exponential()]
every_constraint = pytest.mark.parametrize("constraint", CONSTRAINTS, ids=lambda part: type(part).__name__)
every_kind = pytest.mark.parametrize("kind", ["dense", "sparse"])
UPDATES: dict[float, Update] = {2.0: HALS(), 1.0: ScalarNewton()}
ENCODERS: dict[str, Callable[[Factorization, Divergence, Constraint], Encoder]] = {
    "table": lambda start, divergence, constraint: Table(start, constraint),
    "linear": lambda start, divergence, constraint: Linear(start, constraint),
    "projective": lambda start, divergence, constraint: Projective(start, constraint),
    "mlp": lambda start, divergence, constraint: MLP(start, divergence, (16,)),
    "lista": lambda start, divergence, constraint: LISTA(start, divergence, 2),
    "refined": lambda start, divergence, constraint: Refined(
        start, lambda start: LISTA(start, divergence, 2), UPDATES[divergence.beta], steps=2, distillation=0.1
    ),
    "unrolled": lambda start, divergence, constraint: Unrolled(start, UPDATES[divergence.beta], steps=20),
    "exact": lambda start, divergence, constraint: Exact(start, UPDATES[divergence.beta]),
}
OPTIMIZERS: dict[str, Callable[[Divergence], MakeOptimizer]] = {
    "adam": lambda divergence: partial(ProjectedAdam, lr=0.03, net_lr=3e-3),
    "multiplicative": lambda divergence: Multiplicative,
    "block": lambda divergence: partial(Block, update=UPDATES[divergence.beta]),
}
PAIRS = [(encoder, optimizer) for encoder in ENCODERS for optimizer in OPTIMIZERS]
for signed in ("mlp", "lista", "refined"):
    PAIRS.remove((signed, "multiplicative"))
PAIRS.remove(("projective", "block"))
every_pair = pytest.mark.parametrize(("encoder", "optimizer"), PAIRS)


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def data(zeros: float = 0.3) -> Tensor:
    X = (uniform(40, 5) @ uniform(5, 30, seed=1)) * (0.5 + uniform(40, 30, seed=2))
    return X * (uniform(40, 30, seed=3) >= zeros)


def matrix(X: Tensor, kind: str) -> Matrix:
    return as_matrix(X if kind == "dense" else scipy.sparse.csr_array(X.numpy()))


def start_of(X: Matrix, seed: int = 0) -> Factorization:
    """Strictly positive."""
    start = random(X, 5, torch.Generator().manual_seed(seed))
    return Factorization(start.H + 0.1 * start.H.mean(), start.W + 0.1 * start.W.mean())


def make(
    encoder: str,
    optimizer: str,
    divergence: Divergence,
    start: Factorization,
    constraint: Constraint | None = None,
) -> tuple[NonNegativeAutoencoder, torch.optim.Optimizer]:
    constraint = constraint or Projected()
    net = NonNegativeAutoencoder(
        ENCODERS[encoder](start, divergence, constraint),
        LinearDecoder(start, constraint),
        divergence,
        OPTIMIZERS[optimizer](divergence),
    )
    return net, net.configure_optimizers()


def train(net: NonNegativeAutoencoder, optimizer: torch.optim.Optimizer, loader: ResidentLoader, epochs: range) -> None:
    for epoch in epochs:
        loader.sampler.set_epoch(epoch)
        for batch in loader:
            optimizer.step(partial(net.objective, batch))


def factors_of(net: NonNegativeAutoencoder, X: Matrix) -> Factorization:
    return net(X, torch.arange(X.shape[0])).detach()


def gap(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).abs().max() / expected.abs().max())


def factors_gap(actual: Factorization, expected: Factorization) -> float:
    return max(gap(actual.H, expected.H), gap(actual.W, expected.W))


# Nets that are solvers ------------------------------------------------------------------------------------------------


@every_kind
@pytest.mark.parametrize("constraint", CONSTRAINTS, ids=lambda part: type(part).__name__)
@pytest.mark.parametrize(
    "divergence", [Frobenius(), KullbackLeibler(), ItakuraSaito()], ids=lambda part: type(part).__name__
)
def test_a_table_with_multiplicative_steps_is_the_multiplicative_solver(divergence, constraint, kind):
    X = matrix(data(0.3 if divergence.beta > 0 else 0.0), kind)
    start = start_of(X)
    net, optimizer = make("table", "multiplicative", divergence, start, constraint)
    tolerance = 1e-8 if isinstance(constraint, Softplus | Exponential) else 1e-10
    for factors in islice(Solver(update_room.Multiplicative(divergence)).iterates(X, start), 50):
        train(net, optimizer, ResidentLoader(X), range(1))
        assert factors_gap(factors_of(net, X), factors) < tolerance


@every_kind
@pytest.mark.parametrize("repeats", [1, 3])
@pytest.mark.parametrize("divergence", [Frobenius(), KullbackLeibler()], ids=lambda part: type(part).__name__)
def test_a_table_with_block_steps_is_the_solver_of_that_update(divergence, repeats, kind):
    X = matrix(data(), kind)
    start, update = start_of(X), UPDATES[divergence.beta]
    encoder, decoder = Table(start, Projected()), LinearDecoder(start, Projected())
    net = NonNegativeAutoencoder(encoder, decoder, divergence, partial(Block, update=update, repeats=repeats))
    optimizer = net.configure_optimizers()
    for factors in islice(Solver(update, Effort(repeats)).iterates(X, start), 50):
        train(net, optimizer, ResidentLoader(X), range(1))
        assert factors_gap(factors_of(net, X), factors) < 1e-10


@every_kind
@pytest.mark.parametrize("divergence", [Frobenius(), KullbackLeibler()], ids=lambda part: type(part).__name__)
def test_an_unrolled_encoder_with_block_steps_is_the_extrapolated_solver(divergence, kind):
    X = matrix(data(), kind)
    start, update = start_of(X), UPDATES[divergence.beta]
    net, optimizer = make("unrolled", "block", divergence, start)
    solver, best, matched = Solver(update, update.effort, update.extrapolation), None, 0
    for factors in islice(solver.iterates(X, start), 40):
        train(net, optimizer, ResidentLoader(X), range(1))
        if factors is not best and (best is None or not torch.equal(factors.W, best.W)):
            matched += factors_gap(Factorization(factors.H, optimizer.known["components"]), factors) < 1e-10
            best = factors
    assert matched > 20


@every_kind
def test_a_linear_encoder_with_a_multiplicative_step_is_a_step_of_convex_nmf(kind):
    X = data()
    start = start_of(as_matrix(X))
    net, optimizer = make("linear", "multiplicative", Frobenius(), start)
    K, W = X.T @ X, start.W
    A = net.encoder.A.value.detach().clone()
    A = A * (K @ W.T) / (K @ A @ W @ W.T)
    H = X @ A
    W = W * (H.T @ X) / (H.T @ H @ W)
    train(net, optimizer, ResidentLoader(matrix(X, kind)), range(1))
    assert gap(net.encoder.A.value.detach(), A) < 1e-12
    assert gap(net.decoder.W.detach(), W) < 1e-12


@every_kind
def test_a_projective_encoder_with_multiplicative_steps_is_projective_nmf(kind, monkeypatch):
    X = data()
    net, optimizer = make("projective", "multiplicative", Frobenius(), start_of(as_matrix(X)))
    K, U = X.T @ X, net.decoder.W.detach().T * net.encoder.scale.value.detach().sqrt()
    monkeypatch.setattr(SparseMatrix, "dense", None)
    loader = ResidentLoader(matrix(X, kind))
    for _ in range(20):
        U = U * ((K @ U * U).sum() / (U.T @ U * (U.T @ K @ U)).sum()).sqrt()
        U = U * 2 * (K @ U) / (U @ U.T @ K @ U + K @ U @ U.T @ U)
        train(net, optimizer, loader, range(1))
        assert gap(net.decoder.W.detach() * net.encoder.scale.value.detach().sqrt(), U.T) < 1e-10


def test_projective_steps_that_would_raise_the_divergence_are_shortened():
    """On sparse blocks the step with exponent 1 ends in a cycle of two."""
    generator = torch.Generator().manual_seed(9)
    X = torch.where(uniform(30, 30, seed=9) < 0.1, uniform(30, 30, seed=8).log().neg() ** 4, 0)
    X = as_matrix(X)
    start = random(X, 8, generator)
    net, optimizer = make("projective", "multiplicative", Frobenius(), start)
    c, W = net.encoder.scale.value.detach(), start.W
    K, U = X.values.T @ X.values, W.T * c.sqrt()
    plain = []
    for _ in range(100):
        U = U * ((K @ U * U).sum() / (U.T @ U * (U.T @ K @ U)).sum()).sqrt()
        plain.append(float(Frobenius().total(X, Factorization(X.values @ U, U.T))))
        U = U * 2 * (K @ U) / (U @ U.T @ K @ U + K @ U @ U.T @ U)
    assert any(after > 1.001 * before for before, after in pairwise(plain))
    values = []
    for _ in range(100):
        train(net, optimizer, ResidentLoader(X), range(1))
        values.append(float(Frobenius().total(X, factors_of(net, X))))
    assert all(after <= before * (1 + 1e-12) for before, after in pairwise(values))
    assert values[-1] < plain[-1]


@every_constraint
@pytest.mark.parametrize("encoder", ["linear", "projective"])
@pytest.mark.parametrize("divergence", [Frobenius(), KullbackLeibler()], ids=lambda part: type(part).__name__)
def test_multiplicative_steps_of_a_linear_encoder_never_raise_the_divergence(divergence, encoder, constraint):
    X = as_matrix(data())
    net, optimizer = make(encoder, "multiplicative", divergence, start_of(X), constraint)
    values = []
    for _ in range(50):
        values.append(float(divergence.total(X, factors_of(net, X))))
        train(net, optimizer, ResidentLoader(X), range(1))
    assert all(after <= before * (1 + 1e-12) for before, after in pairwise(values))
    assert values[-1] < 0.9 * values[0]


# Steps of gradient descent --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("divergence", [Frobenius(), KullbackLeibler()], ids=lambda part: type(part).__name__)
@pytest.mark.parametrize("encoder", ["table", "linear", "mlp", "unrolled"])
@pytest.mark.parametrize("optimizer", ["adam", "block"])
@every_constraint
def test_training_keeps_weights_non_negative_and_lowers_the_divergence(constraint, optimizer, encoder, divergence):
    X = as_matrix(data())
    net, step = make(encoder, optimizer, divergence, start_of(X), constraint)
    before = float(divergence.total(X, factors_of(net, X)))
    for _ in range(200):
        train(net, step, ResidentLoader(X), range(1))
        for weight in (*weights_of(net.encoder), *weights_of(net.decoder)):
            assert (weight.value >= 0).all()
    assert float(divergence.total(X, factors_of(net, X))) < 0.95 * before


def test_the_first_step_of_adam_is_its_rate_for_every_weight():
    X = as_matrix(data())
    net, step = make("table", "adam", Frobenius(), start_of(X))
    thetas = [net.encoder.codes.theta, net.decoder.weight.theta]
    before = [theta.detach().clone() for theta in thetas]
    train(net, step, ResidentLoader(X), range(1))
    H, W = ((old - 0.03 * theta.grad.sign()).clamp(min=0) for theta, old in zip(thetas, before, strict=True))
    sizes = W.norm(dim=1) / before[1].norm(dim=1).mean()
    assert gap(thetas[0].detach(), H * sizes) < 1e-4
    assert gap(thetas[1].detach(), W / sizes[:, None]) < 1e-4


@every_constraint
@pytest.mark.parametrize("encoder", [name for name in ENCODERS if name != "projective"])
def test_adam_keeps_the_norm_of_components_and_what_that_changes_is_the_scale_of_codes(encoder, constraint):
    X = as_matrix(data())
    start = start_of(X)
    net, step = make(encoder, "adam", Frobenius(), start, constraint)
    train(net, step, ResidentLoader(X), range(20))
    norms = net.decoder.W.detach().norm(dim=1)
    assert gap(norms, start.W.norm(dim=1).mean().expand(5)) < 1e-10
    sizes = 0.5 + uniform(5)
    before = net.train()(X, torch.arange(40)).detach()
    net.decoder.assign_(before.W / sizes[:, None])
    net.encoder.rescale_(sizes)
    tolerance = 1e-8 if encoder in ("table", "linear") else 0.05  # others go on, or damp by the mean of components
    assert gap(net.train()(X, torch.arange(40)).detach().reconstruction, before.reconstruction) < tolerance


def test_adam_reaches_zeros_by_projection_and_leaves_them_again():
    X = as_matrix(data())
    net, optimizer = make("table", "adam", Frobenius(), start_of(X))
    zeros = []
    for _ in range(300):
        train(net, optimizer, ResidentLoader(X), range(1))
        zeros.append(net.decoder.W.detach() == 0)
    assert zeros[-1].any()
    assert any((before & ~after).any() for before, after in pairwise(zeros))


@pytest.mark.parametrize("c", [1e-8, 1e8])
@pytest.mark.parametrize("divergence", [Frobenius(), KullbackLeibler()], ids=lambda part: type(part).__name__)
@every_pair
def test_training_on_data_times_c_gives_factors_times_the_root_of_c(encoder, optimizer, divergence, c):
    epochs = 20 if (encoder, optimizer) == ("unrolled", "block") else 50  # it decides by D, later by its last digit
    trained = []
    for scale in (1.0, c):
        X = as_matrix((data() * scale).float())
        net, step = make(encoder, optimizer, divergence, start_of(X))
        train(net, step, ResidentLoader(X), range(epochs))
        factors = factors_of(net, X)
        trained.append(Factorization(factors.H / scale**0.5, factors.W / scale**0.5))
    assert factors_gap(*trained) < 1e-3


# Batches --------------------------------------------------------------------------------------------------------------


@every_constraint
@pytest.mark.parametrize("optimizer", ["multiplicative", "block"])
def test_a_step_on_some_rows_leaves_the_codes_of_the_others_as_they_are(optimizer, constraint):
    X = as_matrix(data())
    net, step = make("table", optimizer, Frobenius(), start_of(X), constraint)
    before = net.encoder.codes.value.detach().clone()
    rows = torch.tensor([7, 3, 20])
    others = torch.ones(40, dtype=torch.bool).index_fill(0, rows, False)
    step.step(lambda: net.objective(Batch(X.rows(rows), rows)))
    after = net.encoder.codes.value.detach()
    if optimizer == "block" or isinstance(constraint, Projected):
        assert torch.equal(after[others], before[others])
    else:  # through θ and back, to rounding
        assert ((after[others] - before[others]).abs() <= 1e-14 * before[others]).all()
    assert ((after[rows] - before[rows]).abs() > 1e-6 * before[rows]).any(1).all()


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
def test_a_whole_batch_in_another_order_takes_the_same_step(optimizer):
    X = as_matrix(data())
    order = torch.randperm(40, generator=torch.Generator().manual_seed(4))
    results = []
    for batch in (Batch(X, torch.arange(40)), Batch(X.rows(order), order)):
        net, step = make("table", optimizer, Frobenius(), start_of(X))
        step.step(partial(net.objective, batch))
        results.append(factors_of(net, X))
    assert factors_gap(*results) < 1e-9


# State ----------------------------------------------------------------------------------------------------------------


@every_pair
def test_saving_and_loading_in_the_middle_changes_no_bit(encoder, optimizer):
    X = as_matrix(data())
    loader = ResidentLoader(X, batch_size=20)
    net, step = make(encoder, optimizer, Frobenius(), start_of(X))
    train(net, step, loader, range(5))
    file = io.BytesIO()
    torch.save([net.state_dict(), step.state_dict()], file)
    file.seek(0)
    of_net, of_optimizer = torch.load(file, weights_only=True)
    resumed, resumed_step = make(encoder, optimizer, Frobenius(), start_of(X, seed=1))
    resumed.load_state_dict(of_net)
    resumed_step.load_state_dict(of_optimizer)
    train(net, step, loader, range(5, 10))
    assert any(not torch.equal(M, of_net[name]) for name, M in net.state_dict().items())
    train(resumed, resumed_step, loader, range(5, 10))
    for name, M in net.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], M)
    assert torch.equal(factors_of(resumed, X).H, factors_of(net, X).H)


@every_pair
def test_a_step_returns_the_objective_of_its_batch(encoder, optimizer):
    X = as_matrix(data())
    net, step = make(encoder, optimizer, KullbackLeibler(), start_of(X))
    batch = Batch(X, torch.arange(40))
    objective = step.step(partial(net.objective, batch))
    assert objective.X is X
    assert objective.rows is batch.rows
    assert float(objective.value()) > 0


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
@pytest.mark.parametrize("encoder", ["unrolled", "exact"])
def test_an_encoder_without_parameters_leaves_no_empty_group(encoder, optimizer):
    X = as_matrix(data())
    net, step = make(encoder, optimizer, Frobenius(), start_of(X))
    assert [len(group["params"]) for group in step.param_groups] == [1]
    before = net.decoder.W.detach().clone()
    train(net, step, ResidentLoader(X), range(1))
    assert not torch.equal(net.decoder.W, before)


# Refusals -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [Block, Online])
def test_a_step_that_holds_codes_refuses_codes_that_are_made_of_the_components(step):
    start = start_of(as_matrix(data()))
    with pytest.raises(Refusal, match="those of Projective are made of W itself"):
        step(Projective(start, Projected()), LinearDecoder(start, Projected()), HALS())


def test_multiplicative_refuses_weights_of_any_sign_by_name():
    start = start_of(as_matrix(data()))
    with pytest.raises(Refusal, match=r"'layers\.0\.weight' of MLP"):
        Multiplicative(MLP(start, Frobenius()), LinearDecoder(start, Projected()))


@pytest.mark.parametrize("encoder", ["table", "linear", "mlp"])
@pytest.mark.parametrize(
    ("update", "divergence"),
    [
        (HALS(), KullbackLeibler()),
        (ScalarNewton(), Frobenius()),
        (update_room.Multiplicative(ItakuraSaito()), KullbackLeibler()),
    ],
    ids=lambda part: type(part).__name__,
)
def test_block_refuses_an_update_that_does_not_lower_the_divergence_before_it_changes_a_weight(
    update, divergence, encoder
):
    X = as_matrix(data())
    start = start_of(X)
    parts = ENCODERS[encoder](start, divergence, Projected()), LinearDecoder(start, Projected())
    net = NonNegativeAutoencoder(*parts, divergence, partial(Block, update=update))
    before = {name: M.clone() for name, M in net.state_dict().items()}
    step = net.configure_optimizers()
    with pytest.raises(Refusal, match=f"{type(update).__name__} does not minimise divergence"):
        train(net, step, ResidentLoader(X), range(1))
    assert all(torch.equal(M, before[name]) for name, M in net.state_dict().items())


# Running sums ---------------------------------------------------------------------------------------------------------


def online_net(X: Matrix, update: Update = UPDATES[2.0], **given) -> tuple[NonNegativeAutoencoder, Online]:
    start, divergence = start_of(X), Frobenius() if isinstance(update, HALS) else KullbackLeibler()
    encoder = Unrolled(start, update, steps=50, warm=0)
    decoder = LinearDecoder(start, Projected())
    net = NonNegativeAutoencoder(encoder, decoder, divergence, partial(Online, update=update, **given))
    step = net.configure_optimizers()
    assert isinstance(step, Online)
    return net, step


def known_to(net: NonNegativeAutoencoder, step: Online) -> dict[str, Tensor]:
    return step.state[next(net.decoder.parameters())]


@every_kind
def test_online_on_full_batches_is_block(kind):
    X = matrix(data(), kind)
    net, step = online_net(X, repeats=2)
    other = NonNegativeAutoencoder(
        Unrolled(start_of(X), HALS(), steps=50, warm=0),
        LinearDecoder(start_of(X), Projected()),
        Frobenius(),
        partial(Block, update=HALS(), repeats=2),
    )
    train(net, step, ResidentLoader(X), range(20))
    train(other, other.configure_optimizers(), ResidentLoader(X), range(20))
    assert gap(net.decoder.W.detach(), other.decoder.W.detach()) < 1e-9


@every_kind
@pytest.mark.parametrize(
    ("passes", "expected"), [(1, [0.95 * 0.975, 0.975, 1]), (2, [0.95 * 0.975, 0.975, 1]), (4, [1])]
)
def test_online_sums_are_those_of_the_last_codes_of_all_rows(passes, expected, kind):
    """Batches of 16, 16 and 8 rows, where 320 weigh: 64 for each of 5 components."""
    X = matrix(data(), kind)
    net, step = online_net(X)
    train(net, step, ResidentLoader(X, 16), range(passes))
    known = known_to(net, step)
    H, weights = known["codes"][:40], known["weights"][:40]
    assert gap(known["products"], X.T @ (weights[:, None] * H)) < 1e-12
    assert gap(known["gram"], H.T @ (weights[:, None] * H)) < 1e-12
    assert not known["codes"][40:].any()
    ratios = weights.unique() / known["weight"]
    assert ratios.tolist() == pytest.approx(expected, rel=1e-12)


@every_kind
@pytest.mark.parametrize("update", UPDATES.values(), ids=lambda part: type(part).__name__)
def test_online_batches_end_at_a_stationary_point_of_all_rows(update, kind):
    X = matrix(data(), kind)
    net, step = online_net(X, update)
    train(net, step, ResidentLoader(X, 7), range(400))
    assert kkt_residual(X, net.own_factors(X), net.divergence) < 1e-3


@pytest.mark.parametrize("size", [40, 16])
@every_kind
def test_online_models_of_a_whole_pass_have_the_slope_and_the_curvature_of_the_divergence(kind, size):
    X = matrix(data(), kind)
    net, step = online_net(X, UPDATES[1.0], repeats=0)  # W stays, so that all rows are seen at the same W
    train(net, step, ResidentLoader(X, size), range(4))
    known, W, H = known_to(net, step), net.decoder.W.detach(), net.own_factors(X).H
    Q, p, entries = known["sums"]
    X_hat, dense = H @ W, X.dense()
    assert gap(Q / known["weight"], torch.einsum("ij,ik,il->jkl", dense / X_hat**2, H, H)) < 1e-9
    slope = (torch.einsum("jkl,lj->jk", Q, W) - p + known["s"]) / known["weight"]
    assert gap(slope, (H.T @ (1 - dense / X_hat)).T) < 1e-9
    assert torch.equal(entries, (dense > 0).sum(0).double())
    assert all(float(part.abs().max()) < 1e-9 for part in known["before"])


def test_features_that_no_row_has_are_zero_after_a_pass_and_never_seen_before_it_are_left():
    dense = data()
    dense[:, 3] = 0
    X = matrix(dense, "sparse")
    net, step = online_net(X, UPDATES[1.0])
    start = net.decoder.W.detach().clone()
    train(net, step, ResidentLoader(X, 16), range(1))
    assert torch.equal(net.decoder.W.detach()[:, 3], start[:, 3])
    train(net, step, ResidentLoader(X, 16), range(1, 3))
    assert not net.decoder.W.detach()[:, 3].any()


def test_online_has_to_know_where_a_pass_ends():
    X = matrix(data(), "sparse")
    net, step = online_net(X, UPDATES[1.0])
    with pytest.raises(Refusal, match="does not say how many there are"):
        step.step(lambda: net.objective(Batch(X, torch.arange(40))))


def test_a_stream_is_remembered_with_what_memory_leaves():
    X = matrix(data(), "dense")
    net, step = online_net(X, memory=0.5)
    parts, sums = [], torch.zeros(5, 5, dtype=torch.float64)
    for start in (0, 10, 20):
        objective = step.step(lambda start=start: net.objective(Batch(X.span(start, start + 10), None)))  # pyright: ignore
        parts.append(objective.factors.H)
        sums = 0.5 * sums + parts[-1].T @ parts[-1]
    known = known_to(net, step)
    assert gap(known["gram"] / known["weight"], sums) < 1e-12


def redundant() -> Tensor:
    """Rows of which a part says nearly all."""
    return (uniform(600, 5) ** 2 @ uniform(5, 30, seed=1)) * (0.8 + 0.4 * uniform(600, 30, seed=2))


@every_kind
@pytest.mark.parametrize("update", UPDATES.values(), ids=lambda part: type(part).__name__)
def test_forgetful_passes_are_sooner_near_where_full_batches_end(update, kind):
    X = matrix(redundant(), kind)
    start, values = start_of(X), {}
    for memory in (1.0, 0.9):
        net, step = online_net(X, update, memory=memory)
        train(net, step, ResidentLoader(X, 30), range(1))
        values[memory] = float(net.divergence.total(X, net.own_factors(X)))
    train(net, step, ResidentLoader(X, 30), range(1, 40))
    ours = float(net.divergence.total(X, net.own_factors(X)))
    full = next(islice(Solver(update).iterates(X, start), 400, None))
    assert values[0.9] < values[1.0]
    assert ours < 1.01 * float(net.divergence.total(X, full))


@every_kind
@pytest.mark.parametrize("update", UPDATES.values(), ids=lambda part: type(part).__name__)
def test_a_stream_of_rows_that_never_come_again_finds_components_of_them_all(update, kind):
    X = matrix(redundant(), kind)
    net, step = online_net(X, update)
    for begin in range(0, 600, 10):
        batch = Batch(X.span(begin, begin + 10), None)
        step.step(partial(net.objective, batch))
    full = next(islice(Solver(update).iterates(X, start_of(X)), 400, None))
    reached, best = (float(net.divergence.total(X, each)) for each in (net.own_factors(X), full))
    assert reached < 1.25 * best


@pytest.mark.parametrize("beta", [2.0, 1.0])
def test_a_saved_online_run_goes_on_as_if_it_had_not_stopped(beta):
    X = matrix(data(), "sparse")
    net, step = online_net(X, UPDATES[beta])
    train(net, step, ResidentLoader(X, 16), range(2))
    other, again = online_net(X, UPDATES[beta])
    saved = io.BytesIO()
    torch.save({"net": net.state_dict(), "step": step.state_dict()}, saved)
    saved.seek(0)
    state = torch.load(saved, weights_only=True)
    other.load_state_dict(state["net"])
    again.load_state_dict(state["step"])
    for each, optimizer in ((net, step), (other, again)):
        train(each, optimizer, ResidentLoader(X, 16), range(2, 5))
    assert torch.equal(net.decoder.W, other.decoder.W)


def test_block_says_once_that_it_sees_a_part_of_the_rows(caplog):
    X = matrix(data(), "dense")
    net, step = make("unrolled", "block", Frobenius(), start_of(X))
    train(net, step, ResidentLoader(X), range(2))
    assert not caplog.records
    train(net, step, ResidentLoader(X, 16), range(2))
    assert [record.message for record in caplog.records if "online" in record.message] == [caplog.records[0].message]


@pytest.mark.parametrize("memory", [0.0, -1.0, 1.1, float("nan")])
def test_a_memory_that_is_none_is_refused(memory):
    with pytest.raises(Refusal, match="memory is"):
        online_net(matrix(data(), "dense"), memory=memory)


def test_online_refuses_an_update_without_sums_and_data_with_weights_that_its_sums_do_not_know():
    X = matrix(data(), "dense")
    start = start_of(X)

    class Other(Update):
        lowers = half_step = None  # pyright: ignore

    with pytest.raises(Refusal, match="no sums over rows from which Other"):
        Online(Table(start, Projected()), LinearDecoder(start, Projected()), Other())
    net, step = online_net(X)
    weighted = as_matrix(data(), weights=torch.ones(40, 30, dtype=torch.float64))
    with pytest.raises(Refusal, match="weights"):
        step.step(lambda: net.objective(Batch(weighted, torch.arange(40), 40)))

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import islice, pairwise

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse
import torch
from torch import Tensor

from nmf_nets.as_matrix import as_matrix
from nmf_nets.cold_start import lifted_codes
from nmf_nets.constraints.projected import Projected
from nmf_nets.criterion import Criterion
from nmf_nets.decoders.linear import Linear as LinearDecoder
from nmf_nets.divergences.base import Divergence
from nmf_nets.divergences.beta import Beta
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.divergences.itakura_saito import ItakuraSaito
from nmf_nets.divergences.kullback_leibler import KullbackLeibler
from nmf_nets.effort import Effort, Ramp
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
from nmf_nets.loader import Batch
from nmf_nets.matrix import DenseMatrix, Matrix
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder
from nmf_nets.objective import Objective
from nmf_nets.optimizers.block import Block
from nmf_nets.refusal import Refusal
from nmf_nets.solver import Solver
from nmf_nets.updates.active_set import ActiveSet
from nmf_nets.updates.base import Update
from nmf_nets.updates.hals import HALS
from nmf_nets.updates.multiplicative import Multiplicative
from nmf_nets.updates.optimal_gradient import OptimalGradient
from nmf_nets.updates.pivoting import Pivoting
from nmf_nets.updates.projected_gradient import ProjectedGradient
from nmf_nets.updates.scalar_newton import ScalarNewton


def trained_mlp(start: Factorization, divergence: Divergence, hidden: tuple[int, ...] = (16, 8)) -> MLP:
    """With a last layer that does something."""
    mlp = MLP(start, divergence, hidden)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in (mlp.last.weight, mlp.last.bias):
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return mlp


def trained_lista(start: Factorization, divergence: Divergence, layers: int = 3) -> LISTA:
    """Away from where it starts."""
    lista = LISTA(start, divergence, layers)
    generator = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for parameter in lista.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return lista


MAKERS: dict[str, Callable[[Factorization, Divergence, Update], Encoder]] = {
    "table": lambda start, divergence, update: Table(start, Projected()),
    "linear": lambda start, divergence, update: Linear(start, Projected()),
    "projective": lambda start, divergence, update: Projective(start, Projected()),
    "mlp": lambda start, divergence, update: trained_mlp(start, divergence),
    "lista": lambda start, divergence, update: trained_lista(start, divergence),
    "refined-lista": lambda start, divergence, update: Refined(
        start, lambda start: trained_lista(start, divergence), update, steps=2
    ),
    "unrolled-0": lambda start, divergence, update: Unrolled(start, update, steps=20, warm=0),
    "unrolled-1": lambda start, divergence, update: Unrolled(start, update, steps=20, warm=1),
    "exact": lambda start, divergence, update: Exact(start, update),
}


@dataclass(frozen=True)
class Member:
    name: str
    divergence: Divergence
    update: Update

    def __str__(self) -> str:
        return f"{self.name}-{type(self.divergence).__name__}"

    def make(self, start: Factorization) -> Encoder:
        return MAKERS[self.name](start, self.divergence, self.update)


MEMBERS = [
    Member(name, divergence, update)
    for divergence, update in ((Frobenius(), HALS()), (KullbackLeibler(), ScalarNewton()))
    for name in MAKERS
]
every_member = pytest.mark.parametrize("member", MEMBERS, ids=str)
every_member_without_memory = pytest.mark.parametrize(
    "member", [member for member in MEMBERS if member.name not in ("table", "unrolled-1")], ids=str
)
every_update = pytest.mark.parametrize(
    ("update", "divergence"), [(HALS(), Frobenius()), (ScalarNewton(), KullbackLeibler())], ids=["HALS", "ScalarNewton"]
)
ROWS = torch.arange(40)


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def data(n: int = 40, m: int = 30, zeros: float = 0.5) -> Tensor:
    X = (uniform(n, 5) @ uniform(5, m, seed=1)) * (0.5 + uniform(n, m, seed=2))
    return X * (uniform(n, m, seed=3) >= zeros)


def sparse(X: Tensor) -> Matrix:
    return as_matrix(scipy.sparse.csr_array(X.numpy()))


def weighted(X: Tensor) -> Matrix:
    """A third was not observed, and what was counts differently."""
    v = torch.rand(X.shape, generator=torch.Generator().manual_seed(8), dtype=X.dtype)
    return as_matrix(X, weights=torch.where(v > 1 / 3, v, 0))


def stored(X: Tensor) -> Matrix:
    """The same, and only what was observed is stored."""
    return as_matrix(X, weights=scipy.sparse.csr_array(weighted(X).given_weights.numpy()))


def start_of(X: Matrix, n_components: int = 5) -> Factorization:
    return random(X, n_components, torch.Generator().manual_seed(0))


def gap(actual: Tensor, expected: Tensor) -> float:
    return float(((actual - expected).abs().max() / expected.abs().max()).detach())


# Laws of every encoder ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("kind", [as_matrix, sparse], ids=["dense", "sparse"])
@every_member
def test_codes_are_non_negative_finite_and_one_row_a_sample(member, kind, dtype):
    X = kind(data().to(dtype))
    start = start_of(X)
    rows = torch.tensor([3, 1, 39, 7])
    H = member.make(start)(X.rows(rows), start.W, rows)
    assert H.shape == (4, 5)
    assert H.dtype == dtype
    assert H.isfinite().all()
    assert (H >= 0).all()
    assert (H.sum(1) > 0).all()


@every_member
def test_sparse_data_give_the_codes_of_dense_data(member):
    start = start_of(as_matrix(data()))
    dense, compressed = (member.make(start)(kind(data()), start.W, ROWS) for kind in (as_matrix, sparse))
    assert gap(compressed, dense) < 1e-12


@every_member
def test_single_precision_follows_double_precision(member):
    X = data()
    start = start_of(as_matrix(X))
    double = member.make(start)(as_matrix(X), start.W, ROWS)
    single = member.make(start.to(torch.float32))(as_matrix(X.float()), start.W.float(), ROWS)
    assert gap(single.double(), double) < 1e-4


@every_member
def test_rows_are_coded_one_by_one(member):
    X = as_matrix(data())
    start = start_of(X)
    encoder = member.make(start)
    order = torch.tensor([5, 2, 30, 11])
    whole = encoder(X, start.W, ROWS)
    assert gap(member.make(start)(X.rows(order), start.W, order), whole[order]) < 1e-12


@every_member
def test_a_whole_batch_in_another_order_gives_codes_in_that_order(member):
    X = as_matrix(data())
    start = start_of(X)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    whole = member.make(start)(X, start.W, ROWS)
    assert gap(member.make(start)(X.rows(order), start.W, order), whole[order]) < 1e-12


@pytest.mark.parametrize("c", [1e-8, 1e8])
@every_member_without_memory
def test_data_times_c_on_the_same_components_give_codes_times_c(member, c):
    X = data()
    start = start_of(as_matrix(X))
    encoder = member.make(start)
    assert gap(encoder(as_matrix(X * c), start.W) / c, encoder(as_matrix(X), start.W)) < 1e-10


@every_member_without_memory
def test_each_row_times_a_number_of_its_own_gives_its_code_times_that_number(member):
    X = data()
    start = start_of(as_matrix(X))
    encoder = member.make(start)
    c = 10 ** (6 * uniform(40, 1, seed=4) - 3)
    assert gap(encoder(as_matrix(X * c), start.W) / c, encoder(as_matrix(X), start.W)) < 1e-10


@pytest.mark.parametrize("c", [1e-8, 1e8])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-12)], ids=str)
@every_member
def test_data_times_c_and_a_start_times_its_root_give_codes_times_the_root(member, dtype, tolerance, c):
    X = data().to(dtype)
    codes = []
    for M in (as_matrix(X), as_matrix(X * c)):
        start = start_of(M)
        codes.append(member.make(start)(M, start.W, ROWS))
    assert gap(codes[1] / c**0.5, codes[0]) < tolerance


@pytest.mark.parametrize("kind", [as_matrix, sparse], ids=["dense", "sparse"])
@pytest.mark.parametrize("member", [member for member in MEMBERS if member.name != "table"], ids=str)
def test_a_zero_row_gets_a_zero_code(member, kind):
    X = data()
    X[7] = 0
    start = start_of(as_matrix(X))
    for rows in (ROWS, None):
        H = member.make(start)(kind(X), start.W, rows)
        assert H.isfinite().all()
        assert (H[7] <= (1e-15 if rows is not None and isinstance(member.update, HALS) else 0)).all()  # its rounding
        assert (H[8] > 0).any()


@pytest.mark.parametrize("name", ["unrolled-0", "unrolled-1", "exact"])
@every_update
def test_codes_of_a_solver_are_detached(name, update, divergence):
    X = as_matrix(data())
    start = start_of(X)
    W = start.W.clone().requires_grad_()
    assert not Member(name, divergence, update).make(start)(X, W, ROWS).requires_grad
    assert Member("table", divergence, update).make(start)(X, W, ROWS).requires_grad


# Table ----------------------------------------------------------------------------------------------------------------


def test_table_has_no_codes_for_unseen_rows():
    X = as_matrix(data())
    start = start_of(X)
    with pytest.raises(Refusal, match="training rows only"):
        Table(start, Projected())(X, start.W)
    assert gap(Table(start, Projected())(X, start.W, ROWS), start.H) < 1e-15


# Linear ---------------------------------------------------------------------------------------------------------------


def test_linear_encoder_is_convex_nmf_of_the_transpose():
    X = as_matrix(data())
    start = start_of(X)
    encoder, decoder = Linear(start, Projected()), LinearDecoder(start, Projected())
    A, W, D = encoder.A.value.detach(), decoder.W.detach(), Frobenius().total
    ours = D(X, Factorization(encoder(X, decoder.W).detach(), W))
    convex = D(X.T, Factorization(W.T @ A.T, X.T.dense()))
    assert float(ours) == pytest.approx(float(convex), rel=1e-12)


@pytest.mark.parametrize("encoder", [Linear, Projective])
def test_linear_codes_start_at_the_size_of_the_data(encoder):
    X = as_matrix(data())
    start = start_of(X)
    reconstruction = encoder(start, Projected())(X, start.W).detach() @ start.W
    assert 0.5 < float(reconstruction.mean() / X.mean) < 2


# Projective -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [as_matrix, sparse], ids=["dense", "sparse"])
@pytest.mark.parametrize("divergence", [Frobenius(), KullbackLeibler()], ids=lambda d: type(d).__name__)
def test_projective_encoder_has_the_loss_and_the_gradient_of_projective_nmf(divergence, kind):
    X = data()
    start = start_of(as_matrix(X))
    encoder, decoder = Projective(start, Projected()), LinearDecoder(start, Projected())
    net = NonNegativeAutoencoder(encoder, decoder, divergence, Multiplicative)
    c = encoder.scale.value.detach()
    W = start.W.clone().requires_grad_()
    value = divergence(X, c * X @ W.T @ W).sum()
    value.backward()
    objective = net.objective(Batch(kind(X), ROWS))
    assert float(objective.value()) == pytest.approx(float(value.detach()), rel=1e-12)
    P, N = objective.split_gradient([decoder.weight.theta])[0]
    assert (P >= 0).all()
    assert (N >= 0).all()
    assert gap((P - N) / decoder.weight.unit, W.grad) < 1e-10
    objective.backward()
    assert gap(decoder.weight.theta.grad * divergence.unit(kind(X)) / decoder.weight.unit, W.grad) < 1e-10


@every_update
def test_half_steps_after_projective_codes_hold_the_components(update, divergence):
    X = as_matrix(data())
    start = start_of(X)
    refined = Refined(start, lambda start: Projective(start, Projected()), update)
    assert not refined.tied
    W = start.W.clone().requires_grad_()
    refined.learn(X, W)[1].sum().backward()
    assert W.grad is None


# MLP ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hidden", [(), (7,), (7, 6, 5)], ids=str)
def test_mlp_starts_from_codes_that_the_components_give(hidden):
    X = as_matrix(data())
    start = start_of(X)
    W = start.W
    G = W @ W.T
    damped = (X @ W.T @ torch.linalg.inv(G + 0.1 * torch.diag(G.diagonal()))).clamp(min=0)
    assert (damped == 0).any()
    assert gap(MLP(start, Frobenius(), hidden)(X, W), damped) < 1e-12
    step = Multiplicative(KullbackLeibler())(X, lifted_codes(X, W), W)
    assert gap(MLP(start, KullbackLeibler(), hidden)(X, W), step) < 1e-6


def test_mlp_corrects_its_start_without_a_unit_dead_and_without_a_gradient_to_the_components():
    X = as_matrix(data())
    start = start_of(X)
    for divergence in (Frobenius(), KullbackLeibler()):
        mlp, W = trained_mlp(start, divergence), start.W.clone().requires_grad_()
        H = mlp(X, W)
        assert gap(H, MLP(start, divergence)(X, W)) > 0.01
        assert (H > 0).any(0).all()
        H.square().sum().backward()
        assert W.grad is None
        assert all((parameter.grad != 0).any() for parameter in mlp.parameters())


@pytest.mark.parametrize("kind", [as_matrix, sparse], ids=["dense", "sparse"])
def test_kullback_leibler_codes_of_the_mlp_keep_row_totals(kind):
    X = data()
    start = start_of(as_matrix(X))
    H = trained_mlp(start, KullbackLeibler())(kind(X), start.W)
    assert gap((H @ start.W).sum(1), X.sum(1)) < 1e-14


# Learned steps --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [as_matrix, sparse, weighted, stored], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("divergence", [Frobenius(), KullbackLeibler()])
def test_the_gradient_of_lista_is_that_of_finite_differences(divergence, kind):
    X = kind(data())
    start = start_of(X)
    lista = trained_lista(start, divergence)
    direction = uniform(40, 5, seed=9)
    parameters = list(lista.parameters())
    gradients = torch.autograd.grad((lista(X, start.W) * direction).sum(), parameters)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        way = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
        values = []
        for step in (1e-6, -1e-6):
            with torch.no_grad():
                parameter += step * way
                values.append(float((lista(X, start.W) * direction).sum()))
                parameter -= step * way
        assert (values[0] - values[1]) / 2e-6 == pytest.approx(float((gradient * way).sum()), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("divergence", [Frobenius(), KullbackLeibler()])
def test_untrained_lista_comes_near_the_exact_codes(divergence):
    X = as_matrix(data())
    start = start_of(X)
    update = HALS() if divergence.beta == 2 else ScalarNewton()
    W = next(islice(Solver(update).iterates(X, start), 100, None)).W
    best = float(divergence.total(X, Factorization(Exact(None, update)(X, W), W)))
    gaps = [
        float(divergence.total(X, Factorization(LISTA(start, divergence, layers)(X, W), W).detach())) / best - 1
        for layers in (0, 5)
    ]
    assert gaps[0] > 2 * gaps[1] > 0
    assert gaps[1] < 0.02


@pytest.mark.parametrize("kind", [as_matrix, sparse], ids=["dense", "sparse"])
def test_kullback_leibler_codes_of_lista_keep_row_totals(kind):
    X = data()
    start = start_of(as_matrix(X))
    H = trained_lista(start, KullbackLeibler())(kind(X), start.W)
    assert gap((H @ start.W).sum(1), X.sum(1)) < 1e-14


def test_lista_refuses_other_divergences():
    start = start_of(as_matrix(data()))
    for made, asked in ((Frobenius(), KullbackLeibler()), (ItakuraSaito(), ItakuraSaito())):
        with pytest.raises(Refusal, match="encoder=lista has layers for β = 1 and 2"):
            LISTA(start, made).refuse(asked)


@every_update
def test_refined_codes_are_half_steps_from_what_is_proposed(update, divergence):
    X = as_matrix(data())
    start = start_of(X)
    refined = Refined(start, lambda start: trained_mlp(start, divergence), update, steps=3)
    H, proposal = refined.learn(X, start.W)
    assert gap(H, update(X, proposal.detach(), start.W, 3)) == 0
    assert gap(refined(X, start.W), H) == 0
    assert proposal.requires_grad
    assert not H.requires_grad
    assert divergence.total(X, Factorization(H, start.W)) < divergence.total(
        X, Factorization(proposal, start.W).detach()
    )


@every_update
def test_what_a_refined_encoder_learns_from(update, divergence):
    """The divergence at its proposals, and how far each component of them is from the refined one."""
    X = as_matrix(data())
    start = start_of(X)
    refined = Refined(start, lambda start: trained_mlp(start, divergence), update, 2, distillation=0.7, ramp=0)
    net = NonNegativeAutoencoder(refined, LinearDecoder(start, Projected()), divergence, Block)
    objective = net.objective(Batch(X, ROWS))
    parameter = refined.inner.last.weight
    objective.backward()
    H, W = objective.factors.H, start.W
    _, proposal = refined.learn(X, W)
    apart = sum(divergence(H[:, k, None] * W[k], proposal[:, k, None] * W[k]).sum() for k in range(5))
    expected = torch.autograd.grad(divergence(X.values, proposal @ W).sum() + 0.7 * apart, parameter)[0]
    assert gap(parameter.grad * divergence.unit(X), expected) < 1e-6


# Exact ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tolerance", "error"), [(1e-7, 1e-5), (0.0, 1e-8)])
@pytest.mark.parametrize("kind", [as_matrix, sparse], ids=["dense", "sparse"])
def test_exact_codes_are_non_negative_least_squares(kind, tolerance, error):
    X, W = data(), uniform(5, 30, seed=5)
    expected = torch.from_numpy(np.stack([scipy.optimize.nnls(W.T.numpy(), x)[0] for x in X.numpy()]))
    start = Factorization(uniform(40, 5), W)
    assert (expected == 0).any()
    assert gap(Exact(start, HALS(), tolerance)(kind(X), W), expected) < error


@pytest.mark.parametrize("update", [ScalarNewton(), Multiplicative(KullbackLeibler())], ids=lambda u: type(u).__name__)
def test_exact_codes_of_another_divergence_are_stationary(update):
    X, W = as_matrix(data()), 0.05 + uniform(5, 30, seed=5)
    H = Exact(None, update, tolerance=0.0, most=3000)(X, W)
    P, N = KullbackLeibler().split_gradient(X, H, W)
    assert torch.minimum(H / H.mean(0), (P - N) / (P + N)).abs().max() < 1e-3


@pytest.mark.parametrize("beta", [-1.0, 0.0, 0.5, 2.5, 3.0])
def test_exact_refuses_divergences_that_are_not_convex_in_the_codes(beta):
    divergence = ItakuraSaito() if beta == 0 else Beta(beta)
    with pytest.raises(Refusal, match="1 ≤ β ≤ 2"):
        Exact(None, Multiplicative(divergence)).refuse(divergence)


@pytest.mark.parametrize("divergence", [Frobenius(), KullbackLeibler(), Beta(1.5)], ids=lambda d: type(d).__name__)
def test_exact_serves_convex_divergences(divergence):
    Exact(None, Multiplicative(divergence)).refuse(divergence)


@pytest.mark.parametrize("name", ["exact", "unrolled-0", "unrolled-1"])
@every_update
def test_encoders_of_a_solver_refuse_another_divergence_than_its_own(name, update, divergence):
    encoder = Member(name, divergence, update).make(start_of(as_matrix(data())))
    encoder.refuse(divergence)
    with pytest.raises(Refusal, match="does not minimise"):
        encoder.refuse(Frobenius() if divergence.beta == 1 else KullbackLeibler())


@every_update
def test_gradient_at_exact_codes_is_that_of_the_least_divergence(update, divergence):
    X = as_matrix(data(10, 8, zeros=0.2))
    start = Factorization(uniform(10, 3), 0.05 + uniform(3, 8, seed=5))
    encoder, decoder = Exact(start, update, tolerance=0.0, most=3000), LinearDecoder(start, Projected())

    def least(W: Tensor) -> float:
        return float(divergence.total(X, Factorization(encoder(X, W), W)))

    W = decoder.W
    H = encoder(X, W)
    assert (H == 0).any()
    Objective(X, Factorization(H, W), Criterion(divergence)).backward()
    gradient = decoder.weight.theta.grad * divergence.unit(X) / decoder.weight.unit
    for seed in range(4):
        direction = uniform(3, 8, seed=seed) - 0.5
        h = 1e-5
        slope = (least(start.W + h * direction) - least(start.W - h * direction)) / (2 * h)
        assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-6)


RAMPED = {
    "exact": (lambda start, update, ramp: Exact(start, update, most=40, ramp=ramp), 1, 40),
    "refined": (
        lambda start, update, ramp: Refined(start, lambda start: Table(start, Projected()), update, 3, ramp=ramp),
        0,
        3,
    ),
}


@pytest.mark.parametrize("name", list(RAMPED))
@every_update
def test_codes_of_known_rows_get_their_half_steps_by_and_by(name, update, divergence):
    X = as_matrix(data())
    start = start_of(X)
    build, at_first, most = RAMPED[name]
    encoder, whole = build(start, update, 2), build(start, update, 0).eval()
    codes_before = Table(start, Projected())(X, start.W, ROWS).detach() if name == "refined" else None
    given = ROWS if name == "refined" else None  # a table knows no other rows
    last = whole(X, start.W, given)
    assert gap(build(start, update, 0)(X, start.W, ROWS), last) == 0
    for step in range(12):
        steps = min(most, at_first + math.floor(math.exp(step / 2)) - 1)
        expected = update(X, codes_before, start.W, steps, 1e-7 if name == "exact" else 0.0) if steps else codes_before
        assert gap(encoder.eval()(X, start.W, given), last) == 0, "outside training it takes them all"
        assert gap(encoder.train()(X, start.W, ROWS), expected) == 0
    assert steps == most
    again = build(start, update, 2)
    again.load_state_dict(encoder.state_dict())
    assert gap(again(X, start.W, ROWS), last) == 0, "its place in training is in its state"


def test_a_ramp_has_no_end():
    ramp = Ramp(1e-3)
    assert [ramp.steps(300, 1, ROWS) for _ in range(1000)] == [1] + 999 * [300]


def test_a_ramp_refuses_to_run_backwards():
    with pytest.raises(Refusal, match=r"encoder\.ramp is -1"):
        Ramp(-1)


def test_codes_with_an_implicit_gradient_are_exact_from_the_start():
    X = as_matrix(data())
    start = start_of(X)
    assert gap(Exact(start, HALS(), implicit=True)(X, start.W, ROWS), Exact(start, HALS())(X, start.W)) == 0


# Unrolled -------------------------------------------------------------------------------------------------------------


@every_update
def test_more_steps_lower_the_divergence_and_reach_the_exact_codes(update, divergence):
    X = as_matrix(data())
    start = start_of(X)
    codes = [Unrolled(start, update, steps, 0.0, warm=0)(X, start.W) for steps in (0, 1, 2, 5, 20, 3000)]
    values = [float(divergence.total(X, Factorization(H, start.W))) for H in codes]
    assert all(after < before for before, after in pairwise(values))
    assert gap(codes[-1], Exact(start, update, tolerance=0.0)(X, start.W)) < 1e-10


@every_update
def test_default_steps_come_close_to_the_exact_codes(update, divergence):
    X = as_matrix(data())
    start = start_of(X)
    ours, least = (
        float(divergence.total(X, Factorization(encoder(X, start.W), start.W)))
        for encoder in (Unrolled(start, update), Exact(start, update))
    )
    assert least <= ours * (1 + 1e-12)
    assert ours == pytest.approx(least, rel=1e-6)


SOLVERS = [
    (HALS(), Frobenius()),
    (ScalarNewton(), KullbackLeibler()),
    (Multiplicative(Frobenius()), Frobenius()),
    (Multiplicative(KullbackLeibler()), KullbackLeibler()),
    (Multiplicative(ItakuraSaito()), ItakuraSaito()),
    *((update, Frobenius()) for update in (Pivoting(), ActiveSet(), ProjectedGradient(), OptimalGradient())),
]


@pytest.mark.parametrize("warm", [1, 3])
@pytest.mark.parametrize("kind", [as_matrix, sparse], ids=["dense", "sparse"])
@pytest.mark.parametrize(("update", "divergence"), SOLVERS, ids=lambda part: type(part).__name__)
def test_warm_steps_with_the_same_update_on_components_are_the_classical_iterates(update, divergence, kind, warm):
    X = kind(data(zeros=0.5 if divergence.beta > 0 else 0.0))
    start = start_of(X)
    net = NonNegativeAutoencoder(
        Unrolled(start, update, warm=warm),
        LinearDecoder(start, Projected()),
        divergence,
        partial(Block, update=update, repeats=warm, extrapolate=False),
    )
    optimizer = net.configure_optimizers()
    for factors in islice(Solver(update, Effort(warm)).iterates(X, start), 20):
        optimizer.step(lambda: net.objective(Batch(X, ROWS)))
        assert gap(net.encoder.kept, factors.H) < 1e-12
        assert gap(net.decoder.W.detach(), factors.W) < 1e-12


@every_update
def test_memory_is_used_and_changed_in_training_on_known_rows_alone(update, divergence):
    X = as_matrix(data())
    start = start_of(X)
    encoder = Unrolled(start, update, steps=20, warm=1)
    cold = Unrolled(start, update, steps=20, warm=0)(X, start.W)
    assert torch.equal(encoder(X, start.W), cold)
    encoder.eval()
    assert torch.equal(encoder(X, start.W, ROWS), cold)
    assert torch.equal(encoder.kept, start.H)
    encoder.train()
    rows = torch.tensor([4, 9])
    warm = encoder(X.rows(rows), start.W, rows)
    assert gap(warm, update(X.rows(rows), start.H[rows], start.W)) < 1e-12
    assert torch.equal(encoder.kept[rows], warm)
    others = torch.ones(40, dtype=torch.bool).index_fill(0, rows, False)
    assert torch.equal(encoder.kept[others], start.H[others])
    assert not torch.equal(encoder.kept[rows], start.H[rows])


@every_update
def test_memory_is_saved_where_there_is_one_and_is_not_the_start_itself(update, divergence):
    X = as_matrix(data())
    start = start_of(X)
    kept = start.clone()
    encoder = Unrolled(start, update)
    encoder(X, start.W, ROWS)
    assert torch.equal(start.H, kept.H)
    other = Unrolled(start, update)
    other.load_state_dict(encoder.state_dict())
    assert torch.equal(other.kept, encoder.kept)
    assert Unrolled(start, update, warm=0).state_dict() == {}


# Gradients of the codes -----------------------------------------------------------------------------------------------

DIFFERENTIABLE: dict[str, Callable[[Factorization, Divergence, Update], Encoder]] = {
    "mlp": MAKERS["mlp"],
    "lista": MAKERS["lista"],
    "exact": lambda start, divergence, update: Exact(start, update, 0.0, 20_000, implicit=True),
}
every_differentiable = pytest.mark.parametrize("name", DIFFERENTIABLE)
both_divergences = pytest.mark.parametrize(
    ("divergence", "update"), [(Frobenius(), HALS()), (KullbackLeibler(), ScalarNewton())], ids=["Frobenius", "KL"]
)


def few(kind: str, weighted: bool = False) -> tuple[Matrix, Tensor]:
    """Rows with codes that have zeros, on some W."""
    X, W = data()[:6, :12], uniform(5, 30, seed=5)[:, :12]
    V = 0.5 + uniform(6, 12, seed=7) if weighted else None
    if kind == "dense":
        return as_matrix(X, weights=V), W
    observed = None if V is None else scipy.sparse.csr_array((V * (uniform(6, 12, seed=9) > 0.1)).numpy())
    return as_matrix(scipy.sparse.csr_array(X.numpy()), weights=observed), W


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("kind", ["dense", "sparse"])
@both_divergences
def test_exact_codes_carry_the_gradient_with_respect_to_W(divergence, update, kind, weighted):
    X, W = few(kind, weighted)
    exact = DIFFERENTIABLE["exact"](Factorization(uniform(6, 5), W), divergence, update)
    assert (exact(X, W) == 0).any()
    assert torch.equal(exact(X, W), Exact(None, update, 0.0, 20_000)(X, W)), "the codes themselves are the same"
    assert torch.autograd.gradcheck(lambda W: exact(X, W), W.clone().requires_grad_(), atol=1e-6)


@every_differentiable
@both_divergences
def test_gradients_flow_to_an_earlier_layer(divergence, update, name):
    X, W = few("dense")
    encoder = DIFFERENTIABLE[name](Factorization(uniform(6, 5), W), divergence, update)
    values = (X.values + 0.01).requires_grad_()
    assert torch.autograd.gradcheck(lambda values: encoder(DenseMatrix(values), W), values, atol=1e-6)


def test_the_gradient_of_exact_codes_is_the_backward_pass_of_least_squares():
    X, W = few("dense")
    W.requires_grad_()
    values = X.values.clone().requires_grad_()
    H = Exact(None, HALS(), 0.0, 20_000, implicit=True)(DenseMatrix(values), W)
    cotangent = uniform(6, 5, seed=8)
    H.backward(cotangent)
    of_X, of_W = torch.zeros_like(values), torch.zeros_like(W)
    with torch.no_grad():
        for i, h in enumerate(H):
            S = h > 0
            W_S, g = W[S], cotangent[i, S]
            u = g @ torch.linalg.pinv(W_S).T
            v = torch.linalg.solve(W_S @ W_S.T, g)
            of_X[i] = u
            of_W[S] += -torch.outer(h[S], u) + torch.outer(v, values[i] - h[S] @ W_S)
    assert values.grad is not None
    assert W.grad is not None
    assert gap(values.grad, of_X) < 1e-8
    assert gap(W.grad, of_W) < 1e-6


def test_the_gradient_of_codes_that_are_not_unique_is_finite():
    X, W = few("dense")
    W = torch.cat([W, W[:1], 0 * W[:1]]).requires_grad_()
    H = Exact(None, HALS(), implicit=True)(X, W)
    assert (H[:, 0] * H[:, 5] > 0).any()
    H.sum().backward()
    assert W.grad is not None
    assert W.grad.isfinite().all()
    assert W.grad.abs().max() < 1e3


def test_codes_are_detached_unless_asked_for():
    X, W = few("dense")
    W.requires_grad_()
    assert not Exact(None, HALS())(X, W).requires_grad
    with torch.no_grad():
        assert not Exact(None, HALS(), implicit=True)(X, W).requires_grad
    for name in ("mlp", "lista"):
        H = DIFFERENTIABLE[name](Factorization(uniform(6, 5), W.detach()), Frobenius(), HALS())(X, W)
        assert torch.autograd.grad(H.sum(), W, allow_unused=True)[0] is None, "W is a constant to learned codes"


def test_implicit_gradients_are_refused_where_they_are_not_known():
    with pytest.raises(Refusal, match="multiplicative step never reaches"):
        Exact(None, Multiplicative(Frobenius()), implicit=True)
    with pytest.raises(Refusal, match="does not minimise divergence Beta"):
        Exact(None, HALS(), implicit=True).refuse(Beta(1.5))

"""The laws of penalties, of the steps that heed them, and of the nets that are those steps."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, pairwise

import numpy as np
import pytest
import scipy.sparse
import torch
from torch import Tensor

import nmf_nets
from nmf_nets.as_matrix import as_matrix
from nmf_nets.benchmark.base import Problem
from nmf_nets.benchmark.methods.classical import Classical
from nmf_nets.constraints.projected import Projected
from nmf_nets.criterion import Criterion, Terms
from nmf_nets.decoders.linear import Linear as LinearDecoder
from nmf_nets.divergences.base import Divergence
from nmf_nets.divergences.beta import beta_divergence
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.divergences.kullback_leibler import KullbackLeibler
from nmf_nets.encoders.base import Encoder
from nmf_nets.encoders.exact import Exact
from nmf_nets.encoders.linear import Linear
from nmf_nets.encoders.lista import LISTA
from nmf_nets.encoders.mlp import MLP
from nmf_nets.encoders.refined import Refined
from nmf_nets.encoders.table import Table
from nmf_nets.encoders.unrolled import Unrolled
from nmf_nets.factorization import Factorization
from nmf_nets.inits.random import random
from nmf_nets.loader import ResidentLoader
from nmf_nets.matrix import Matrix
from nmf_nets.metrics.kkt_residual import codes_residual, kkt_residual
from nmf_nets.metrics.recovery import matched_cosines
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder
from nmf_nets.optimizers.adam import ProjectedAdam
from nmf_nets.optimizers.block import Block
from nmf_nets.optimizers.multiplicative import Multiplicative as MultiplicativeOptimizer
from nmf_nets.optimizers.online import Online
from nmf_nets.penalties.base import EntryPenalty, LaplacianPenalty, Penalty, RowPenalty
from nmf_nets.penalties.graph import Graph
from nmf_nets.penalties.l1 import L1
from nmf_nets.penalties.l2 import L2
from nmf_nets.penalties.orthogonality import Orthogonality
from nmf_nets.penalties.smoothness import Smoothness
from nmf_nets.penalties.volume import Volume
from nmf_nets.refusal import Refusal
from nmf_nets.solver import Solver
from nmf_nets.updates.base import Update
from nmf_nets.updates.hals import HALS
from nmf_nets.updates.multiplicative import Multiplicative
from nmf_nets.updates.optimal_gradient import OptimalGradient
from nmf_nets.updates.pivoting import Pivoting
from nmf_nets.updates.projected_gradient import ProjectedGradient
from nmf_nets.updates.scalar_newton import ScalarNewton

N, M_FEATURES, R = 40, 30, 4


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def data(zeros: float = 0.0) -> Tensor:
    X = (uniform(N, 5) @ uniform(5, M_FEATURES, seed=1)) * (0.5 + uniform(N, M_FEATURES, seed=2))
    return X * (uniform(N, M_FEATURES, seed=3) >= zeros)


def start_of(X: Matrix, seed: int = 0) -> Factorization:
    """Strictly positive."""
    start = random(X, R, torch.Generator().manual_seed(seed))
    return Factorization(start.H + 0.1 * start.H.mean(), start.W + 0.1 * start.W.mean())


@dataclass(frozen=True)
class Member:
    """One penalty: of a strength, for a factor whose rows are those of the given data."""

    name: str
    make: Callable[[float, Matrix], Penalty]


MEMBERS = [
    Member("l1", lambda strength, X: L1(strength)),
    Member("l2", lambda strength, X: L2(strength)),
    Member("orthogonality", lambda strength, X: Orthogonality(strength)),
    Member("graph", lambda strength, X: Graph(strength, X, neighbors=3)),
    Member("binary graph", lambda strength, X: Graph(strength, X, neighbors=3, weights="binary")),
    Member("path", lambda strength, X: Smoothness(strength, X)),
    Member("grid", lambda strength, X: Smoothness(strength, shape=[5, X.shape[0] // 5])),
    Member("volume", lambda strength, X: Volume(strength, X)),
]
X_DENSE = as_matrix(data())
OF_ROWS = [member for member in MEMBERS if isinstance(member.make(1.0, X_DENSE), RowPenalty)]
OF_GRAPHS = [member for member in MEMBERS if isinstance(member.make(1.0, X_DENSE), LaplacianPenalty)]


def table(members: Sequence[Member]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("member", members, ids=lambda member: member.name)


every_member, every_of_rows, every_of_graphs = table(MEMBERS), table(OF_ROWS), table(OF_GRAPHS)
every_beta = pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 1.5, 2.0, 3.0])
every_strength = pytest.mark.parametrize("strength", [0.0, 0.1, 10.0, 1000.0])


# The penalties themselves ---------------------------------------------------------------------------------------------


@every_member
def test_the_split_gradient_is_non_negative_and_is_the_slope_of_the_value(member):
    penalty, M = member.make(0.7, X_DENSE), uniform(N, R, seed=5) * (uniform(N, R, seed=6) > 0.3)
    plus, minus = penalty.split_gradient(M)
    assert bool((plus >= 0).all())
    assert bool((minus >= 0).all())
    step = 1e-5
    for i, k in [(0, 0), (3, 1), (N // 2, 2), (N - 1, R - 1)]:
        E = torch.zeros_like(M)
        E[i, k] = step
        slope = (penalty.value(M + E) - penalty.value(M - E)) / (2 * step)
        torch.testing.assert_close((plus - minus)[i, k], slope, rtol=1e-6, atol=1e-8)


@every_member
def test_the_value_can_be_differentiated_and_its_gradient_is_the_split_one(member):
    penalty, M = member.make(0.7, X_DENSE), uniform(N, R, seed=5).requires_grad_()
    (gradient,) = torch.autograd.grad(penalty.value(M), M)
    plus, minus = penalty.split_gradient(M.detach())
    torch.testing.assert_close(gradient, (plus - minus).expand_as(M), rtol=1e-10, atol=1e-12)


@every_member
def test_a_factor_of_zeros_costs_nothing_and_no_factor_less(member):
    penalty = member.make(0.7, X_DENSE)
    zeros = torch.zeros(N, R, dtype=torch.float64)
    assert float(penalty.value(zeros)) == 0
    assert all(bool(part.isfinite().all()) for part in penalty.split_gradient(zeros))
    assert float(penalty.value(uniform(N, R))) > 0


@every_member
def test_a_strength_is_a_factor(member):
    M, penalty = uniform(N, R), member.make(0.5, X_DENSE)
    torch.testing.assert_close(member.make(1.5, X_DENSE).value(M), 3 * penalty.value(M), rtol=1e-14, atol=0)
    torch.testing.assert_close(penalty.times(3).value(M), 3 * penalty.value(M), rtol=1e-14, atol=0)
    assert penalty.strength == 0.5


@every_member
@pytest.mark.parametrize("c", [1e-8, 1e8])
@pytest.mark.parametrize("beta", [0.0, 1.0, 2.0])
def test_a_rescaled_penalty_grows_as_the_divergence_does(member, beta, c):
    M, penalty = uniform(N, R), member.make(0.5, X_DENSE)
    scaled = penalty.rescaled(c, beta).value(c**0.5 * M)
    torch.testing.assert_close(scaled, c**beta * penalty.value(M), rtol=1e-12, atol=0)


@every_member
@pytest.mark.parametrize("c", [4.0**-13, 4.0**13])
def test_a_penalty_of_scaled_data_is_the_rescaled_one_of_the_data(member, c):
    penalty, of_scaled = member.make(0.5, X_DENSE).rescaled(c, 2.0), member.make(1.0, as_matrix(c * data()))
    M = c**0.5 * uniform(N, R)
    torch.testing.assert_close(of_scaled.times(penalty.strength).value(M), penalty.value(M), rtol=1e-12, atol=0)


@every_of_rows
def test_the_quadratic_touches_the_penalty_and_lies_nowhere_below_it(member):
    penalty, M = member.make(0.7, X_DENSE), uniform(N, R, seed=5)
    assert isinstance(penalty, RowPenalty)
    linear, Q = penalty.quadratic(M)
    torch.testing.assert_close(Q, Q.T, rtol=1e-12, atol=1e-14)

    def surrogate(M: Tensor) -> Tensor:
        return linear * M.sum() + 0.5 * ((M @ Q) * M).sum()

    plus, minus = penalty.split_gradient(M)
    torch.testing.assert_close((plus - minus).expand_as(M), linear + M @ Q, rtol=1e-10, atol=1e-12)
    for seed, size in [(7, 1e-3), (8, 0.3), (9, 3.0), (10, 100.0)]:
        other = (M + size * (uniform(N, R, seed=seed) - 0.5)).clamp(min=0)
        rise, bound = penalty.value(other) - penalty.value(M), surrogate(other) - surrogate(M)
        assert float(rise) <= float(bound) + 1e-12 * float(penalty.value(M) + penalty.value(other))


@every_member
def test_single_precision_has_the_value_and_the_gradient_of_double_precision(member):
    penalty, M = member.make(0.7, X_DENSE), uniform(N, R)
    narrow = M.float()
    assert penalty.value(narrow).dtype == torch.float64
    torch.testing.assert_close(penalty.value(narrow), penalty.value(M), rtol=1e-6, atol=0)
    for part, wide in zip(penalty.split_gradient(narrow), penalty.split_gradient(M), strict=True):
        assert part.dtype == torch.float32
        torch.testing.assert_close(part.double(), wide, rtol=1e-4, atol=1e-5 * float(wide.abs().max()))


@pytest.mark.untyped
@every_member
@pytest.mark.parametrize("strength", [-1.0, float("nan"), float("inf"), "1", None])
def test_what_is_no_strength_is_refused(member, strength):
    with pytest.raises(Refusal, match="must be a finite number of at least 0"):
        member.make(strength, X_DENSE)


# Each of them, by what it is ------------------------------------------------------------------------------------------


def test_orthogonality_is_zero_where_no_row_has_two_entries():
    M = torch.eye(R, dtype=torch.float64).repeat(10, 1) * uniform(4 * 10, 1)
    assert float(Orthogonality(1.0).value(M)) == 0
    M[0, 1] = 0.5
    assert float(Orthogonality(1.0).value(M)) == pytest.approx(0.5 * float(M[0, 0]))


def adjacency_of(penalty: LaplacianPenalty) -> np.ndarray:
    return penalty._graph.dense().numpy()


@every_of_graphs
def test_a_laplacian_penalty_is_the_sum_over_what_is_joined(member):
    penalty, M = member.make(0.7, X_DENSE), uniform(N, R)
    A = torch.from_numpy(adjacency_of(penalty))
    assert torch.equal(A, A.T)
    assert not A.diagonal().any()
    expected = 0.7 / 4 * (A * torch.cdist(M, M).square()).sum()
    torch.testing.assert_close(penalty.value(M), expected, rtol=1e-12, atol=0)
    flat = torch.ones(N, R, dtype=torch.float64)
    assert abs(float(penalty.value(flat))) < 1e-12


def test_the_path_joins_rows_in_their_order():
    M = uniform(N, R)
    expected = 0.5 * 0.3 * (M[1:] - M[:-1]).square().sum()
    torch.testing.assert_close(Smoothness(0.3, X_DENSE).value(M), expected, rtol=1e-12, atol=0)


def test_the_grid_joins_pixels_to_those_below_and_beside_them():
    M = uniform(6 * 7, R)
    image = M.reshape(6, 7, R)
    expected = 0.5 * ((image[1:] - image[:-1]).square().sum() + (image[:, 1:] - image[:, :-1]).square().sum())
    torch.testing.assert_close(Smoothness(1.0, shape=[6, 7]).value(M), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("shape", [[1], [1, 1], [5], [2, 3, 4]])
def test_grids_of_one_to_three_lengths_have_their_edges(shape):
    edges = adjacency_of(Smoothness(1.0, shape=shape)).sum() / 2
    places = np.arange(np.prod(shape)).reshape(shape)
    assert edges == sum(np.diff(places, axis=axis).size for axis in range(len(shape)))


@pytest.mark.parametrize("weights", ["heat", "binary"])
def test_the_graph_joins_those_that_are_near_by_brute_force(weights):
    X = data()
    distances = torch.cdist(X, X).numpy()
    np.fill_diagonal(distances, np.inf)
    near = np.zeros((N, N), dtype=bool)
    np.put_along_axis(near, distances.argsort(1)[:, :3], True, axis=1)
    squares = distances[near] ** 2
    A = np.where(near | near.T, np.exp(-(distances**2) / squares.mean()) if weights == "heat" else 1.0, 0.0)
    np.testing.assert_allclose(adjacency_of(Graph(1.0, X, 3, weights)), A, rtol=1e-10, atol=0)


def test_the_graph_of_sparse_data_is_that_of_dense_ones():
    X = data(zeros=0.7).numpy()
    X[8] = 0
    dense, sparse = (adjacency_of(Graph(1.0, form, 3)) for form in (X, scipy.sparse.csr_array(X)))
    np.testing.assert_allclose(sparse, dense, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("form", [np.asarray, scipy.sparse.csr_array, torch.from_numpy])
def test_rows_that_are_alike_are_joined_by_a_weight_of_one(form):
    X = data(zeros=0.7).numpy()
    X[5] = X[6]
    X[8] = X[9] = 0
    A = adjacency_of(Graph(1.0, form(X), 3))
    assert A[5, 6] == pytest.approx(1, abs=1e-6)
    assert A[8, 9] == pytest.approx(1, abs=1e-6)


def test_the_graph_of_equal_rows_has_weights_of_one():
    assert set(np.unique(adjacency_of(Graph(1.0, np.ones((6, 4)), 2)))) == {0.0, 1.0}


@pytest.mark.parametrize("c", [1e-30, 1e-8, 1e8, 1e30])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_graph_does_not_know_the_scale_of_the_data(c, dtype):
    X = data().numpy()
    plain, scaled = adjacency_of(Graph(1.0, X, 3)), adjacency_of(Graph(1.0, (c * X).astype(dtype), 3))
    np.testing.assert_allclose(scaled, plain, rtol=1e-4, atol=1e-5)


def test_the_volume_is_that_of_orthogonal_columns_where_they_are():
    lengths = torch.tensor([1.0, 2.0, 0.5, 3.0], dtype=torch.float64)
    M = torch.zeros(N, R, dtype=torch.float64)
    M[:R] = torch.diag(lengths)
    penalty = Volume(0.8, X_DENSE, delta=0.2)
    delta = 0.2 * float(X_DENSE.mean) * N / R
    assert float(penalty.value(M)) == pytest.approx(0.4 * float((1 + lengths**2 / delta).log().sum()), rel=1e-12)


def test_the_volume_falls_as_columns_come_together():
    M, penalty = uniform(N, R), Volume(1.0, X_DENSE)
    mean = M.mean(1, keepdim=True).expand_as(M)
    values = [float(penalty.value((1 - t) * M + t * mean)) for t in (0.0, 0.3, 0.6, 1.0)]
    assert all(after < before for before, after in pairwise(values))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [0.0, 1e-12, 1e6])
def test_the_volume_of_dependent_tiny_and_huge_columns_is_finite(dtype, size):
    M = (size * uniform(N, 1).expand(N, R)).to(dtype)
    penalty = Volume(1.0, X_DENSE)
    parts = (penalty.value(M), *penalty.split_gradient(M), penalty.quadratic(M)[1])
    assert all(bool(part.isfinite().all()) for part in parts)
    assert Volume(1.0, np.zeros((3, 3))).value(M).isfinite()


# What cannot be made --------------------------------------------------------------------------------------------------


@pytest.mark.untyped
@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Graph(1.0, data(), neighbors=N), f"an integer from 1 to {N - 1}"),
        (lambda: Graph(1.0, data(), neighbors=0), "neighbors of a graph must be an integer"),
        (lambda: Graph(1.0, data(), neighbors=2.5), "neighbors of a graph must be an integer"),  # pyright: ignore
        (lambda: Graph(1.0, data(), weights="cosine"), "must be heat or binary, but are 'cosine'"),  # pyright: ignore
        (lambda: Graph(1.0, as_matrix(data(), weights=uniform(N, M_FEATURES))), "but X has weights"),
        (lambda: Graph(1.0, -data()), "X must be non-negative"),
        (lambda: Smoothness(1.0), "needs a row of X for each row of the factor, or a shape"),
        (lambda: Smoothness(1.0, shape=[]), "one to three integers above 0"),
        (lambda: Smoothness(1.0, shape=5), "one to three integers above 0"),  # pyright: ignore
        (lambda: Smoothness(1.0, shape=[0, 4]), "one to three integers above 0"),
        (lambda: Smoothness(1.0, shape=[2, 2, 2, 2]), "one to three integers above 0"),
        (lambda: Smoothness(1.0, data(), shape=[8, 8]), f"64 places, but the factor has {N} rows"),
        (lambda: Volume(1.0, data(), delta=0), "delta of volume must be a finite number above 0"),
        (lambda: Volume(1.0, data(), delta=float("nan")), "delta of volume must be a finite number above 0"),
    ],
)
def test_what_makes_no_penalty_gets_a_sentence(make, sentence):
    with pytest.raises(Refusal, match=sentence):
        make()


@every_of_graphs
def test_a_factor_with_other_rows_than_the_graph_is_refused(member):
    penalty = member.make(1.0, X_DENSE)
    for call in (penalty.value, penalty.split_gradient):
        with pytest.raises(Refusal, match=rf"joins {N} rows of a factor and needs all of them, but is given {N - 1}"):
            call(uniform(N - 1, R))


# Steps that heed them -------------------------------------------------------------------------------------------------


def matrix_of(kind: str, beta: float) -> Matrix:
    """Zeros only where β has a divergence for them; masked, a fifth unseen."""
    X = data(zeros=0.5 if beta > 0 and kind == "sparse" else 0.0)
    if kind == "sparse":
        return as_matrix(scipy.sparse.csr_array(X.numpy()))
    return as_matrix(X, weights=uniform(N, M_FEATURES, seed=4) > 0.2 if kind == "masked" else None)


def half_steps(update: Update, X: Matrix, criterion: Criterion, alternations: int) -> Iterator[Factorization]:
    """From a random start, on H and on W in turn."""
    factors = start_of(X)
    yield factors
    for _ in range(alternations):
        factors = Factorization(update(X, factors.H, factors.W, terms=criterion.on_H), factors.W)
        yield factors
        W = update(X.T, factors.W.T, factors.H.T, terms=criterion.on_W).T
        factors = Factorization(factors.H, W)
        yield factors


def criterion_of(member: Member, strength: float, divergence: Divergence, X: Matrix) -> Criterion:
    """The penalty on both factors, so that no scale evades it."""
    on_H, on_W = (Terms((member.make(strength, side.to(torch.float64)),)) for side in (unweighted(X), unweighted(X.T)))
    return Criterion(divergence, on_H, on_W)


def unweighted(X: Matrix) -> Matrix:
    return as_matrix(X.dense()) if X.weights is not None else X


def assert_never_rises(update: Update, X: Matrix, criterion: Criterion, alternations: int = 30) -> None:
    values = [float(criterion.total(X, factors)) for factors in half_steps(update, X, criterion, alternations)]
    assert all(after <= before * (1 + 1e-12) for before, after in pairwise(values))
    assert values[-1] < values[0]


@every_member
@every_beta
@every_strength
@pytest.mark.parametrize("kind", ["dense", "sparse", "masked"])
def test_no_multiplicative_half_step_raises_the_divergence_with_a_penalty(member, beta, strength, kind):
    X, D = matrix_of(kind, beta), beta_divergence(beta)
    assert_never_rises(Multiplicative(D), X, criterion_of(member, strength, D, X))


@every_beta
def test_no_multiplicative_half_step_raises_the_divergence_with_all_penalties_at_once(beta):
    D = beta_divergence(beta)
    on_H, on_W = (Terms(tuple(member.make(0.3, X) for member in MEMBERS)) for X in (X_DENSE, X_DENSE.T))
    assert_never_rises(Multiplicative(D), X_DENSE, Criterion(D, on_H, on_W))


@every_of_rows
@every_strength
@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("repeats", [1, 4])
def test_no_hals_half_step_raises_the_divergence_with_a_penalty_on_rows(member, strength, kind, repeats):
    X = matrix_of(kind, 2.0)
    criterion, update = criterion_of(member, strength, Frobenius(), X), HALS()
    factors = start_of(X)
    values = [float(criterion.total(X, factors))]
    for _ in range(20):
        factors = Factorization(update(X, factors.H, factors.W, repeats, terms=criterion.on_H), factors.W)
        values.append(float(criterion.total(X, factors)))
        W = update(X.T, factors.W.T, factors.H.T, repeats, terms=criterion.on_W).T
        factors = Factorization(factors.H, W)
        values.append(float(criterion.total(X, factors)))
    assert all(after <= before * (1 + 1e-12) for before, after in pairwise(values))


@every_member
@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_steps_with_a_penalty_end_where_nothing_is_left_to_gain(member, beta):
    """The codes on given components; the ridge makes the problem convex, whatever the penalty."""
    D = beta_divergence(beta)
    on_H = Terms((member.make(1.0, X_DENSE), L2(1.0)))
    W = start_of(X_DENSE).W
    H = Multiplicative(D)(X_DENSE, None, W, 3000, terms=on_H)
    assert codes_residual(X_DENSE, H, W, D, on_H) < 1e-3
    assert codes_residual(X_DENSE, H, W, D) > 1e-2


@every_of_rows
def test_hals_with_penalties_on_both_factors_ends_at_a_stationary_point(member):
    on_H = Terms((member.make(0.3, X_DENSE), L2(0.1)))
    on_W = Terms((member.make(0.2, X_DENSE.T), L2(0.1)))
    factors = next(islice(Solver(HALS()).iterates(X_DENSE, start_of(X_DENSE), on_H, on_W), 3000, None))
    assert kkt_residual(X_DENSE, factors, Frobenius(), on_H, on_W) < 1e-5


@pytest.mark.parametrize("n", [N, 4000])
def test_hals_takes_codes_to_zero_that_explain_nothing_and_cost_something(n):
    """Small data have a kernel of their own; the codes of a component of zeros have no curvature."""
    X, start = as_matrix(data().repeat(n // N, 1)), start_of(X_DENSE)
    start = Factorization(start.H.repeat(n // N, 1), torch.cat([start.W[:3], torch.zeros_like(start.W[:1])]))
    for penalty in (L1(0.1), Orthogonality(0.1)):
        free = next(Solver(HALS()).iterates(X, start))
        assert torch.equal(free.H[:, 3], start.H[:, 3])
        factors = next(Solver(HALS()).iterates(X, start, Terms((penalty,))))
        assert not factors.H[:, 3].any()
        assert not factors.W[3].any()


@every_of_rows
def test_extrapolated_hals_with_a_penalty_ends_no_higher_than_plain_hals(member):
    on_H, on_W = Terms((member.make(0.3, X_DENSE),)), Terms((L2(0.2),))
    criterion = Criterion(Frobenius(), on_H, on_W)
    ends = []
    for solver in (Solver(HALS()), Solver(HALS(), HALS.effort, HALS.extrapolation)):
        iterates = list(islice(solver.iterates(X_DENSE, start_of(X_DENSE), on_H, on_W), 300))
        ends.append(float(criterion.total(X_DENSE, iterates[-1])))
    assert ends[1] <= ends[0] * (1 + 1e-3)


@every_member
@pytest.mark.parametrize(
    "update",
    [HALS(), Pivoting(), ProjectedGradient(), OptimalGradient(), ScalarNewton(), Multiplicative(Frobenius())],
    ids=lambda update: type(update).__name__,
)
def test_an_update_refuses_the_penalties_that_it_cannot_heed(member, update):
    penalty = member.make(1.0, X_DENSE)
    terms, W = Terms((penalty,)), start_of(X_DENSE).W
    if isinstance(penalty, update.takes):
        assert update.on(X_DENSE, W, terms).codes(start_of(X_DENSE).H).shape == (N, R)
        return
    for ask in (lambda: update.on(X_DENSE, W, terms), lambda: update.refuse(Frobenius(), terms)):
        with pytest.raises(Refusal, match=rf"{type(update).__name__} cannot heed the penalty \w+; update=multiplic"):
            ask()


def test_hals_with_weights_refuses_what_is_no_sum_over_entries():
    with pytest.raises(Refusal, match="HALS with weights cannot heed the penalty volume"):
        HALS().on(matrix_of("masked", 2.0), start_of(X_DENSE).W, Terms((Volume(1.0, X_DENSE),)))


# What each moves ------------------------------------------------------------------------------------------------------


def solved(penalty_H: Penalty | None, penalty_W: Penalty | None, iterations: int = 200) -> Factorization:
    """With ridges, so that no scale evades the penalties."""
    on_H, on_W = (Terms((L2(0.1), *([p] if p else []))) for p in (penalty_H, penalty_W))
    solver = Solver(Multiplicative(Frobenius()))
    return next(islice(solver.iterates(X_DENSE, start_of(X_DENSE), on_H, on_W), iterations, None))


@pytest.mark.parametrize(
    "member", [member for member in MEMBERS if member.name not in ("l1", "l2")], ids=lambda m: m.name
)
def test_a_penalty_moves_what_it_should_and_more_the_stronger_it_is(member):
    measure = member.make(1.0, X_DENSE)

    def moved(strength: float) -> float:
        H = solved(member.make(strength, X_DENSE), None).H
        return float(measure.value(H / H.norm() * (N * R * float(X_DENSE.mean)) ** 0.5))

    values = [moved(strength) for strength in (0.0, 1.0, 10.0)]
    assert values[2] < 0.97 * values[1] < 0.97**2 * values[0]


def scattered(seed: int) -> tuple[Tensor, Tensor]:
    """Rows near the facets of a cone, but none near its corners: what no plain factorization has to find."""
    chance = np.random.default_rng(seed)
    W = chance.random((3, 20)) + 0.05
    H = chance.dirichlet(np.ones(3), 400)
    X = H[H.max(1) < 0.8] @ W
    return torch.from_numpy(X * (1 + 1e-3 * chance.standard_normal(X.shape))), torch.from_numpy(W)


@pytest.mark.parametrize("seed", range(3))
def test_the_smallest_volume_finds_components_that_no_row_is_like(seed):
    X, truth = scattered(seed)
    plain, least = (
        nmf_nets.factorize(X, 3, init="random", l2_H=1e-3, penalties_W=penalties, max_iter=1500, tol=0)
        for penalties in ([], [Volume(0.05, X.T)])
    )
    missed = [1 - matched_cosines(result.W, truth) for result in (plain, least)]
    assert float(missed[1].mean()) < 0.3 * float(missed[0].mean())
    assert float(missed[1].max()) < 2e-3


# Nets -----------------------------------------------------------------------------------------------------------------


def net_of(
    encoder: Encoder,
    divergence: Divergence,
    start: Factorization,
    optimizer: Callable[..., torch.optim.Optimizer],
    on_H: Sequence[Penalty] = (),
    on_W: Sequence[Penalty] = (),
) -> tuple[NonNegativeAutoencoder, torch.optim.Optimizer]:
    net = NonNegativeAutoencoder(
        encoder, LinearDecoder(start, Projected()), divergence, optimizer, penalties_H=on_H, penalties_W=on_W
    )
    return net, net.configure_optimizers()


def trained(
    net: NonNegativeAutoencoder, optimizer: torch.optim.Optimizer, X: Matrix, epochs: int, batch_size: int | None = None
) -> NonNegativeAutoencoder:
    loader = ResidentLoader(X, batch_size)
    for epoch in range(epochs):
        loader.sampler.set_epoch(epoch)
        for batch in loader:
            optimizer.step(partial(net.objective, batch))  # pyright: ignore
    return net


def assert_near(actual: Factorization, expected: Factorization, tolerance: float) -> None:
    for M, N in ((actual.H, expected.H), (actual.W, expected.W)):
        torch.testing.assert_close(M, N, rtol=0, atol=tolerance * float(N.max()))


@every_member
@pytest.mark.parametrize(
    "divergence", [Frobenius(), KullbackLeibler(), beta_divergence(0.5)], ids=lambda d: f"{d.beta}"
)
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_a_table_with_multiplicative_steps_is_the_multiplicative_solver_with_the_same_penalties(
    member, divergence, kind
):
    X = matrix_of(kind, divergence.beta)
    start, criterion = start_of(X), criterion_of(member, 0.4, divergence, X)
    on_H, on_W = criterion.on_H, criterion.on_W
    net, optimizer = net_of(
        Table(start, Projected()), divergence, start, MultiplicativeOptimizer, on_H.penalties, on_W.penalties
    )
    solver = Solver(Multiplicative(divergence))
    for expected in islice(solver.iterates(X, start, on_H, on_W), 10):
        trained(net, optimizer, X, 1)
        assert_near(net.own_factors(X), expected, 1e-10)


@every_member
@pytest.mark.parametrize("encoder", ["table", "unrolled"])
@pytest.mark.parametrize("update", [HALS(), Multiplicative(Frobenius())], ids=lambda update: type(update).__name__)
def test_block_steps_are_the_solver_of_that_update_with_the_same_penalties(member, encoder, update):
    X, start = X_DENSE, start_of(X_DENSE)
    on_H, on_W = Terms((member.make(0.4, X), L2(0.1))), Terms((member.make(0.2, X.T), L1(0.1)))
    if not isinstance(on_H.penalties[0], update.takes):
        pytest.skip("HALS refuses it")
    made = Table(start, Projected()) if encoder == "table" else Unrolled(start, update, warm=1)
    step = partial(Block, update=update, repeats=1, extrapolate=False)
    net, optimizer = net_of(made, Frobenius(), start, step, on_H.penalties, on_W.penalties)
    for expected in islice(Solver(update).iterates(X, start, on_H, on_W), 10):
        trained(net, optimizer, X, 1)
        H = made.kept if isinstance(made, Unrolled) else net.own_factors(X).H
        assert H is not None
        assert_near(Factorization(H, net.decoder.W.detach()), expected, 1e-10)


@every_member
@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_codes_of_a_net_from_no_memory_reach_the_objective_of_the_solver(member, beta):
    X, start, D = X_DENSE, start_of(X_DENSE), beta_divergence(beta)
    on_H, on_W = Terms((member.make(0.2, X), L2(0.1))), Terms((member.make(0.1, X.T), L2(0.1)))
    update = Multiplicative(D)
    encoder = Unrolled(start, update, steps=2000, progress=1e-6, warm=1)
    net, optimizer = net_of(encoder, D, start, partial(Block, update=update, repeats=1), on_H.penalties, on_W.penalties)
    own = trained(net, optimizer, X, 300).own_factors(X)
    solved = next(islice(Solver(update).iterates(X, start, on_H, on_W), 300, None))
    ours, theirs = (float(net.criterion.total(X, factors)) for factors in (own, solved))
    assert ours <= theirs * (1 + 1e-4)


LEARNING = {
    "linear": lambda start, D, update: Linear(start, Projected()),
    "mlp": lambda start, D, update: MLP(start, D, hidden=[16]),
    "lista": lambda start, D, update: LISTA(start, D),
    "refined": lambda start, D, update: Refined(start, lambda s: MLP(s, D, hidden=[16]), update, ramp=0),
    "table": lambda start, D, update: Table(start, Projected()),
    "exact": lambda start, D, update: Exact(start, update, tolerance=1e-4, most=50),
    "unrolled": lambda start, D, update: Unrolled(start, update),
}


@every_member
@pytest.mark.parametrize("encoder", LEARNING)
def test_adam_lowers_the_objective_with_a_penalty_on_each_factor_through_every_encoder(member, encoder):
    torch.manual_seed(0)
    X, start, D = X_DENSE, start_of(X_DENSE), Frobenius()
    made = LEARNING[encoder](start, D, Multiplicative(D))
    step = partial(ProjectedAdam, lr=0.02, net_lr=1e-3)
    net, optimizer = net_of(made, D, start, step, [member.make(0.3, X)], [member.make(0.2, X.T), L2(0.1)])
    before = float(net.criterion.total(X, net.own_factors(X)))
    after = trained(net, optimizer, X, 40).own_factors(X)
    assert float(net.criterion.total(X, after)) < before


@every_member
@pytest.mark.parametrize("encoder", ["linear", "mlp", "refined", "table"])
def test_what_an_encoder_learns_from_is_the_gradient_of_divergence_and_penalties(member, encoder):
    """Against autograd of D + R written out, through the same net."""
    torch.manual_seed(0)
    X, start, D = X_DENSE, start_of(X_DENSE), Frobenius()
    on_H, on_W, step = [member.make(0.3, X)], [member.make(0.2, X.T)], partial(ProjectedAdam, lr=0.1, net_lr=0.1)
    net, _ = net_of(LEARNING[encoder](start, D, Multiplicative(D)), D, start, step, on_H, on_W)
    (batch,) = ResidentLoader(X)
    objective = net.objective(batch)
    objective.backward()
    found = {name: parameter.grad.clone() for name, parameter in net.named_parameters() if parameter.grad is not None}
    net.zero_grad()
    objective = net.objective(batch)
    H, W = objective.factors.H, net.decoder.W
    learning = objective.learning
    unit = D.unit(X)
    value = 0.5 * (X.dense() - learning @ W.detach()).square().sum() + on_H[0].value(learning)
    value = value + 0.5 * (X.dense() - H.detach() @ W).square().sum() + on_W[0].value(W.T)
    (value / unit).backward()
    expected = {name: parameter.grad for name, parameter in net.named_parameters() if parameter.grad is not None}
    assert set(found) == set(expected)
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-9, atol=1e-9 * float(expected[name].abs().max()))


@every_member
def test_linear_codes_with_multiplicative_steps_never_raise_the_objective(member):
    X, start, D = X_DENSE, start_of(X_DENSE), Frobenius()
    net, optimizer = net_of(
        Linear(start, Projected()), D, start, MultiplicativeOptimizer, [member.make(0.4, X)], [member.make(0.2, X.T)]
    )
    values = []
    for _ in range(30):
        values.append(float(net.criterion.total(X, net.own_factors(X))))
        trained(net, optimizer, X, 1)
    assert all(after <= before * (1 + 1e-12) for before, after in pairwise(values))
    assert values[-1] < values[0]


# Batches, and rows that nobody trained on -----------------------------------------------------------------------------


@every_member
def test_batches_together_heed_a_penalty_on_components_once(member):
    X, start = X_DENSE, start_of(X_DENSE)
    penalty = member.make(0.4, X.T)
    net, _ = net_of(Table(start, Projected()), Frobenius(), start, MultiplicativeOptimizer, (), [penalty])
    parts = [net.objective(batch) for batch in ResidentLoader(X, batch_size=7)]
    assert len(parts) > 2
    total = sum(float(part.value()) for part in parts)
    assert total == pytest.approx(float(net.criterion.total(X, net.own_factors(X))), rel=1e-10)


@every_member
def test_batches_heed_penalties_on_codes_that_are_sums_over_rows_and_refuse_the_others(member):
    X, start = X_DENSE, start_of(X_DENSE)
    penalty = member.make(0.4, X)
    net, _ = net_of(Table(start, Projected()), Frobenius(), start, MultiplicativeOptimizer, [penalty])
    loader = ResidentLoader(X, batch_size=7)
    if penalty.couples_rows:
        with pytest.raises(Refusal, match=r"couples rows, but the batch has 7 of 40; use data.batch_size=null"):
            [net.objective(batch) for batch in loader]
        return
    total = sum(float(net.objective(batch).value()) for batch in loader)
    assert total == pytest.approx(float(net.criterion.total(X, net.own_factors(X))), rel=1e-10)


@every_member
def test_rows_that_nobody_trained_on_heed_the_penalties_that_are_sums_over_rows(member):
    X, start, D = X_DENSE, start_of(X_DENSE), Frobenius()
    penalty, update = member.make(0.4, X), Multiplicative(Frobenius())
    net, _ = net_of(Unrolled(start, update), D, start, partial(Block, update=update), [penalty])
    unseen = net.factorize(X.span(0, 7)).H
    alone = () if penalty.couples_rows else (penalty,)
    W = start.W
    torch.testing.assert_close(unseen, update(X.span(0, 7), None, W, 300, 1e-5, Terms(alone)), rtol=1e-10, atol=1e-12)
    assert float(net.criterion.unseen.total(X.span(0, 7), Factorization(unseen, W))) > 0
    coder = Classical(Solver(update), random).run(
        Problem(X, D, R, on_H=Terms((penalty,))), start, lambda factors, iteration: False
    )
    assert coder(X.span(0, 7)).shape == (7, R)


def test_online_refuses_penalties_on_components():
    X, start = X_DENSE, start_of(X_DENSE)
    step = partial(Online, update=HALS())
    net, optimizer = net_of(Unrolled(start, HALS()), Frobenius(), start, step, (), [Volume(1.0, X.T)])
    with pytest.raises(Refusal, match="running sums know no penalties on W"):
        trained(net, optimizer, X, 1)


def test_a_net_refuses_penalties_on_codes_that_its_half_steps_cannot_heed():
    with pytest.raises(Refusal, match="update HALS cannot heed the penalty graph"):
        net_of(Unrolled(start_of(X_DENSE), HALS()), Frobenius(), start_of(X_DENSE), Block, [Graph(1.0, X_DENSE)])


# The front door -------------------------------------------------------------------------------------------------------


@every_member
@pytest.mark.parametrize("c", [1.0, 4.0**-13, 1e9])
@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_factorize_takes_any_penalty_in_the_units_of_the_data(member, beta, c):
    """As documented: λ → c^(β − degree / 2) λ leaves the solution as it is, up to scale."""
    X = data().numpy()

    def run(X: np.ndarray, c: float) -> nmf_nets.Result:
        penalty_H, penalty_W = member.make(1.0, as_matrix(X)), member.make(1.0, as_matrix(X.T))
        strength = c ** (beta - penalty_H.degree / 2)
        return nmf_nets.factorize(
            X, R, divergence=beta, init="random", max_iter=20, tol=0, l2_H=0.1 * c ** (beta - 1),
            penalties_H=[penalty_H.times(0.3 * strength)], penalties_W=[penalty_W.times(0.2 * strength)],
        )  # fmt: skip

    plain, scaled = run(X, 1.0), run(c * X, c)
    np.testing.assert_allclose(scaled.H, c**0.5 * plain.H, atol=1e-6 * scaled.H.max())
    np.testing.assert_allclose(scaled.W, c**0.5 * plain.W, atol=1e-6 * scaled.W.max())
    assert scaled.history[-1].loss == pytest.approx(c**beta * plain.history[-1].loss, rel=1e-8)


@every_member
def test_factorize_finds_a_solver_that_heeds_the_penalties(member):
    penalty = member.make(0.3, X_DENSE)
    found = nmf_nets.factorize(data(), R, penalties_H=[penalty], l2_W=0.1, max_iter=3).solver.update
    assert isinstance(found, HALS if isinstance(penalty, RowPenalty) else Multiplicative)
    masked = nmf_nets.factorize(
        data(), R, penalties_H=[penalty], weights=np.ones((N, M_FEATURES)), max_iter=3
    ).solver.update
    assert isinstance(masked, HALS if isinstance(penalty, EntryPenalty) else Multiplicative)


def test_factorize_with_l1_and_l2_as_penalties_is_factorize_with_their_numbers():
    X = data().numpy()
    settings = {"max_iter": 10, "tol": 0, "init": "random"}
    numbers = nmf_nets.factorize(X, R, l1_H=0.3, l2_W=0.2, **settings)
    given = nmf_nets.factorize(X, R, penalties_H=[L1(0.3)], penalties_W=[L2(0.2)], **settings)
    np.testing.assert_array_equal(given.H, numbers.H)
    np.testing.assert_array_equal(given.W, numbers.W)


@pytest.mark.untyped
@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"penalties_H": [0.1]}, r"penalties_H must be a list of penalties, .* but is \[0.1\]"),
        ({"penalties_W": L1(0.1)}, "penalties_W must be a list of penalties"),
        ({"penalties_H": [Smoothness(1.0, shape=[7])]}, f"joins 7 rows of a factor .* given {N}"),
        ({"penalties_W": [Smoothness(1.0, shape=[N])], "solver": "hals"}, "HALS cannot heed the penalty smoothness"),
        ({"penalties_W": [Orthogonality(1.0)], "solver": "anls-bpp"}, "Pivoting cannot heed the penalty orthogonality"),
    ],
)
def test_factorize_refuses_penalties_that_cannot_be_heeded(settings, sentence):
    with pytest.raises(Refusal, match=sentence):
        nmf_nets.factorize(data(), R, max_iter=2, **settings)


# Experiments ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("experiment", ["orthogonal", "graph_regularized", "smooth", "minimum_volume"])
def test_experiments_with_penalties_run_to_their_table(train, experiment):
    ran = train(f"experiment={experiment}", "trainer.max_epochs=10")
    assert ran.code == 0, ran.err
    assert "net, exact codes" in ran.out
    assert "held out" in ran.out

from itertools import islice

import hypothesis
import hypothesis.extra.numpy
import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.sparse
import torch
from sklearn.decomposition import NMF
from torch import Tensor

from nmf_nets.as_matrix import as_matrix
from nmf_nets.divergences.base import Divergence
from nmf_nets.divergences.beta import Beta
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.divergences.itakura_saito import ItakuraSaito
from nmf_nets.divergences.kullback_leibler import KullbackLeibler
from nmf_nets.effort import Effort
from nmf_nets.extrapolation import Extrapolation
from nmf_nets.factorization import Factorization
from nmf_nets.inits.random import random
from nmf_nets.matrix import Matrix
from nmf_nets.solver import Solver
from nmf_nets.updates.base import Update
from nmf_nets.updates.hals import HALS
from nmf_nets.updates.least_squares import LeastSquares
from nmf_nets.updates.multiplicative import Multiplicative
from nmf_nets.updates.scalar_newton import ScalarNewton

UPDATES = [
    (HALS(), Frobenius()),
    (ScalarNewton(), KullbackLeibler()),
    (Multiplicative(Frobenius()), Frobenius()),
    (Multiplicative(KullbackLeibler()), KullbackLeibler()),
    (Multiplicative(ItakuraSaito()), ItakuraSaito()),
]
every_update = pytest.mark.parametrize(("update", "divergence"), UPDATES, ids=lambda part: type(part).__name__)


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def data(zeros: float = 0.0) -> Tensor:
    X = (uniform(40, 5) @ uniform(5, 30, seed=1)) * (0.5 + uniform(40, 30, seed=2))
    return X * (uniform(40, 30, seed=3) >= zeros)


def start_of(X: Matrix, n_components: int = 5) -> Factorization:
    """Strictly positive."""
    start = random(X, n_components, torch.Generator().manual_seed(0))
    return Factorization(start.H + 0.1 * start.H.mean(), start.W + 0.1 * start.W.mean())


def iterate(update: Update, X: Matrix, start: Factorization, n_iter: int, repeats: int = 1) -> Factorization:
    return next(islice(Solver(update, Effort(repeats)).iterates(X, start), n_iter - 1, None))


def gap(actual: Factorization, expected: Factorization) -> float:
    pairs = ((actual.H, expected.H), (actual.W, expected.W))
    return max(float((ours - theirs).abs().max() / theirs.abs().max()) for ours, theirs in pairs)


# Agreement with scikit-learn, whose W is our H and whose H is our W ---------------------------------------------------


def sklearn_factors(X: Tensor, start: Factorization, n_iter: int, sparse: bool, **options: object) -> Factorization:
    model = NMF(start.n_components, init="custom", tol=0, max_iter=n_iter, shuffle=False, **options)
    given = scipy.sparse.csr_array(X.numpy()) if sparse else X.numpy()
    H = model.fit_transform(given, W=start.H.numpy().copy(), H=start.W.numpy().copy())
    return Factorization(torch.from_numpy(H), torch.from_numpy(model.components_))


# scikit-learn lifts x̂ to 1.2e-7 (absolute) before it divides, and for β ≤ 1 sets factors below 2.2e-16 to zero; we
# floor x̂ at ε² mean(X) and set nothing to zero. From these starts, on data of this scale, neither of their rules acts.
@pytest.mark.parametrize(
    ("divergence", "beta_loss", "zeros", "sparse"),
    [
        (Frobenius(), "frobenius", 0.5, False),
        (Frobenius(), "frobenius", 0.5, True),
        (KullbackLeibler(), "kullback-leibler", 0.5, False),
        (KullbackLeibler(), "kullback-leibler", 0.5, True),
        (ItakuraSaito(), "itakura-saito", 0.0, False),
        (Beta(0.5), 0.5, 0.0, False),
        (Beta(1.5), 1.5, 0.0, False),
        (Beta(3.0), 3.0, 0.0, False),
    ],
    ids=lambda part: type(part).__name__ if isinstance(part, Divergence) else str(part),
)
def test_multiplicative_iterates_are_those_of_scikit_learn(divergence, beta_loss, zeros, sparse):
    X = data(zeros)
    matrix = as_matrix(scipy.sparse.csr_array(X.numpy()) if sparse else X)
    start = start_of(matrix)
    theirs = sklearn_factors(X, start, 30, sparse, solver="mu", beta_loss=beta_loss)
    assert gap(iterate(Multiplicative(divergence), matrix, start, 30), theirs) < 1e-11


def test_multiplicative_iterates_leave_those_of_scikit_learn_where_its_absolute_epsilon_acts():
    X = data() * 1e-8
    start = start_of(as_matrix(X))
    theirs = sklearn_factors(X, start, 30, False, solver="mu", beta_loss="kullback-leibler")
    ours = iterate(Multiplicative(KullbackLeibler()), as_matrix(X), start, 30)
    assert gap(ours, theirs) > 0.01
    X, plain = as_matrix(X), as_matrix(data())
    assert gap(ours, scaled(iterate(Multiplicative(KullbackLeibler()), plain, start_of(plain), 30), 1e-4)) < 1e-12
    D = KullbackLeibler().total
    assert D(X, ours) < D(X, theirs)


def scaled(factors: Factorization, c: float) -> Factorization:
    return Factorization(factors.H * c, factors.W * c)


@pytest.mark.parametrize("sparse", [False, True])
def test_hals_iterates_are_those_of_coordinate_descent_in_scikit_learn(sparse):
    X = data(zeros=0.5)
    matrix = as_matrix(scipy.sparse.csr_array(X.numpy()) if sparse else X)
    start = start_of(matrix)
    theirs = sklearn_factors(X, start, 30, sparse, solver="cd")
    assert (theirs.H == 0).any()
    assert gap(iterate(HALS(), matrix, start, 30), theirs) < 1e-11


# scikit-learn has one solver for this divergence, mu, and scalar Newton takes other steps to the same end.
@pytest.mark.parametrize("zeros", [0.0, 0.5])
def test_scalar_newton_gets_at_least_as_far_as_the_multiplicative_solver_of_scikit_learn(zeros):
    X = data(zeros)
    start = start_of(as_matrix(X))
    theirs = sklearn_factors(X, start, 200, False, solver="mu", beta_loss="kullback-leibler")
    ours = iterate(ScalarNewton(), as_matrix(X), start, 200)
    D = KullbackLeibler().total
    assert gap(ours, theirs) > 1e-3
    assert D(as_matrix(X), ours) <= D(as_matrix(X), theirs)
    assert D(as_matrix(X), iterate(ScalarNewton(), as_matrix(X), start, 20)) < D(
        as_matrix(X), iterate(Multiplicative(KullbackLeibler()), as_matrix(X), start, 20)
    )


# The stream -----------------------------------------------------------------------------------------------------------


@every_update
def test_the_stream_alternates_codes_then_components(update, divergence):
    X = as_matrix(data())
    start = start_of(X)
    H = update(X, start.H, start.W, 2)
    W = update(X.T, start.W.T, H.T, 2).T
    assert gap(iterate(update, X, start, 1, repeats=2), Factorization(H, W)) < 1e-13


@every_update
def test_the_start_and_every_iterate_are_left_as_they_are(update, divergence):
    X = as_matrix(data())
    start = start_of(X)
    kept = start.clone()
    seen = [(factors, factors.clone()) for factors in islice(Solver(update).iterates(X, start), 5)]
    for factors, copy in [(start, kept), *seen]:
        assert torch.equal(factors.H, copy.H)
        assert torch.equal(factors.W, copy.W)
    assert gap(iterate(update, X, start, 5), seen[-1][0]) == 0


POSITIVE = st.floats(1e-3, 1e3)
MATRICES = hypothesis.extra.numpy.array_shapes(min_dims=2, max_dims=2, max_side=7).flatmap(
    lambda shape: hypothesis.extra.numpy.arrays(np.float64, shape, elements=st.one_of(st.just(0.0), POSITIVE))
)


@hypothesis.settings(deadline=None, derandomize=True, max_examples=50, database=None)
@hypothesis.given(values=MATRICES, n_components=st.integers(1, 5), seed=st.integers(0, 9))
@pytest.mark.parametrize(("update", "divergence"), [UPDATES[0], UPDATES[1], UPDATES[3]], ids=["HALS", "Newton", "MU"])
def test_descends_with_finite_non_negative_factors_on_any_matrix(update, divergence, values, n_components, seed):
    X = as_matrix(values)
    start = random(X, n_components, torch.Generator().manual_seed(seed))
    # rounding: D is a difference of terms as large as its unit
    slack = 1e-13 * max(float(divergence.unit(X)), float(X.square_norm if divergence.beta == 2 else X.sum))
    before = float(divergence.total(X, start))
    for factors in islice(Solver(update).iterates(X, start), 10):
        for M in (factors.H, factors.W):
            assert M.isfinite().all()
            assert (M >= 0).all()
        after = float(divergence.total(X, factors))
        assert after <= before * (1 + 1e-12) + slack
        before = after


@pytest.mark.parametrize("update", [HALS(), LeastSquares()], ids=["extrapolated", "best kept"])
def test_what_decides_on_the_device_decides_like_the_host(update, monkeypatch):
    X = as_matrix(data())
    solver = Solver(update, Effort(2), Extrapolation() if update.descends else None)
    on_host = list(islice(solver.iterates(X, start_of(X)), 30))
    for module in ("solver", "extrapolation"):
        monkeypatch.setattr(f"nmf_nets.{module}.on_host", lambda value: value)
    on_device = list(islice(solver.iterates(X, start_of(X)), 30))
    for one, other in zip(on_host, on_device, strict=True):
        assert gap(one, other) < 1e-9


def test_extrapolation_gets_there_in_fewer_iterations():
    X = as_matrix(data())
    target = float(Frobenius().total(X, iterate(HALS(), X, start_of(X), 400))) * (1 + 1e-4)
    counts = []
    for extrapolation in (None, Extrapolation()):
        stream = Solver(HALS(), Effort(3), extrapolation).iterates(X, start_of(X))
        counts.append(next(i for i, F in enumerate(stream, 1) if float(Frobenius().total(X, F)) <= target or i == 1000))
    assert counts[1] < 0.7 * counts[0] < 700


def test_effort_follows_the_cost_of_the_products():
    wide = as_matrix(uniform(10, 1000))
    effort = Effort(repeats=None, alpha=0.5)
    assert Effort(3).most(wide, 5) == 3
    assert effort.most(wide, 5) == 1 + (1 + (10_000 + 5000) / 60) // 2
    assert effort.most(wide.T, 5) < effort.most(wide, 5)

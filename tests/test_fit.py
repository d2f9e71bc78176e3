"""`nmf_nets.factorize`: what a user gives and gets."""

import math
import os
import signal
import threading
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import scipy.optimize
import scipy.sparse
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import non_negative_factorization

import nmf_nets
from nmf_nets.as_matrix import as_matrix
from nmf_nets.divergences.beta import beta_divergence
from nmf_nets.effort import Effort
from nmf_nets.extrapolation import Extrapolation
from nmf_nets.factorization import Factorization
from nmf_nets.refusal import Refusal
from nmf_nets.solver import Solver
from nmf_nets.solvers import SOLVERS, fastest, named
from nmf_nets.updates.hals import HALS

FROBENIUS = ["mu", "als", "anls-bpp", "anls-as", "anls-pg", "anls-nenmf", "hals", "a-hals", "e-hals"]
KL = ["mu", "newton", "e-newton", "ccd"]
BY_COST = ["a-hals", "e-hals"]  # repeat as often as the stored entries make worth while
BEGINNING_ANEW = ["anls-pg", "anls-nenmf"]  # step lengths and momentum begin anew with each imputation
EVERY = [("frobenius", name) for name in FROBENIUS] + [("kullback_leibler", name) for name in KL]


def data(n=60, m=40, rank=4, noise=0.1, seed=0):
    chance = np.random.default_rng(seed)
    X = chance.random((n, rank)) @ chance.random((rank, m))
    return X * (1 - noise + 2 * noise * chance.random((n, m)))


def start(n=60, m=40, r=4, seed=1):
    chance = np.random.default_rng(seed)
    return chance.random((n, r)) + 0.1, chance.random((r, m)) + 0.1


def value(X, H, W, divergence):
    """The reference: float64, all entries."""
    X_hat = H.astype(float) @ W.astype(float)
    if divergence == "frobenius":
        return 0.5 * ((X - X_hat) ** 2).sum()
    return (np.where(X > 0, X * np.log(np.where(X > 0, X, 1) / X_hat), 0) - X + X_hat).sum()


# Every solver --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("divergence", "solver"), EVERY)
def test_every_solver_comes_near_the_best_of_all(divergence, solver):
    X = data()
    most = 200 if solver in BEGINNING_ANEW else 3000
    result = nmf_nets.factorize(X, 4, divergence=divergence, solver=solver, max_iter=most, tol=1e-9)
    reference = nmf_nets.factorize(X, 4, divergence=divergence, max_iter=3000, tol=1e-12)
    assert result.H.shape == (60, 4)
    assert result.W.shape == (4, 40)
    assert (result.H >= 0).all()
    assert (result.W >= 0).all()
    assert result.divergence_value == pytest.approx(value(X, result.H, result.W, divergence), rel=1e-10)
    assert result.divergence_value <= {"mu": 1.1, "als": 1.5}.get(solver, 1.02) * reference.divergence_value


@pytest.mark.parametrize(("divergence", "solver"), EVERY)
def test_what_is_yielded_never_rises(divergence, solver):
    X = data(noise=0.5)
    losses = []
    nmf_nets.factorize(
        X,
        5,
        divergence=divergence,
        solver=solver,
        init="random",
        max_iter=60,
        tol=0,
        check_every=1,
        callback=lambda moment, factors: losses.append(moment.loss),
    )
    assert len(losses) == 60
    assert all(after <= before * (1 + 1e-9) for before, after in pairwise(losses))
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize(
    ("divergence", "solver"), [pair for pair in EVERY if pair[1] not in ("mu", "als", "anls-pg", "anls-nenmf")]
)
def test_solvers_end_stationary(divergence, solver):
    result = nmf_nets.factorize(
        data(), 3, divergence=divergence, solver=solver, max_iter=20_000, tol=0, kkt_tol=1e-6, check_every=50
    )
    assert result.reason == "kkt_tol"
    assert result.history[-1].kkt_residual <= 1e-6


@pytest.mark.parametrize(("divergence", "solver"), [pair for pair in EVERY if pair[1] not in BY_COST])
def test_dense_and_sparse_data_give_the_same(divergence, solver):
    X = data() * (np.random.default_rng(3).random((60, 40)) > 0.6)
    settings = {"divergence": divergence, "solver": solver, "start": start(), "max_iter": 5, "tol": 0}
    dense, sparse = (nmf_nets.factorize(M, 4, **settings) for M in (X, scipy.sparse.csr_array(X)))
    np.testing.assert_allclose(sparse.H, dense.H, atol=1e-9 * dense.H.max())
    np.testing.assert_allclose(sparse.W, dense.W, atol=1e-9 * dense.W.max())


@pytest.mark.parametrize("scale", [4.0**-50, 4.0**-13, 4.0**13, 4.0**50])
@pytest.mark.parametrize(("divergence", "solver"), EVERY)
def test_data_of_any_scale_give_the_same_factors_in_float32(divergence, solver, scale):
    X = data().astype(np.float32)
    settings = {"divergence": divergence, "solver": solver, "init": "random", "max_iter": 8, "tol": 0}
    plain = nmf_nets.factorize(X, 4, **settings)
    scaled = nmf_nets.factorize((X * np.float64(scale)).astype(np.float32), 4, **settings)
    for a, b in ((scaled.H, plain.H), (scaled.W, plain.W)):
        np.testing.assert_allclose(a / np.float32(scale**0.5), b, atol=2e-3 * b.max())
    beta = 2 if divergence == "frobenius" else 1
    assert scaled.divergence_value == pytest.approx(plain.divergence_value * scale**beta, rel=1e-3)


@pytest.mark.parametrize(
    ("divergence", "solver"), [("frobenius", "mu"), ("frobenius", "hals"), ("kullback_leibler", "mu")]
)
def test_penalised_solvers_agree_with_scikit_learn(divergence, solver):
    X, (H, W) = data(), start()
    l1_only = divergence == "kullback_leibler"  # its KL step with L2 is a heuristic, and may rise
    ratio = 1.0 if l1_only else 0.4
    alpha_W, alpha_H, n, m = 0.003, 0.002, *X.shape
    theirs_H, theirs_W, _ = non_negative_factorization(
        X, H.copy(), W.copy(), n_components=4, init="custom", solver="cd" if solver == "hals" else "mu",
        beta_loss=divergence.replace("_", "-"), alpha_W=alpha_W, alpha_H=alpha_H, l1_ratio=ratio, max_iter=30, tol=0,
    )  # fmt: skip
    ours = nmf_nets.factorize(
        X, 4, divergence=divergence, solver=solver, start=(H, W), max_iter=30, tol=0,
        l1_H=alpha_W * ratio * m, l1_W=alpha_H * ratio * n, l2_H=alpha_W * (1 - ratio) * m,
        l2_W=alpha_H * (1 - ratio) * n,
    )  # fmt: skip
    np.testing.assert_allclose(ours.H, theirs_H, atol=1e-9 * theirs_H.max())
    np.testing.assert_allclose(ours.W, theirs_W, atol=1e-9 * theirs_W.max())


@pytest.mark.parametrize(("divergence", "solver"), [pair for pair in EVERY if pair[1] != "als"])
def test_penalties_lower_the_penalised_loss_and_what_they_penalise(divergence, solver):
    X = data(noise=0.4)
    settings = {
        "divergence": divergence,
        "solver": solver,
        "init": "random",
        "max_iter": 100,
        "tol": 0,
        "check_every": 1,
    }
    plain = nmf_nets.factorize(X, 4, **settings)
    result = nmf_nets.factorize(X, 4, l1_H=0.5, l2_W=0.5, **settings)
    losses = [moment.loss for moment in result.history]
    assert all(after <= before * (1 + 1e-9) for before, after in pairwise(losses))
    expected = value(X, result.H, result.W, divergence) + 0.5 * result.H.sum() + 0.25 * (result.W**2).sum()
    assert losses[-1] == pytest.approx(expected, rel=1e-9)
    assert expected < value(X, plain.H, plain.W, divergence) + 0.5 * plain.H.sum() + 0.25 * (plain.W**2).sum()


# What stays ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("divergence", "solver"), EVERY)
def test_frozen_components_stay_and_the_others_move(divergence, solver):
    X, (H, W) = data(), start()
    mask = np.array([True, False, False, True])
    result = nmf_nets.factorize(
        X, 4, divergence=divergence, solver=solver, start=(H, W), frozen_W=mask, max_iter=20, tol=0
    )
    np.testing.assert_array_equal(result.W[mask], W[mask])
    assert (result.W[~mask] != W[~mask]).any(1).all()
    assert (result.H != H).any(0).all()
    assert result.divergence_value < value(X, H, W, divergence)


@pytest.mark.parametrize(("divergence", "solver"), EVERY)
def test_a_frozen_factor_leaves_the_problem_of_codes(divergence, solver):
    X = data()
    W = nmf_nets.factorize(X, 4, divergence=divergence).W
    result = nmf_nets.factorize(
        X, 4, divergence=divergence, solver=solver, start=(None, W), frozen_W=True, max_iter=3000, tol=0, kkt_tol=1e-9
    )
    np.testing.assert_array_equal(result.W, W)
    if divergence == "frobenius":
        exact = np.array([scipy.optimize.nnls(W.T, x)[0] for x in X])
        assert result.divergence_value <= value(X, exact, W, divergence) * (1.02 if solver == "als" else 1 + 1e-6)
    else:
        reference = nmf_nets.factorize(X, 4, divergence=divergence, start=(None, W), frozen_W=True, tol=0, kkt_tol=1e-9)
        assert result.divergence_value <= reference.divergence_value * (1 + (1e-4 if solver == "mu" else 1e-6))


# Weights -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize(("divergence", "solver"), [pair for pair in EVERY if pair[1] != "als"])
def test_what_is_masked_does_not_matter_and_the_rest_is_fitted(divergence, solver, kind):
    X = data(noise=0.0)
    mask = np.random.default_rng(5).random(X.shape) > 0.2
    holes = np.where(mask, X, np.nan)
    other = np.where(mask, X, -7.0)
    V = mask if kind == "dense" else scipy.sparse.csr_array(mask.astype(float))
    settings = {"divergence": divergence, "solver": solver, "start": start(), "weights": V, "tol": 0}
    recovers = solver in ("hals", "newton", "e-hals", "e-newton")
    one, two = (nmf_nets.factorize(M, 4, max_iter=300 if recovers else 10, **settings) for M in (holes, other))
    np.testing.assert_array_equal(one.H, two.H)
    np.testing.assert_array_equal(one.W, two.W)
    if recovers:
        hidden = np.linalg.norm((X - one.H @ one.W)[~mask]) / np.linalg.norm(X[~mask])
        assert hidden < 0.02


@pytest.mark.parametrize(("divergence", "solver"), [pair for pair in EVERY if pair[1] not in (*BEGINNING_ANEW, "als")])
def test_weights_of_one_change_nothing_and_sparse_weights_are_dense_ones(divergence, solver):
    X = data()
    settings = {"divergence": divergence, "solver": solver, "start": start(), "max_iter": 4, "tol": 0}
    plain, ones = (nmf_nets.factorize(X, 4, weights=V, **settings) for V in (None, np.ones_like(X)))
    np.testing.assert_allclose(ones.H, plain.H, atol=1e-9 * plain.H.max())
    if solver in BY_COST:
        return
    V = np.random.default_rng(2).integers(0, 3, X.shape).astype(float)
    dense, sparse = (nmf_nets.factorize(X, 4, weights=M, **settings) for M in (V, scipy.sparse.csr_array(V)))
    np.testing.assert_allclose(sparse.H, dense.H, atol=1e-9 * dense.H.max())
    np.testing.assert_allclose(sparse.W, dense.W, atol=1e-9 * dense.W.max())


@pytest.mark.parametrize(
    ("divergence", "solver"), [("frobenius", "hals"), ("kullback_leibler", "newton"), ("frobenius", "mu")]
)
def test_a_weight_of_two_is_a_row_that_stands_twice(divergence, solver):
    X, (H, W) = data(), start()
    twice = np.concatenate([X, X[:5]])
    V = np.ones_like(X)
    V[:5] = 2
    settings = {"divergence": divergence, "solver": solver, "max_iter": 10, "tol": 0}
    weighted = nmf_nets.factorize(X, 4, weights=V, start=(H, W), **settings)
    repeated = nmf_nets.factorize(twice, 4, start=(np.concatenate([H, H[:5]]), W), **settings)
    np.testing.assert_allclose(weighted.W, repeated.W, atol=1e-9 * repeated.W.max())


# Kinds and shapes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrays_for_arrays_and_tensors_for_tensors(dtype):
    X = data().astype(dtype)
    X.setflags(write=False)
    for given in (X, pd.DataFrame(X), scipy.sparse.csc_array(X)):
        result = nmf_nets.factorize(given, 3, max_iter=5)
        assert isinstance(result.H, np.ndarray)
        assert result.H.dtype == result.W.dtype == dtype
        assert result.H.flags.c_contiguous
        assert result.W.flags.c_contiguous
    tensors = nmf_nets.factorize(torch.from_numpy(X.copy()), 3, max_iter=5)
    assert isinstance(tensors.W, torch.Tensor)
    np.testing.assert_array_equal(tensors.W.numpy(), nmf_nets.factorize(X, 3, max_iter=5).W)
    assert nmf_nets.factorize(X.astype(int), 3, max_iter=5).H.dtype == np.float32


def shapes_of_trouble():
    rank_deficient = np.outer(np.arange(1.0, 9), np.arange(1.0, 7))
    holes = data(12, 9)
    holes[3], holes[:, 5] = 0, 0
    return {
        "one row": data(1, 9),
        "one column": data(12, 1),
        "one entry": np.ones((1, 1)),
        "rank one": rank_deficient,
        "rows that stand twice": np.repeat(data(4, 6), 3, 0),
        "zero row and column": holes,
        "zeros": np.zeros((5, 4)),
        "more components than sides": data(3, 4),
    }


@pytest.mark.parametrize("name", shapes_of_trouble())
@pytest.mark.parametrize(("divergence", "solver"), EVERY)
def test_data_of_any_shape(divergence, solver, name):
    X = shapes_of_trouble()[name]
    most = 30 if solver in BEGINNING_ANEW else 200
    result = nmf_nets.factorize(X, 5, divergence=divergence, solver=solver, max_iter=most)
    assert np.isfinite(result.H).all()
    assert np.isfinite(result.W).all()
    assert (result.H >= 0).all()
    assert (result.W >= 0).all()
    size = (X**2).sum() if divergence == "frobenius" else X.sum()
    assert result.divergence_value <= 0.1 * size
    if name == "zero row and column":
        X_hat = result.H @ result.W
        assert X_hat[3].max() <= 1e-9 * X.max()
        assert X_hat[:, 5].max() <= 1e-9 * X.max()


# When it ends --------------------------------------------------------------------------------------------------------


def test_it_says_why_it_stopped():
    X = data()
    assert nmf_nets.factorize(X, 3, max_iter=7, tol=0).reason == "max_iter"
    assert nmf_nets.factorize(X, 3, tol=1e-3).reason == "tol"
    assert nmf_nets.factorize(X, 3, tol=0, kkt_tol=1e-2).reason == "kkt_tol"
    late = nmf_nets.factorize(X, 3, tol=0, max_iter=10**9, max_seconds=0.05)
    assert late.reason == "max_seconds"
    assert 0.05 <= late.history[-1].seconds < 1
    assert nmf_nets.factorize(X, 3, callback=lambda moment, factors: True).n_iter == 10
    assert nmf_nets.factorize(X, 3, callback=lambda moment, factors: True).reason == "callback"


def test_without_a_kkt_residual_the_run_is_the_same():
    asked, not_asked = (nmf_nets.factorize(data(), 3, tol=1e-6, kkt_tol=kkt_tol) for kkt_tol in (0.0, None))
    assert (asked.H == not_asked.H).all()
    assert [moment.loss for moment in asked.history] == [moment.loss for moment in not_asked.history]
    assert all(math.isnan(moment.kkt_residual) for moment in not_asked.history)
    assert all(moment.kkt_residual > 0 for moment in asked.history)


@pytest.mark.parametrize("every", [1, 5])
@pytest.mark.parametrize("rule", ["tol", "kkt_tol"])
def test_it_stops_at_the_first_look_that_says_so(rule, every):
    given = {"tol": 0, "max_iter": 10_000, "check_every": every, rule: {"tol": 1e-4, "kkt_tol": 1e-2}[rule]}
    result = nmf_nets.factorize(data(), 5, solver="hals", init="random", **given)
    looks = result.history
    if rule == "tol":
        satisfied = [a.loss - b.loss <= 1e-4 * every * b.loss for a, b in pairwise(looks)]
    else:
        satisfied = [moment.kkt_residual <= 1e-2 for moment in looks]
    assert result.reason == rule
    assert result.n_iter == looks[-1].iteration == every * len(looks)
    assert len(looks) > 2
    assert satisfied[-1]
    assert not any(satisfied[:-1])


def test_the_history_is_what_was_seen():
    X, seen = data(), []
    result = nmf_nets.factorize(
        X, 3, max_iter=35, tol=0, callback=lambda moment, factors: seen.append((moment, factors))
    )
    assert [moment.iteration for moment in result.history] == [10, 20, 30, 35]
    assert result.history == [moment for moment, _ in seen]
    assert all(a.seconds < b.seconds for a, b in pairwise(result.history))
    for moment, factors in seen:
        assert isinstance(factors, Factorization)
        assert moment.loss == pytest.approx(value(X, factors.H.numpy(), factors.W.numpy(), "frobenius"), rel=1e-12)
    assert result.n_iter == 35


@pytest.mark.process
def test_ctrl_c_returns_the_best_so_far():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    key = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))

    def press_soon(moment, factors):
        if moment.iteration == 10:  # all is compiled: the compiler may swallow an interrupt
            key.start()

    X = load_digits().data
    try:
        result = nmf_nets.factorize(X, 16, divergence="kullback_leibler", tol=0, max_iter=10**9, callback=press_soon)
    finally:
        signal.signal(signal.SIGINT, before)
    assert result.reason == "interrupted"
    assert result.divergence_value == pytest.approx(result.history[-1].loss, rel=0.05)


def test_progress_is_shown_and_gone(capsys):
    nmf_nets.factorize(data(), 3, max_iter=30, tol=0, progress=True)
    assert capsys.readouterr().err == ""


def test_seeds_and_generators():
    X = data()
    one, same, other = (nmf_nets.factorize(X, 3, init="random", seed=s, max_iter=3).H for s in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
    drawn = nmf_nets.factorize(X, 3, init="random", seed=torch.Generator().manual_seed(1), max_iter=3).H
    np.testing.assert_array_equal(drawn, one)


def test_a_solver_may_be_made_of_parts():
    made = Solver(HALS(), Effort(3), Extrapolation(b=0.3))
    result = nmf_nets.factorize(data(), 3, solver=made, max_iter=20)
    assert result.solver is made


def test_auto_is_the_fastest_that_serves():
    X = as_matrix(data())
    assert fastest(X, beta_divergence(2)) == "e-hals"
    assert fastest(X, beta_divergence(1)) == "e-newton"
    assert fastest(X, beta_divergence(0.5)) == "mu"
    for beta in (0, 0.5, 1, 2, 3):
        named("auto", X, beta_divergence(beta)).update.refuse(beta_divergence(beta))
    assert nmf_nets.factorize(data(), 3, divergence=1.5, max_iter=5).n_iter == 5


# What it refuses -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"n_components": 0}, "n_components must be an integer of at least 1, but is 0"),
        ({"solver": "sgd"}, "solver is 'sgd', but must be one of auto, mu, als"),
        ({"solver": "newton"}, "solver newton does not minimise divergence Frobenius; choose mu or als"),
        ({"divergence": "hinge"}, "divergence is 'hinge', but must be one of frobenius"),
        ({"init": "zeros"}, "init is 'zeros', but must be one of auto, random"),
        ({"init": "nndsvd", "n_components": 50}, "n_components is 50, but this init has no more than"),
        ({"tol": -1}, "tol must be a number of at least 0"),
        ({"max_iter": 0}, "max_iter must be an integer of at least 1"),
        ({"max_seconds": 0}, "max_seconds must be more than 0"),
        ({"l1_H": -1.0}, "l1_H must be a number of at least 0, but is -1"),
        ({"weights": np.ones((2, 2))}, r"weights must have the shape of X, \(60, 40\), but have \(2, 2\)"),
        ({"weights": -np.ones((60, 40))}, r"weights must be non-negative, but weights\[0, 0\] is -1"),
        ({"weights": np.zeros((60, 40))}, "weights must be positive somewhere"),
        ({"weights": np.ones((60, 40)), "solver": "als"}, "takes no weights; use hals or pivoting"),
        ({"frozen_W": True}, r"frozen_W keeps components as they started; give start="),
        ({"frozen_W": True, "frozen_H": True, "start": start()}, "leave nothing to fit"),
        ({"frozen_W": [True], "start": start()}, "frozen_W must be True, or True or False for each of 4 components"),
        ({"frozen_W": True, "start": (start()[0], None)}, "but start has no W"),
        ({"start": (None, None)}, "start is (None, None)"),
        ({"start": (start()[0][:5], None)}, r"H of start must have the shape \(60, 4\), but has \(5, 4\)"),
        ({"start": (-start()[0], start()[1])}, r"H must be non-negative, but H\[0, 0\]"),
        ({"start": (np.ones((60, 4)), np.ones((4, 40)))}, "all components of start are the same"),
        ({"divergence": "itakura_saito", "X": np.eye(5), "n_components": 2}, r"needs X > 0, but X\[0, 1\] is 0"),
        ({"X": np.full((3, 3), np.nan)}, r"X must be finite, but X\[0, 0\] is nan"),
        ({"X": np.ones(3)}, "X must have two dimensions"),
    ],
    ids=lambda part: None if isinstance(part, dict) else part[:30],
)
def test_what_cannot_be_used_gets_a_sentence(arguments, said):
    arguments = {"X": data(), "n_components": 4, **arguments}
    with pytest.raises(Refusal, match=said.replace("(None, None)", r"\(None, None\)")):
        nmf_nets.factorize(arguments.pop("X"), arguments.pop("n_components"), **arguments)


def test_every_name_makes_a_solver():
    for name, make in SOLVERS.items():
        assert isinstance(make(beta_divergence(2)), Solver), name

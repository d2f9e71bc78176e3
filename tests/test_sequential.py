from itertools import islice, pairwise

import numpy as np
import pytest
import scipy.sparse
import torch
from sklearn.datasets import load_digits

from nmf_nets.as_matrix import as_matrix
from nmf_nets.criterion import Criterion, Terms
from nmf_nets.divergences.beta import beta_divergence
from nmf_nets.factorization import Factorization
from nmf_nets.inits.random import random
from nmf_nets.metrics.relative_error import relative_error
from nmf_nets.penalties.l1 import L1
from nmf_nets.refusal import Refusal
from nmf_nets.sequential import Growth, appended, first_component
from nmf_nets.solver import Solver
from nmf_nets.solvers import named
from nmf_nets.updates.unconstrained import Unconstrained

MEMBERS = [
    (2, "e-hals"),
    (2, "hals"),
    (2, "mu"),
    (2, "anls-bpp"),
    (2, "als"),
    (1, "e-newton"),
    (1, "newton"),
    (1, "mu"),
]
FURTHER = [(0.5, "mu"), (1.5, "mu"), (3, "mu")]
every_member = pytest.mark.parametrize(("beta", "solver"), [*MEMBERS, *FURTHER])


def numbers(n: int = 40, m: int = 25, rank: int = 5, noise: float = 0.3) -> np.ndarray:
    """Noise around some components, with zeros, an empty row and an empty column."""
    chance = np.random.default_rng(0)
    A = chance.gamma(0.5, size=(n, rank)) @ chance.gamma(0.5, size=(rank, m))
    A *= chance.uniform(1 - noise, 1 + noise, (n, m))
    A *= (chance.random((n, m)) < 0.8) if noise else 1
    A[n // 2], A[:, m // 2] = 0, 0
    return A


def growth(beta: float, solver: str, X, iterations: int = 20, **terms: Terms) -> Growth:
    D = beta_divergence(beta)
    return Growth(named(solver, X, D), Criterion(D, **terms), iterations)


def totals(grown: Growth, X, n_components: int) -> list[float]:
    return [float(grown.criterion.total(X, factors)) for factors in grown.path(X, n_components)]


def check_falls(values: list[float]) -> None:
    assert all(after <= before * (1 + 1e-12) for before, after in pairwise(values)), values


@every_member
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_the_loss_falls_with_every_component(beta, solver, sparse):
    X = as_matrix(scipy.sparse.csr_array(numbers()) if sparse else numbers())
    values = totals(growth(beta, solver, X, 10), X, 6)
    check_falls(values)
    assert all(after < 0.995 * before for before, after in islice(pairwise(values), 4)), values


@every_member
def test_the_path_has_every_number_of_components_and_is_non_negative_and_finite(beta, solver):
    X = as_matrix(numbers())
    for k, factors in enumerate(growth(beta, solver, X, 5).path(X, 4), 1):
        assert factors.H.shape == (40, k)
        assert factors.W.shape == (k, 25)
        for M in (factors.H, factors.W):
            assert bool((M >= 0).all() & M.isfinite().all())
    assert k == 4


@every_member
@pytest.mark.parametrize("seed", range(3))
def test_no_append_raises_the_loss_wherever_it_is_made(beta, solver, seed):
    X = as_matrix(numbers())
    grown = growth(beta, solver, X)
    factors = random(X, 3, torch.Generator().manual_seed(seed))
    for size in (0.3, 1.0, 3.0):  # below X, about it, above it
        before = Factorization(size * factors.H, factors.W)
        after = appended(X, before, grown.criterion, grown.solver.update)
        check_falls([float(grown.criterion.total(X, factors)) for factors in (before, after)])
        assert torch.equal(after.H[:, :3], before.H)
        assert torch.equal(after.W[:3], before.W)


def test_where_nothing_is_left_a_component_is_zero_and_what_follows_as_well():
    X = as_matrix(np.full((6, 5), 2.0))
    grown = growth(2, "e-hals", X)
    above = Factorization(torch.full((6, 1), 3.0, dtype=torch.float64), torch.ones(1, 5, dtype=torch.float64))
    after = appended(X, above, grown.criterion, grown.solver.update)
    assert not (after.H[:, 1].any() and after.W[1].any())
    check_falls(totals(grown, X, 4))
    assert relative_error(X, list(grown.path(X, 4))[-1]) < 1e-12


@pytest.mark.parametrize(("beta", "solver"), [(2, "e-hals"), (2, "mu"), (1, "e-newton")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_more_components_than_the_rank_do_no_harm(beta, solver, dtype):
    X = as_matrix(numbers(rank=2, noise=0.0), dtype)
    *_, last = growth(beta, solver, X, 300).path(X, 6)
    assert bool(last.H.isfinite().all() & last.W.isfinite().all())
    assert relative_error(X, last) < 2e-3


@every_member
@pytest.mark.parametrize("shape", [(1, 7), (7, 1), (1, 1)])
def test_one_row_or_one_column_is_fitted_by_one_component(beta, solver, shape):
    X = as_matrix(np.random.default_rng(1).random(shape) + 0.1)
    for factors in growth(beta, solver, X, 50).path(X, 3):
        torch.testing.assert_close(factors.reconstruction, X.dense(), rtol=1e-6, atol=0)


@every_member
def test_data_of_zeros_have_a_path_of_zeros(beta, solver):
    for A in (np.zeros((6, 5)), scipy.sparse.csr_array((6, 5))):
        X = as_matrix(A)
        for factors in growth(beta, solver, X, 3).path(X, 3):
            assert not factors.reconstruction.any()
            assert bool(factors.H.isfinite().all() & factors.W.isfinite().all())


@pytest.mark.parametrize(("beta", "solver"), MEMBERS)
def test_sparse_data_have_the_path_of_dense_ones(beta, solver):
    dense, sparse = as_matrix(numbers()), as_matrix(scipy.sparse.csr_array(numbers()))
    grown = growth(beta, solver, dense, 5)
    for F, G in zip(grown.path(dense, 4), grown.path(sparse, 4), strict=True):
        torch.testing.assert_close(F.reconstruction, G.reconstruction, rtol=1e-6, atol=1e-8)


def test_sparse_data_are_never_made_dense(monkeypatch):
    X = as_matrix(scipy.sparse.random_array((300, 200), density=0.02, rng=np.random.default_rng(0)))
    monkeypatch.setattr(type(X), "dense", lambda self: pytest.fail("dense"))
    for beta, solver in ((2, "e-hals"), (1, "e-newton")):
        check_falls(totals(growth(beta, solver, X, 3), X, 3))


@every_member
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 2e-2)])
@pytest.mark.parametrize("c", [1e-8, 1e8])
def test_data_times_c_have_the_path_times_c(beta, solver, dtype, tolerance, c):
    X, Y = as_matrix(numbers(), dtype), as_matrix(c * numbers(), dtype)
    few = growth(beta, solver, X, 3)
    for F, G in zip(few.path(X, 3), few.path(Y, 3), strict=True):
        error = (F.reconstruction - G.reconstruction / c).norm() / F.reconstruction.norm()
        assert float(error) < tolerance


@pytest.mark.parametrize("solver", ["e-hals", "hals", "mu"])
def test_one_component_is_the_leading_singular_pair(solver):
    X = as_matrix(numbers())
    (one,) = growth(2, solver, X, 200).path(X, 1)
    U, s, Vt = torch.linalg.svd(X.dense())
    torch.testing.assert_close(one.reconstruction, s[0] * U[:, :1] @ Vt[:1], rtol=0, atol=1e-9)


@pytest.mark.parametrize("solver", ["e-newton", "newton", "mu"])
def test_one_kullback_leibler_component_is_the_model_of_independence(solver):
    A = numbers()
    X = as_matrix(A)
    independent = np.outer(A.sum(1), A.sum(0)) / A.sum()
    np.testing.assert_allclose(first_component(X).reconstruction.numpy(), independent, rtol=1e-12)
    (one,) = growth(1, solver, X, 20).path(X, 1)
    np.testing.assert_allclose(one.reconstruction.numpy(), independent, rtol=1e-8, atol=1e-12)


def test_the_append_is_the_best_code_on_a_singular_vector_of_the_residual():
    """‖R‖ falls at least by what |v| and [R |v|]₊ take from it; half-steps take more."""
    X = as_matrix(numbers())
    grown = growth(2, "hals", X)
    before = next(grown.path(X, 1))
    R = X.dense() - before.reconstruction
    w = torch.linalg.svd(R)[2][0].abs()
    bound = float(grown.criterion.total(X, before)) - 0.5 * float((R @ w).clamp(min=0).square().sum())
    after = appended(X, before, grown.criterion, grown.solver.update)
    assert float(grown.criterion.total(X, after)) <= bound * 1.001


@pytest.mark.parametrize(("beta", "solver"), [(2, "e-hals"), (1, "e-newton")])
def test_the_end_is_near_a_joint_fit(beta, solver):
    X = as_matrix(load_digits().data[:300])
    grown = growth(beta, solver, X, 30)
    *_, last = grown.path(X, 8)
    joint = [
        next(islice(grown.solver.iterates(X, random(X, 8, torch.Generator().manual_seed(seed))), 240, None))
        for seed in range(3)
    ]
    total = grown.criterion.total
    assert float(total(X, last)) < 1.02 * min(float(total(X, factors)) for factors in joint)


@pytest.mark.parametrize(("beta", "solver"), [(2, "hals"), (1, "newton"), (2, "mu"), (1, "mu")])
def test_with_weights_the_path_falls_and_what_is_not_observed_does_not_count(beta, solver):
    A, V = numbers(), (np.random.default_rng(1).random((40, 25)) < 0.8) * 2.0
    X, other = as_matrix(A, weights=V), as_matrix(np.where(V > 0, A, 99.0), weights=V)
    grown = growth(beta, solver, X, 5)
    check_falls(totals(grown, X, 4))
    for F, G in zip(grown.path(X, 4), grown.path(other, 4), strict=True):
        assert torch.equal(F.H, G.H)


@pytest.mark.parametrize(("beta", "solver"), [(2, "e-hals"), (1, "newton"), (2, "mu")])
def test_with_penalties_the_loss_that_falls_is_the_penalised_one(beta, solver):
    X = as_matrix(numbers())
    check_falls(totals(growth(beta, solver, X, 10, on_H=Terms((L1(0.05),)), on_W=Terms((L1(0.05),))), X, 5))


def test_a_path_takes_no_chance():
    X = as_matrix(numbers())
    before = torch.get_rng_state()
    one, other = (list(growth(2, "e-hals", X).path(X, 3))[-1] for _ in range(2))
    assert torch.equal(one.H, other.H)
    assert torch.equal(torch.get_rng_state(), before)


def test_what_cannot_grow_gets_a_sentence():
    X, D = as_matrix(numbers()), beta_divergence(2)
    grown = growth(2, "hals", X)
    with pytest.raises(Refusal, match="n_components must be an integer"):
        next(grown.path(X, 0))
    with pytest.raises(Refusal, match="negative entries"):
        next(grown.path(as_matrix(-numbers(), signed=True), 2))
    with pytest.raises(Refusal, match="cannot be frozen from the start"):
        next(growth(2, "hals", X, on_H=Terms(frozen=torch.tensor([True, False]))).path(X, 2))
    with pytest.raises(Refusal, match="iterations is 0"):
        next(growth(2, "hals", X, 0).path(X, 2))
    with pytest.raises(Refusal, match="does not minimise"):
        next(Growth(grown.solver, Criterion(beta_divergence(1))).path(X, 2))
    with pytest.raises(Refusal, match="keeps W ≥ 0"):
        next(Growth(Solver(grown.solver.update, update_W=Unconstrained()), Criterion(D)).path(X, 2))
    with pytest.raises(Refusal, match=r"X\[\d+, \d+\] is 0"):
        next(growth(0, "mu", X).path(X, 2))

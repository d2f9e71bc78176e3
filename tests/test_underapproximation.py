from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse
import torch

from nmf_nets.as_matrix import as_matrix
from nmf_nets.factorization import Factorization
from nmf_nets.multipliers import below
from nmf_nets.refusal import Refusal
from nmf_nets.underapproximation import Underapproximation

every_kind = pytest.mark.parametrize("tolerance", [0.0, 0.1, None])


def parts(noise: float = 0.2) -> np.ndarray:
    """Three parts of disjoint features under a background, with an empty row and an empty column."""
    chance = np.random.default_rng(0)
    W = np.kron(np.eye(3), np.ones((1, 8))) * chance.uniform(0.5, 1, (3, 24))
    A = chance.gamma(1.0, size=(40, 3)) @ W + noise * chance.random((40, 24))
    A[7], A[:, 5] = 0, 0
    return A


def path(A: np.ndarray, n_components: int = 4, tolerance: float | None = 0.0, dtype=torch.float64, steps: int = 50):
    return list(Underapproximation(steps, tolerance).path(as_matrix(A, dtype), n_components))


def residual(A: np.ndarray, factors: Factorization) -> np.ndarray:
    return A - factors.reconstruction.double().numpy()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("density", [0.3, 0.9, 1.0])
@pytest.mark.parametrize("tolerance", [0.0, 0.01, 0.3])
def test_no_entry_is_overshot_by_more_than_the_tolerance(seed, density, tolerance):
    chance = np.random.default_rng(seed)
    A = chance.gamma(0.5, size=(30, 20)) * (chance.random((30, 20)) < density)
    for factors in path(A, 6, tolerance):
        assert residual(A, factors).min() >= -tolerance * A.mean() - 1e-14 * A.max()
        assert tolerance or not factors.reconstruction.numpy()[A == 0].any()


@every_kind
def test_the_residual_falls_and_components_stay(tolerance):
    A = parts()
    R, seen = A, path(A, 5, tolerance)
    for before, after in pairwise(seen):
        assert torch.equal(after.H[:, : before.n_components], before.H)
        assert torch.equal(after.W[: before.n_components], before.W)
    errors = [np.square(A).sum()]
    for k, factors in enumerate(seen):
        R = np.maximum(R - np.outer(factors.H[:, k], factors.W[k]), 0)
        errors.append(np.square(R).sum())
    assert all(after <= before for before, after in pairwise(errors)), errors
    assert errors[3] < 0.5 * errors[0]


def test_as_published_the_overshoot_is_small():
    A = parts()
    for factors in path(A, 4, None, steps=200):
        over = np.maximum(-residual(A, factors), 0)
        assert 0 < np.square(over).sum() < 0.03 * np.square(A).sum()


def test_it_is_the_published_iteration():
    """Gillis & Glineur (2010), in numpy."""
    A, steps = parts(), 30
    U, s, Vt = np.linalg.svd(A)
    h, w = np.abs(U[:, 0]) * np.sqrt(s[0]), np.abs(Vt[0]) * np.sqrt(s[0])
    multipliers = np.maximum(np.outer(h, w) - A, 0)
    for t in range(1, steps + 1):
        left = A - multipliers
        h = np.maximum(left @ w, 0)
        h = h / h.max()
        w = np.maximum(left.T @ h, 0) / (h @ h)
        multipliers = np.maximum(multipliers - (A - np.outer(h, w)) / (t + 1), 0)
    (one,) = path(A, 1, None, steps=steps)
    np.testing.assert_allclose(one.reconstruction.numpy(), np.outer(h, w), rtol=1e-10, atol=1e-12)


def test_what_may_overshoot_more_leaves_less():
    A = np.random.default_rng(0).gamma(0.5, size=(40, 24))
    left = [np.square(np.maximum(residual(A, path(A, 6, tolerance)[-1]), 0)).sum() for tolerance in (0.0, 0.1, 0.5)]
    assert left[0] > left[1] > left[2]


def test_parts_of_rows_and_features_of_their_own_are_found_as_they_are():
    chance = np.random.default_rng(0)
    blocks = [size * np.outer(chance.random(6) + 0.1, chance.random(5) + 0.1) for size in (4, 2, 1)]
    A = scipy.sparse.block_diag(blocks).toarray()
    *_, last = path(A, 3)
    assert np.abs(residual(A, last)).max() < 1e-12
    assert (last.W > 0).sum(1).tolist() == [5, 5, 5]


def test_data_of_one_component_are_that_component():
    chance = np.random.default_rng(0)
    A = np.outer(chance.random(9) + 0.1, chance.random(7) + 0.1)
    for tolerance in (0.0, 0.1, None):
        np.testing.assert_allclose(path(A, 1, tolerance)[0].reconstruction.numpy(), A, rtol=1e-10)


@every_kind
@pytest.mark.parametrize("rank", [0, 1, 2])
def test_where_nothing_is_left_components_are_zero_or_rounding(rank, tolerance):
    A = np.kron(np.diag([3.0, 2.0][:rank] or [0.0]), np.ones((6, 5)))
    *_, last = path(A, 4, tolerance)
    for M in (last.H, last.W):
        assert bool(M.isfinite().all() & (M >= 0).all())
    if tolerance == 0:
        assert np.abs(residual(A, last)).max() <= 1e-13
    assert np.square(residual(A, last)).sum() <= 1e-6 * np.square(A).sum() + 1e-300


@every_kind
@pytest.mark.parametrize("shape", [(1, 7), (7, 1), (1, 1)])
def test_one_row_or_one_column(shape, tolerance):
    A = np.random.default_rng(1).random(shape) + 0.1
    for factors in path(A, 2, tolerance):
        np.testing.assert_allclose(factors.reconstruction.numpy(), A, rtol=1e-10)


@every_kind
@pytest.mark.parametrize(("dtype", "closeness"), [(torch.float64, 1e-8), (torch.float32, 1e-3)])
@pytest.mark.parametrize("c", [1e-8, 1e8])
def test_data_times_c_have_components_times_c(tolerance, dtype, closeness, c):
    (one,), (other,) = path(parts(), 1, tolerance, dtype), path(c * parts(), 1, tolerance, dtype)
    np.testing.assert_allclose(other.reconstruction / c, one.reconstruction, rtol=0, atol=closeness * parts().max())
    torch.testing.assert_close(torch.linalg.vector_norm(other.H), torch.linalg.vector_norm(other.W), rtol=1e-4, atol=0)


def test_a_component_that_fits_is_left_as_it_is_and_one_that_overshoots_is_not():
    R = torch.tensor([[4.0, 2.0], [2.0, 1.0]], dtype=torch.float64)
    fits = Factorization(torch.tensor([[2.0], [1.0]]).double(), torch.tensor([[2.0, 1.0]]).double())
    torch.testing.assert_close(below(R, fits, 0 * R[0, 0]).reconstruction, fits.reconstruction)
    over = Factorization(3 * fits.H, fits.W + 0.1)
    assert bool((below(R, over, 0 * R[0, 0]).reconstruction <= R * (1 + 1e-15)).all())


def test_what_cannot_be_underapproximated_gets_a_sentence():
    nmu, A = Underapproximation(), parts()
    for X, sentence in (
        (as_matrix(scipy.sparse.csr_array(A)), "give X dense"),
        (as_matrix(A, weights=np.ones_like(A)), "knows no weights"),
        (as_matrix(-A, signed=True), "negative entries"),
    ):
        with pytest.raises(Refusal, match=sentence):
            next(nmu.path(X, 2))
    for wrong, sentence in (
        (Underapproximation(0), "steps is 0"),
        (Underapproximation(1, -0.1), r"tolerance is -0\.1"),
    ):
        with pytest.raises(Refusal, match=sentence):
            next(wrong.path(as_matrix(A), 2))
    with pytest.raises(Refusal, match="n_components"):
        next(nmu.path(as_matrix(A), 0))


def test_data_are_left_as_they_are():
    A = parts()
    before = A.copy()
    A.flags.writeable = False
    path(A, 3)
    assert np.array_equal(A, before)

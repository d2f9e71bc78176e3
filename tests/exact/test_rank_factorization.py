import numpy as np
import pytest
import scipy.sparse
import torch

from nmf_nets.as_matrix import as_matrix
from nmf_nets.exact.rank_factorization import rank_factorization
from nmf_nets.exact.separable import separable
from nmf_nets.exact.successive_projection import successive_projection
from nmf_nets.refusal import Refusal
from nmf_nets.spectrum import numerical_rank

SQUARE = np.sqrt(2) * np.array([[0, 1, 1, 0], [0, 0, 1, 1], [1, 0, 0, 1], [1, 1, 0, 0]])
"""The slack matrix of the square: of rank 3, but four of its entries are a fooling set."""

every_form = pytest.mark.parametrize("form", [np.asarray, scipy.sparse.csr_array], ids=["dense", "sparse"])


def product(n: int, m: int, r: int, density: float = 0.5, seed: int = 0) -> np.ndarray:
    chance = np.random.default_rng(seed)
    H, W = (chance.random(shape) * (chance.random(shape) < density) for shape in ((n, r), (r, m)))
    return H @ W


def separable_rows(seed: int = 0) -> np.ndarray:
    chance = np.random.default_rng(seed)
    return np.concatenate([chance.dirichlet(np.ones(4), 30), np.eye(4)]) @ chance.random((4, 12))


EXACT = {
    "rows of X": separable_rows(),
    "columns of X": separable_rows(1).T.copy(),
    "starts": product(40, 30, 8, 0.3),
}


@pytest.mark.parametrize("method", EXACT)
@every_form
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_an_exact_factorization_is_found_and_said_how(method, form, scale):
    A = scale * EXACT[method]
    found = rank_factorization(as_matrix(form(A)))
    assert found.found
    assert found.method == method
    assert found.n_components == found.rank == np.linalg.matrix_rank(A)
    assert found.relative_residual <= 1e-12
    residual = np.linalg.norm(A - found.factors.reconstruction.numpy()) / np.linalg.norm(A)
    assert residual == pytest.approx(found.relative_residual, abs=1e-14)
    assert min(found.smallest) >= 0
    assert (found.starts > 0) == (method == "starts")
    torch.testing.assert_close(found.factors.H.norm(dim=0), found.factors.W.norm(dim=1))
    assert str(found).startswith(f"X, of rank {found.rank}, is H W with {found.rank} components, found from {method}: ")


@every_form
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_the_square_needs_four_components_and_has_no_three(form, scale):
    X = as_matrix(form(scale * SQUARE))
    four, three = rank_factorization(X, 4), rank_factorization(X, 3)
    assert four.found
    assert four.relative_residual <= 1e-12
    assert not three.found
    assert three.factors is None
    assert three.starts == 30
    assert three.relative_residual == pytest.approx(np.sin(np.pi / 8) / 2**0.5, abs=1e-6)
    assert three.relative_residual > np.sin(np.pi / 8) / 2**0.5 - 1e-12
    assert "best relative error after 30 starts is 0.27059" in str(three)
    assert rank_factorization(X) == three


def test_more_components_than_rank_are_found_among_the_rays():
    """Five rays in three dimensions: the pentagon has no exact product of three, but one of five."""
    angle = 2 * np.pi * np.arange(5) / 5
    W = np.stack([np.ones(5), 1 + 0.9 * np.cos(angle), 1 + 0.9 * np.sin(angle)], 1)
    chance = np.random.default_rng(0)
    X = np.concatenate([np.eye(5), chance.dirichlet(np.ones(5), 20)]) @ W @ chance.random((3, 8))
    found = rank_factorization(as_matrix(X), 5)
    assert (found.rank, found.method, found.found) == (3, "rows of X", True)


@pytest.mark.parametrize("seed", range(3))
def test_rank_two_is_always_found_among_the_rows(seed):
    chance = np.random.default_rng(seed)
    X = 1 + (2 * chance.random((20, 1)) - 1) @ (2 * chance.random((1, 15)) - 1)
    found = rank_factorization(as_matrix(X))
    assert (found.rank, found.method, found.found) == (2, "rows of X", True)


def test_a_monomial_submatrix_is_found_among_the_rows_and_the_columns():
    """X[I, J] = M monomial: X = X[:, J] M⁻¹ X[I], so that the rows I are the components and the columns J the codes."""
    chance = np.random.default_rng(1)
    W = np.concatenate([np.diag([1.0, 2, 3]), chance.random((3, 6))], 1)
    X = np.concatenate([np.eye(3), chance.random((10, 3))]) @ W
    found = separable(as_matrix(X), 3)
    J = successive_projection(as_matrix(X).T, 3).numpy()
    I = found.rows.numpy()
    assert sorted(I) == sorted(J) == [0, 1, 2]
    np.testing.assert_allclose(found.factors.H, X[:, J] @ np.linalg.inv(X[np.ix_(I, J)]), rtol=0, atol=1e-12)
    assert rank_factorization(as_matrix(X)).method == "rows of X"


def test_data_of_float32_are_exact_to_their_rounding():
    found = rank_factorization(as_matrix(product(30, 20, 4).astype(np.float32)))
    assert found.found
    assert found.rank == 4
    assert found.relative_residual < 1.2e-6


def test_with_min_of_n_and_m_components_x_is_its_own_factor():
    for shape in ((3, 5), (5, 3)):
        X = np.random.default_rng(2).random(shape)
        found = rank_factorization(as_matrix(X))
        assert found.found
        assert found.n_components == 3


def test_the_same_generator_is_the_same_certificate():
    X = as_matrix(product(40, 30, 8, 0.3))
    first, again = (rank_factorization(X, generator=torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first.factors.W, again.factors.W)


@pytest.mark.parametrize(
    ("A", "n_components", "said"),
    [
        (np.zeros((3, 4)), None, "X is 0 everywhere"),
        (SQUARE, 2, "n_components is 2, but X has rank 3: no product of fewer components is exact"),
        (SQUARE, 5, r"n_components is 5, but 4 = min\(n_samples, n_features\) are enough for X = X I"),
    ],
    ids=["zeros", "too few", "too many"],
)
def test_what_has_no_factors_to_look_for_is_refused(A, n_components, said):
    with pytest.raises(Refusal, match=said):
        rank_factorization(as_matrix(A), n_components)


def test_weights_are_refused():
    with pytest.raises(Refusal, match="X has weights"):
        rank_factorization(as_matrix(SQUARE, weights=np.ones((4, 4))))


@every_form
@pytest.mark.parametrize(("n", "m", "r"), [(30, 20, 4), (20, 30, 20), (40, 30, 12), (1, 5, 1), (5, 1, 1)])
def test_the_rank_is_that_of_numpy(form, n, m, r):
    A = product(n, m, r, 1.0)
    for scale in (1e-8, 1.0, 1e8):
        assert numerical_rank(as_matrix(form(scale * A))) == np.linalg.matrix_rank(A)
    assert numerical_rank(as_matrix(form(np.zeros((n, m))))) == 0

import numpy as np
import pytest
import scipy.sparse
import torch

from nmf_nets import spectrum
from nmf_nets.as_matrix import as_matrix
from nmf_nets.matrix import DenseMatrix
from nmf_nets.spectrum import truncated_svd


def noise(n: int, m: int, density: float = 1.0, seed: int = 0) -> np.ndarray:
    chance = np.random.default_rng(seed)
    return chance.random((n, m)) * (chance.random((n, m)) <= density)


def circulant(side: int = 60) -> np.ndarray:
    """Equal row and column sums: the vector of ones is a singular vector."""
    return sum(np.roll(np.eye(side), shift, axis=1) * w for shift, w in ((0, 1.0), (1, 2.0), (5, 0.5)))


def low_rank(n: int = 80, m: int = 60) -> np.ndarray:
    return noise(n, 2) @ noise(2, m, seed=1)


def iterative(A: np.ndarray, monkeypatch) -> list:
    """The same matrix in the two forms whose spectrum is found by iteration."""
    monkeypatch.setattr(spectrum, "SMALL", 0)
    return [as_matrix(A), as_matrix(scipy.sparse.csr_array(A))]


def check(X, k: int, A: np.ndarray) -> None:
    U, s, Vt = truncated_svd(X, k)
    k = min(k, *A.shape)
    true_U, true_s, true_Vt = np.linalg.svd(A, full_matrices=False)
    assert (U.shape, s.shape, Vt.shape) == ((len(A), k), (k,), (k, A.shape[1]))
    assert U.dtype == s.dtype == Vt.dtype == torch.float64
    tolerance = 1e-12 * max(true_s[0], 1e-300)
    np.testing.assert_allclose(s.numpy(), true_s[:k], rtol=0, atol=tolerance)
    assert bool((s.diff() <= 0).all())
    np.testing.assert_allclose((U.T @ U).numpy(), np.eye(k), rtol=0, atol=1e-10)
    np.testing.assert_allclose((Vt @ Vt.T).numpy(), np.eye(k), rtol=0, atol=1e-10)
    best = (true_U[:, :k] * true_s[:k]) @ true_Vt[:k]
    error = np.linalg.norm(A - ((U * s) @ Vt).numpy())
    assert error <= np.linalg.norm(A - best) + 10 * tolerance


SHAPES = [(30, 20), (20, 30), (50, 3), (3, 50), (1, 7), (7, 1), (1, 1)]


@pytest.mark.parametrize("density", [1.0, 0.3])
@pytest.mark.parametrize("n_components", [1, 2, 5, 19, 20, 21, 100])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_the_svd_of_numpy(shape, n_components, density):
    A = noise(*shape, density)
    check(as_matrix(A), n_components, A)
    check(as_matrix(scipy.sparse.csr_array(A)), n_components, A)


@pytest.mark.parametrize("n_components", [1, 4, 17])
@pytest.mark.parametrize("shape", [(60, 40), (40, 60), (25, 200)])
def test_iteration_finds_the_same_for_dense_and_sparse(shape, n_components, monkeypatch):
    A = noise(*shape, 0.4)
    for X in iterative(A, monkeypatch):
        check(X, n_components, A)


STRUCTURED = {
    "several equal blocks": np.kron(np.eye(6), noise(25, 20, 0.5)),
    "two equal blocks": np.kron(np.eye(2), noise(25, 20, 0.5)),
    "equal rows": np.repeat(noise(20, 30), 3, axis=0),
    "equal row and column sums": circulant(),
    "identity": np.eye(50),
    "identity, where no product is rounded": np.eye(64),
    "one-hot rows": np.repeat(np.eye(16), 4, axis=0),
    "rank two": low_rank(),
    "zero rows and columns": np.pad(noise(30, 30), 10),
    "all zero": np.zeros((50, 40)),
    "tiny": 1e-30 * noise(50, 40),
    "huge": 1e30 * noise(50, 40),
}


@pytest.mark.parametrize("n_components", [1, 3, 10])
@pytest.mark.parametrize("kind", STRUCTURED)
def test_structure_hides_no_component_from_the_iteration(kind, n_components, monkeypatch):
    A = STRUCTURED[kind]
    for X in iterative(A, monkeypatch):
        check(X, n_components, A)


@pytest.mark.parametrize("n_components", [1, 3, 10])
@pytest.mark.parametrize("kind", STRUCTURED)
def test_nor_from_the_gram_matrix(kind, n_components, monkeypatch):
    monkeypatch.setattr(spectrum, "TINY", 0)
    check(as_matrix(STRUCTURED[kind]), n_components, STRUCTURED[kind])


@pytest.mark.parametrize("decay", [0.5, 1e-3, 1e-5, 1e-6, 1e-9])
@pytest.mark.parametrize("shape", [(150, 400), (400, 150)])
def test_the_gram_matrix_is_left_where_it_resolves_too_little(shape, decay):
    k = 20
    Q, P = (np.linalg.qr(noise(side, 60, seed=side) - 0.5)[0] for side in shape)
    s = np.concatenate([np.geomspace(1, decay, k), decay * np.geomspace(0.5, 1e-3, 60 - k)])
    A = (Q * s) @ P.T
    check(as_matrix(np.abs(A)), k, np.abs(A))
    U, found, Vt = truncated_svd(DenseMatrix(torch.from_numpy(A)), k)
    np.testing.assert_allclose(found.numpy(), s[:k], rtol=1e-12 / decay)
    for ours, true in ((U, Q), (Vt.T, P)):
        cosines = np.abs((ours.numpy() * true[:, :k]).sum(0))
        np.testing.assert_allclose(cosines, 1, atol=1e-20 / decay**2 + 1e-12)


@pytest.mark.parametrize("kind", STRUCTURED)
def test_the_same_matrix_has_the_same_decomposition_bit_for_bit(kind, monkeypatch):
    for X in iterative(STRUCTURED[kind], monkeypatch):
        first, again = truncated_svd(X, 4), truncated_svd(X, 4)
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_float32_data_are_decomposed_in_float64(monkeypatch):
    A = noise(60, 40, 0.4).astype(np.float32)
    check(as_matrix(A), 5, A.astype(float))
    for X in iterative(A, monkeypatch):
        check(X, 5, A.astype(float))


def test_a_large_sparse_matrix_is_only_multiplied(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "to_dense", None)
    small = noise(40, 30, 0.4)
    A = scipy.sparse.block_diag([small, scipy.sparse.csr_array((100_000, 100_000))]).tocsr()
    _, s, _ = truncated_svd(as_matrix(A), 4)
    np.testing.assert_allclose(s.numpy(), np.linalg.svd(small)[1][:4], rtol=1e-12)

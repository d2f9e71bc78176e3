"""What NMF is to the singular value decomposition, k-means, spectral clustering and latent classes."""

from functools import partial

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from nmf_nets import factorize
from nmf_nets.as_matrix import as_matrix
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.divergences.kullback_leibler import KullbackLeibler
from nmf_nets.factorization import Factorization
from nmf_nets.inits.random import random
from nmf_nets.metrics.relative_error import relative_error
from nmf_nets.metrics.svd_excess import svd_error
from nmf_nets.solver import Solver
from nmf_nets.spectrum import truncated_svd
from nmf_nets.updates.assignment import Assignment
from nmf_nets.updates.hals import HALS
from nmf_nets.updates.multiplicative import Multiplicative

EXACT = partial(torch.testing.assert_close, rtol=1e-10, atol=1e-12)


def drawn(n: int = 40, m: int = 15, seed: int = 0, sparse: float = 0.0) -> torch.Tensor:
    """Positive, but for a part of zeros."""
    generator = torch.Generator().manual_seed(seed)
    X = torch.rand(n, m, generator=generator, dtype=torch.float64) + 0.01
    return X * (torch.rand(n, m, generator=generator) >= sparse)


def fitted(X: torch.Tensor, n_components: int, **how) -> Factorization:
    result = factorize(X, n_components, **{"max_iter": 2000, "tol": 0, **how})
    return Factorization(result.H, result.W)


def loss(X: torch.Tensor, H: torch.Tensor, W: torch.Tensor) -> torch.Tensor:
    return Frobenius().total(as_matrix(X), Factorization(H, W))


def indicators(labels: np.ndarray, r: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.as_tensor(labels).long(), r).double()


# The singular value decomposition -------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_components", [1, 2, 5, 15])
@pytest.mark.parametrize("sparse", [0.0, 0.6])
def test_no_factorization_comes_below_the_truncated_svd(n_components, sparse):
    X = drawn(sparse=sparse)
    error = relative_error(as_matrix(X), fitted(X, n_components))
    assert error >= svd_error(as_matrix(X), n_components) - 1e-7
    if n_components == 5:
        assert error > 1.001 * svd_error(as_matrix(X), n_components), "signs are worth something"


@pytest.mark.parametrize("sparse", [0.0, 0.6])
def test_one_component_is_the_first_pair_of_singular_vectors(sparse):
    """Perron and Frobenius: those of a non-negative matrix can be taken non-negative."""
    X = drawn(sparse=sparse)
    U, s, Vt = truncated_svd(as_matrix(X), 1)
    assert bool((U * U.sum().sign() >= -1e-12).all())
    assert bool((Vt * Vt.sum().sign() >= -1e-12).all())
    EXACT(fitted(X, 1).reconstruction, U * s @ Vt, rtol=1e-7, atol=1e-9)


def test_two_components_lose_nothing_where_the_truncated_svd_is_non_negative():
    """Cones in the plane have two edges, so rank 2 is non-negative rank 2. Source: Thomas (1974)."""
    X = drawn()
    U, s, Vt = truncated_svd(as_matrix(X), 2)
    best = U * s @ Vt
    assert bool((best >= 0).all())
    EXACT(fitted(X, 2).reconstruction, best, rtol=1e-5, atol=1e-6)


def test_all_further_singular_vectors_have_both_signs():
    """They are orthogonal to a positive one."""
    X = as_matrix(drawn())
    for M in (truncated_svd(X, 10)[0].T, truncated_svd(X, 10)[2]):
        assert bool(((M[1:] > 0).any(1) & (M[1:] < 0).any(1)).all())


def test_components_that_are_non_negative_are_orthogonal_only_if_they_share_no_feature():
    generator = torch.Generator().manual_seed(0)
    W = torch.rand(5, 30, generator=generator, dtype=torch.float64)
    apart = W * (W.amax(0) == W)
    for one in (W, apart):
        gram, shared = one @ one.T, (one > 0).double() @ (one > 0).double().T
        assert torch.equal(gram > 0, shared > 0)
    EXACT(apart @ apart.T, torch.diag(apart.square().sum(1)))


# k-means --------------------------------------------------------------------------------------------------------------


def test_codes_that_assign_have_the_loss_of_k_means():
    X = drawn(200, 8)
    found = KMeans(5, n_init=1, random_state=0).fit(X.numpy())
    H = indicators(found.labels_, 5)
    W = torch.linalg.lstsq(H, X).solution
    EXACT(W, torch.as_tensor(found.cluster_centers_))
    EXACT(loss(X, H, W), torch.tensor(found.inertia_ / 2, dtype=torch.float64))


def test_orthonormal_indicators_turn_k_means_into_a_trace():
    """½ ‖X − Z Zᵀ X‖² = ½ ‖X‖² − ½ tr Zᵀ X Xᵀ Z, and the best W is Zᵀ X; without Z ≥ 0 it is that of the SVD."""
    X, r = drawn(200, 8), 5
    found = KMeans(r, n_init=1, random_state=0).fit(X.numpy())
    H = indicators(found.labels_, r)
    Z = H / H.sum(0).sqrt()
    trace = 0.5 * (X.square().sum() - torch.trace(Z.T @ X @ X.T @ Z))
    EXACT(Z.T @ Z, torch.eye(r, dtype=torch.float64))
    EXACT(trace, torch.tensor(found.inertia_ / 2, dtype=torch.float64))
    EXACT(loss(X, Z, Z.T @ X), trace)
    bound = 0.5 * X.square().sum() * svd_error(as_matrix(X), r) ** 2
    assert bound < trace
    U = truncated_svd(as_matrix(X), r)[0]
    EXACT(loss(X, U, U.T @ X), bound, rtol=1e-8)


def test_orthogonal_codes_are_clusters_along_rays_below_k_means_and_above_nmf():
    X, r = drawn(200, 8), 5
    found = KMeans(r, n_init=1, random_state=0).fit(X.numpy())
    H, W = indicators(found.labels_, r), torch.as_tensor(found.cluster_centers_)
    rays = fitted(X, r, start=(H, W), solver=Solver(Assignment(), update_W=HALS()))
    assert bool(((rays.H > 0).sum(1) <= 1).all())
    gram = rays.H.T @ rays.H
    EXACT(gram, torch.diag(gram.diagonal()))
    free = fitted(X, r, start=(rays.H + 0.01, rays.W))
    of_rays, of_free = (loss(X, factors.H, factors.W) for factors in (rays, free))
    assert of_free < 0.99 * of_rays
    assert of_rays < 0.99 * found.inertia_ / 2


def test_the_component_of_a_cluster_along_a_ray_is_its_first_singular_vector():
    X, r = drawn(200, 8), 4
    rays = fitted(X, r, init="kmeans", solver=Solver(Assignment(), update_W=HALS()))
    for k in range(r):
        rows = X[rays.H[:, k] > 0]
        w = rays.W[k] / rays.W[k].norm()
        EXACT(w, truncated_svd(as_matrix(rows), 1)[2][0].abs(), rtol=1e-4, atol=1e-6)


# Spectral clustering --------------------------------------------------------------------------------------------------


def affinity(n: int = 60, r: int = 3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """A = D^−½ S D^−½ of a similarity S, and the square roots of the degrees."""
    block = torch.arange(n) * r // n
    S = drawn(n, n, seed) * torch.where(block[:, None] == block, 1.0, 0.1).double()
    S = S + S.T
    root = S.sum(1).sqrt()
    return S / torch.outer(root, root), root


def test_symmetric_nmf_and_spectral_clustering_relax_one_trace():
    """½ ‖A − Z Zᵀ‖² = ½ ‖A‖² + ½ r − tr Zᵀ A Z for orthonormal Z; and r − tr Zᵀ A Z is the normalised cut."""
    A, root = affinity()
    n, r = len(A), 3
    labels = np.random.default_rng(0).integers(r, size=n)
    weighted = indicators(labels, r) * root[:, None]
    Z = weighted / weighted.norm(dim=0)
    trace = torch.trace(Z.T @ A @ Z)
    EXACT(Z.T @ Z, torch.eye(r, dtype=torch.float64))
    EXACT(loss(A, Z, Z.T), 0.5 * A.square().sum() + 0.5 * r - trace)

    S, cut = A * torch.outer(root, root), 0.0
    for k in range(r):
        inside = torch.as_tensor(labels == k)
        cut += float(S[inside][:, ~inside].sum() / S[inside].sum())
    assert cut == pytest.approx(float(r - trace), rel=1e-10)


def test_where_signs_are_allowed_eigenvectors_are_best_for_both():
    """Orthonormal Z: Ky Fan. Free Z, A positive semidefinite: Eckart and Young, Z = U Λ^½, of the same span."""
    A, _ = affinity()
    A = A @ A
    values, vectors = torch.linalg.eigh(A)
    U, top = vectors[:, -3:], values[-3:]
    EXACT(torch.trace(U.T @ A @ U), top.sum())
    EXACT(loss(A, U * top.sqrt(), (U * top.sqrt()).T), 0.5 * values[:-3].square().sum(), rtol=1e-8)
    for seed in range(20):
        Q = torch.linalg.qr(drawn(len(A), 3, seed) - 0.5 * (seed % 2)).Q
        assert torch.trace(Q.T @ A @ Q) <= top.sum()
        assert loss(A, Q, Q.T) >= loss(A, U, U.T)
    assert bool((U[:, :-1].amin(0) < 0).all()), "but these are no clusters yet"


# Probabilities --------------------------------------------------------------------------------------------------------


def stationary(X: torch.Tensor, r: int) -> Factorization:
    return fitted(X, r, divergence="kullback_leibler", max_iter=5000, kkt_tol=1e-12, init="random")


def test_a_fixed_point_of_kl_keeps_the_totals_of_rows_and_columns():
    X = drawn(30, 12, sparse=0.4)
    X_hat = stationary(X, 3).reconstruction
    EXACT(X_hat.sum(1), X.sum(1), rtol=1e-6)
    EXACT(X_hat.sum(0), X.sum(0), rtol=1e-6)


def test_one_multiplicative_step_keeps_those_that_it_is_on():
    X = as_matrix(drawn(30, 12, sparse=0.4))
    start, step = random(X, 3, torch.Generator().manual_seed(0)), Multiplicative(KullbackLeibler())
    H = step(X, start.H, start.W)
    EXACT((H @ start.W).sum(1), X.dense().sum(1))
    W = step(X.T, start.W.T, H.T).T
    EXACT((H @ W).sum(0), X.dense().sum(0))
    assert float(((H @ W).sum(1) - X.dense().sum(1)).abs().max()) > 1e-6, "and not the others"


def test_factors_of_kl_are_probabilities_of_latent_classes():
    """X̂ / Σ X = Σ_k p(i | k) p(k) p(j | k), with marginals of X / Σ X, and p(k | i) the normalised codes."""
    X = drawn(30, 12, sparse=0.4)
    factors = stationary(X, 3)
    H, W, total = factors.H, factors.W, X.sum()
    mass = H.sum(0) * W.sum(1)
    p_k, p_i, p_j = mass / total, H / H.sum(0), W / W.sum(1, keepdim=True)
    EXACT(p_k.sum(), torch.tensor(1.0, dtype=torch.float64), rtol=1e-6)
    joint = (p_i * p_k) @ p_j
    EXACT(joint, factors.reconstruction / total)
    EXACT(joint.sum(1), X.sum(1) / total, rtol=1e-6)
    posterior = H * W.sum(1) / (H * W.sum(1)).sum(1, keepdim=True)
    EXACT(posterior, p_i * p_k / (p_i * p_k).sum(1, keepdim=True))
    EXACT(posterior.sum(1), torch.ones(30, dtype=torch.float64))
    EXACT(posterior @ p_j, joint / joint.sum(1, keepdim=True))


def test_kl_of_normalised_factors_is_the_likelihood_of_plsa():
    """D(X | X̂₁) − D(X | X̂₂) = Σ x (log p₂ − log p₁), whenever X̂ has the total of X."""
    X = drawn(30, 12, sparse=0.4)
    values, likelihoods = [], []
    for seed in range(2):
        factors = random(as_matrix(X), 3, torch.Generator().manual_seed(seed))
        joint = factors.reconstruction / factors.reconstruction.sum()
        scaled = Factorization(factors.H * (X.sum() / factors.reconstruction.sum()), factors.W)
        values.append(KullbackLeibler().total(as_matrix(X), scaled))
        likelihoods.append((X * joint.log()).sum())
    EXACT(values[0] - values[1], likelihoods[1] - likelihoods[0], rtol=1e-8)


def test_one_component_of_kl_is_independence():
    """x̂_ij = x_i· x_·j / x_··, the expected counts of the test of independence."""
    X = drawn(30, 12, sparse=0.4)
    EXACT(stationary(X, 1).reconstruction, torch.outer(X.sum(1), X.sum(0)) / X.sum(), rtol=1e-8, atol=1e-10)

"""Probabilistic latent semantic analysis is NMF with the Kullback–Leibler divergence."""

import numpy as np
import pytest
import scipy.sparse
import torch
from scipy.special import xlogy

import nmf_nets
from nmf_nets.as_matrix import as_matrix
from nmf_nets.benchmark.topics import plsa
from nmf_nets.divergences.kullback_leibler import KullbackLeibler
from nmf_nets.factorization import Factorization
from nmf_nets.metrics.topics import folded_in
from nmf_nets.updates.multiplicative import Multiplicative


def counts(n=40, m=25, r=3):
    chance = np.random.default_rng(0)
    X = chance.poisson(20 * chance.dirichlet(np.full(r, 0.3), n) @ chance.dirichlet(np.full(m, 0.2), r))
    return X[X.sum(1) > 0][:, X.sum(0) > 0].astype(float)


def start(X, r=3):
    chance = np.random.default_rng(1)
    theta, phi = 0.1 + chance.random((len(X), r)), 0.1 + chance.random((r, X.shape[1]))
    return theta / theta.sum(1, keepdims=True), phi / phi.sum(1, keepdims=True)


@pytest.mark.parametrize("form", [np.asarray, scipy.sparse.csr_array], ids=["dense", "sparse"])
def test_em_is_multiplicative_steps_on_both_factors_from_one_point_normalised(form):
    A = counts()
    X, update = as_matrix(form(A)), Multiplicative(KullbackLeibler())
    first = theta, phi = start(A)
    lengths = torch.from_numpy(A.sum(1, keepdims=True))
    H, W = lengths * torch.from_numpy(theta), torch.from_numpy(phi)
    for iteration in range(1, 101):
        theta, phi = plsa(A, theta, phi, 1)
        H, W = update(X, H, W), update(X.T, W.T, H.T).T
        W = W / W.sum(1, keepdim=True)
        np.testing.assert_allclose((H / lengths).numpy(), theta, rtol=0, atol=1e-10)
        np.testing.assert_allclose(W.numpy(), phi, rtol=0, atol=1e-10)
        if iteration in (1, 10, 100):
            lost = float(KullbackLeibler().total(X, Factorization(H, W)))
            likelihood = xlogy(A, theta @ phi).sum()
            assert lost == pytest.approx(xlogy(A, A / A.sum(1, keepdims=True)).sum() - likelihood, rel=1e-10)
    at_once = plsa(A, *first, 100)
    np.testing.assert_allclose(at_once[0], theta, rtol=0, atol=1e-12)


def test_both_come_to_the_same_optimum_from_the_same_start():
    A = counts()
    theta, phi = start(A)
    H = A.sum(1, keepdims=True) * theta
    found = nmf_nets.factorize(
        A, 3, divergence="kullback_leibler", solver="mu", start=(H, phi), tol=0, kkt_tol=1e-9, max_iter=20_000
    )
    theta, phi = plsa(A, theta, phi, 20_000)
    assert found.divergence_value == pytest.approx(
        float(
            KullbackLeibler().total(
                as_matrix(A),
                Factorization(*map(torch.from_numpy, (A.sum(1, keepdims=True) * theta, phi))),
            )
        ),
        rel=1e-10,
    )


def test_folding_in_without_a_prior_finds_the_best_codes():
    A = counts()
    _, phi = plsa(A, *start(A), 50)
    phi = 0.99 * phi + 0.01 / phi.shape[1]
    W = torch.from_numpy(phi)
    best = nmf_nets.factorize(
        as_matrix(A), 3, divergence="kullback_leibler", start=(None, W), frozen_W=True, tol=0, kkt_tol=1e-9
    ).H
    theta = folded_in(as_matrix(A), W, prior=0.0, iterations=3000)
    torch.testing.assert_close(theta, best / best.sum(1, keepdim=True), rtol=0, atol=1e-5)

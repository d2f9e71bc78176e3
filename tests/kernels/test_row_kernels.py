import numpy as np
import pytest
import scipy.sparse
import torch

from nmf_nets.as_matrix import as_matrix
from nmf_nets.divergences.base import floor
from nmf_nets.kernels.newton_columns import newton_columns, newton_columns_torch
from nmf_nets.kernels.transposed import add_ratios_, add_transposed_product_

N, M, R = 60, 23, 5


@pytest.fixture(params=[torch.float32, torch.float64], ids=str)
def dtype(request):
    return request.param


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).random(shape)


def sparse(dtype, weighted=False):
    X = np.where(numbers(N, M, seed=1) < 0.3, numbers(N, M, seed=2), 0)
    X[7], X[:, 3] = 0, 0
    weights = scipy.sparse.csr_array((numbers(N, M, seed=3) < 0.5) * numbers(N, M, seed=4)) if weighted else None
    return as_matrix(scipy.sparse.csr_array(X), dtype, weights=weights)


def factors(dtype):
    return torch.from_numpy(numbers(N, R, seed=5)).to(dtype), torch.from_numpy(numbers(R, M, seed=6)).to(dtype)


def tolerance(dtype):
    return {"rtol": 1e-12, "atol": 1e-13} if dtype == torch.float64 else {"rtol": 2e-5, "atol": 1e-6}


@pytest.mark.parametrize("threads", [1, 3])
def test_products_with_the_transpose_are_added_from_rows(dtype, threads, monkeypatch):
    monkeypatch.setattr("nmf_nets.kernels.transposed.use_threads", lambda work: threads)
    X, (H, _) = sparse(dtype), factors(dtype)
    values = X.values + 1
    total = torch.ones(M, R, dtype=torch.float64)
    add_transposed_product_(total, X, values, H)
    expected = 1 + (X.with_values(values).T @ H).double()
    torch.testing.assert_close(total, expected, **tolerance(dtype))


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("curved", [False, True], ids=["ratios", "squares"])
@pytest.mark.parametrize("held", [1, 200, 2**25])
def test_ratios_are_sums_over_rows_dense_and_sparse_however_few_are_held(dtype, weighted, curved, held, monkeypatch):
    monkeypatch.setattr("nmf_nets.kernels.transposed.SQUARES", held)
    monkeypatch.setattr("nmf_nets.kernels.transposed.HEIGHT", held)
    X, (H, W) = sparse(dtype, weighted), factors(dtype)
    v = None if X.weights is None else X.with_values(X.weights).dense()
    x, x_hat, h = X.dense().double(), (H @ W).double(), H.double()
    x = x if v is None else v * x
    k, l = torch.tril_indices(R, R)
    expected = 1 + (x / x_hat).T @ h, (x / x_hat**2).T @ (h[:, k] * h[:, l]), torch.xlogy(x, x_hat).sum()
    for each in (X, as_matrix(X.dense(), dtype, v)):
        N_, Q = torch.ones(M, R, dtype=torch.float64), torch.zeros(M, R * (R + 1) // 2, dtype=torch.float64)
        cross = add_ratios_(N_, Q if curved else None, each, H, W, floor(X))
        found = N_, Q, cross
        for one, other in zip(found, expected if curved else (expected[0], 0 * Q, expected[2]), strict=True):
            torch.testing.assert_close(one, other, **tolerance(dtype))


@pytest.mark.parametrize("linear", [0.0, 0.3])
@pytest.mark.parametrize("ridge", [0.0, 2.0])
@pytest.mark.parametrize("frozen", [None, torch.tensor([True, False, False, False, True])], ids=["free", "frozen"])
def test_newton_steps_are_those_in_plain_torch(linear, ridge, frozen):
    W, gradient = torch.from_numpy(numbers(M, R)), torch.from_numpy(numbers(M, R, seed=1) - 0.5)
    W[0, 0] = 0
    roots = torch.from_numpy(numbers(M, R, 9, seed=2))
    roots[4, 2] = 0  # no entry meets it
    k, l = torch.tril_indices(R, R)
    halves = (roots @ roots.mT)[:, k, l].contiguous()
    least = torch.full((M,), 0.5, dtype=torch.float64)
    step = newton_columns(W, gradient, halves, least, 10, linear, ridge, frozen)
    free = torch.ones(R, dtype=torch.bool) if frozen is None else ~frozen
    plain = newton_columns_torch(W, gradient + linear + ridge * W, halves, least, 10, ridge, free)
    torch.testing.assert_close(step, plain, rtol=1e-10, atol=1e-12)
    assert bool((step >= 0).all())
    assert not torch.equal(step, W)
    assert frozen is None or torch.equal(step[:, frozen], W[:, frozen])

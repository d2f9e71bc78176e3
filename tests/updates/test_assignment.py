from itertools import islice, pairwise

import pytest
import scipy.sparse
import torch
from torch import Tensor

from nmf_nets.as_matrix import as_matrix
from nmf_nets.criterion import Terms
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.factorization import Factorization
from nmf_nets.inits.random import random
from nmf_nets.penalties.l1 import L1
from nmf_nets.penalties.l2 import L2
from nmf_nets.refusal import Refusal
from nmf_nets.solver import Solver
from nmf_nets.updates.assignment import Assignment
from nmf_nets.updates.hals import HALS


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rows_of(A: Tensor) -> list:
    return [as_matrix(A), as_matrix(scipy.sparse.csr_array(A.numpy()))]


@pytest.mark.parametrize("penalties", [(), (L1(0.5), L2(0.3))], ids=["plain", "penalised"])
def test_codes_are_the_best_with_one_entry(penalties):
    A, W, terms = uniform(20, 7) * (uniform(20, 7, seed=1) > 0.3), uniform(4, 7, seed=2), Terms(penalties)
    linear, ridge = terms.coefficients
    costs = []
    for w in W:
        h = ((A @ w - linear) / (w @ w + ridge)).clamp(min=0)
        costs.append(0.5 * (A - h[:, None] * w).square().sum(1) + linear * h + 0.5 * ridge * h**2)
    least = torch.stack(costs, 1).min(1).values
    for X in rows_of(A):
        H = Assignment()(X, None, W, terms=terms)
        assert ((H > 0).sum(1) <= 1).all()
        cost = 0.5 * (A - H @ W).square().sum(1) + linear * H.sum(1) + 0.5 * ridge * H.square().sum(1)
        torch.testing.assert_close(cost, least, rtol=1e-12, atol=1e-12)


def test_with_hals_on_components_no_step_raises_the_divergence_and_codes_are_orthogonal():
    for X in rows_of(uniform(30, 12) ** 2):
        start = random(X, 4, torch.Generator().manual_seed(0))
        found = list(islice(Solver(Assignment(), update_W=HALS()).iterates(X, start), 30))
        values = [float(Frobenius().total(X, factors)) for factors in found]
        assert all(after <= before * (1 + 1e-12) for before, after in pairwise(values))
        gram = found[-1].H.T @ found[-1].H
        assert torch.equal(gram, gram.diagonal().diag())


def test_planted_orthogonal_factors_are_found():
    H = torch.zeros(30, 3, dtype=torch.float64)
    H[torch.arange(30), torch.arange(30) % 3] = 0.5 + uniform(30)
    W = uniform(3, 12, seed=1)
    X = as_matrix(H @ W)
    start = Factorization(H, W + 0.2 * uniform(3, 12, seed=2))
    found = next(islice(Solver(Assignment(), update_W=HALS()).iterates(X, start), 50, None))
    torch.testing.assert_close(found.reconstruction, X.dense(), rtol=1e-10, atol=1e-12)


def test_empty_rows_and_dead_components_have_no_codes():
    A, W = uniform(5, 4), uniform(3, 4, seed=1)
    A[2], W[1] = 0, 0
    H = Assignment()(as_matrix(A), None, W)
    assert not H[2].any()
    assert not H[:, 1].any()
    assert H.isfinite().all()


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_codes_scale_with_the_data(scale):
    A, W = uniform(20, 7), uniform(4, 7, seed=1)
    H, scaled = Assignment()(as_matrix(A), None, W), Assignment()(as_matrix(A * scale), None, W * scale**0.5)
    torch.testing.assert_close(scaled, H * scale**0.5, rtol=1e-12, atol=0)


def test_weights_are_refused():
    with pytest.raises(Refusal, match="assignment takes no weights"):
        Assignment()(as_matrix(uniform(3, 4), weights=uniform(3, 4, seed=1)), None, uniform(2, 4))

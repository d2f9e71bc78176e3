"""Semi-NMF: X and W of any sign, H ≥ 0."""

from functools import partial
from itertools import islice, pairwise

import numpy as np
import pytest
import scipy.sparse
import torch
from sklearn.cluster import KMeans
from torch import Tensor

from nmf_nets.as_matrix import as_matrix
from nmf_nets.constraints.free import Free
from nmf_nets.constraints.projected import Projected
from nmf_nets.criterion import Terms
from nmf_nets.data.clusters import Clusters
from nmf_nets.decoders.linear import Linear
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.divergences.kullback_leibler import KullbackLeibler
from nmf_nets.encoders.table import Table
from nmf_nets.encoders.unrolled import Unrolled
from nmf_nets.factorization import Factorization
from nmf_nets.fit import factorize
from nmf_nets.inits.random_codes import random_codes
from nmf_nets.loader import Batch
from nmf_nets.matrix import Matrix
from nmf_nets.metrics.kkt_residual import kkt_residual
from nmf_nets.modules.frobenius import FrobeniusNMF
from nmf_nets.optimizers.block import Block
from nmf_nets.penalties.l1 import L1
from nmf_nets.refusal import Refusal
from nmf_nets.solvers import SOLVERS
from nmf_nets.updates.multiplicative import Multiplicative
from nmf_nets.updates.pivoting import Pivoting
from nmf_nets.updates.semi_multiplicative import SemiMultiplicative
from nmf_nets.updates.unconstrained import Unconstrained

NAMES = ["semi", "semi-hals", "semi-anls"]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def signed_data(kind: str = "dense", scale: float = 1.0) -> Matrix:
    X = normal(40, 4).clamp(min=0) @ normal(4, 15, seed=1) + 0.1 * normal(40, 15, seed=2)
    X = torch.where(X.abs() < 0.3, 0, X) * scale
    return as_matrix(X if kind == "dense" else scipy.sparse.csr_array(X.numpy()), signed=True)


def start(X: Matrix) -> Factorization:
    return random_codes(X, 4, torch.Generator().manual_seed(3))


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("name", NAMES)
def test_no_solver_of_semi_nmf_raises_the_divergence_and_all_end_where_it_is_stationary(name, kind):
    X = signed_data(kind)
    path = list(islice(SOLVERS[name](Frobenius()).iterates(X, start(X)), 3000))
    values = [float(Frobenius().total(X, factors)) for factors in path]
    assert all(after <= before * (1 + 1e-12) for before, after in pairwise(values))
    assert bool((path[-1].H >= 0).all())
    assert bool((path[-1].W < 0).any())
    assert kkt_residual(X, path[-1], Frobenius()) < (3e-2 if name == "semi" else 1e-5)


@pytest.mark.parametrize("name", ["semi", "semi-anls"])  # how often HALS repeats depends on the number of values
def test_semi_nmf_of_sparse_data_is_that_of_dense_data(name):
    dense, sparse = (
        next(islice(SOLVERS[name](Frobenius()).iterates(signed_data(kind), start(signed_data())), 20, None))
        for kind in ("dense", "sparse")
    )
    torch.testing.assert_close(sparse.H, dense.H, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(sparse.W, dense.W, rtol=1e-9, atol=1e-9)


def test_the_multiplicative_step_is_that_of_its_source_without_the_root():
    X, H, W = signed_data(), normal(40, 4, seed=5).abs(), normal(4, 15, seed=6)
    B, G = X.dense() @ W.T, W @ W.T
    plus, minus = (lambda A: (A.abs() + A) / 2), (lambda A: (A.abs() - A) / 2)
    expected = H * (plus(B) + H @ minus(G)) / (minus(B) + H @ plus(G))
    torch.testing.assert_close(SemiMultiplicative()(X, H, W), expected, rtol=1e-12, atol=0)


def test_on_non_negative_data_the_multiplicative_step_is_that_of_lee_and_seung():
    X, H, W = as_matrix(normal(20, 9).abs()), normal(20, 3, seed=1).abs(), normal(3, 9, seed=2).abs()
    torch.testing.assert_close(SemiMultiplicative()(X, H, W), Multiplicative(Frobenius())(X, H, W), rtol=1e-12, atol=0)


def test_the_step_on_components_is_least_squares():
    X, H = signed_data(), normal(40, 4, seed=5).abs()
    expected = np.linalg.lstsq(H.numpy(), X.numpy(), rcond=None)[0]
    np.testing.assert_allclose(Unconstrained()(X.T, None, H.T).T.numpy(), expected, rtol=1e-9, atol=1e-12)
    H[:, 3] = H[:, 2]  # of several least squares the one of least norm
    expected = np.linalg.lstsq(H.numpy(), X.numpy(), rcond=None)[0]
    np.testing.assert_allclose(Unconstrained()(X.T, None, H.T).T.numpy(), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_semi_nmf_fits_no_worse_than_k_means_which_is_a_restriction_of_it(seed):
    data = Clusters(validation=0, test=0, dtype="float64", seed=seed)
    data.setup()
    X = data.training
    k_means = KMeans(6, n_init=10, random_state=0).fit(X.numpy())
    H = torch.nn.functional.one_hot(torch.from_numpy(k_means.labels_).long()).double()
    W = torch.from_numpy(k_means.cluster_centers_)
    assert float(Frobenius().total(X, Factorization(H, W))) == pytest.approx(k_means.inertia_ / 2)
    ours = min(factorize(X, 6, solver="semi-anls", seed=s, max_iter=100).divergence_value for s in range(3))
    assert ours < k_means.inertia_ / 2


@pytest.mark.parametrize("c", [1e-8, 1e8])
@pytest.mark.parametrize("name", NAMES)
def test_data_times_c_give_factors_times_its_root(name, c):
    one, scaled = (
        next(islice(SOLVERS[name](Frobenius()).iterates(signed_data(scale=s), start(signed_data(scale=s))), 10, None))
        for s in (1.0, c)
    )
    torch.testing.assert_close(scaled.H / c**0.5, one.H, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(scaled.W / c**0.5, one.W, rtol=1e-6, atol=1e-6)


def test_a_net_with_kept_exact_codes_and_free_components_is_the_alternating_solver():
    X = signed_data()
    begin = start(X)
    net = FrobeniusNMF(
        begin, Unrolled(begin, Pivoting()), Linear(begin, Free()), partial(Block, update=Unconstrained())
    )
    optimizer, batch = net.configure_optimizers(), Batch(X, torch.arange(40), 40)
    solver = SOLVERS["semi-anls"](Frobenius()).iterates(X, begin)
    for _ in range(10):
        optimizer.step(lambda: net.objective(batch))
        factors = next(solver)
        torch.testing.assert_close(net.decoder.W.detach(), factors.W, rtol=1e-10, atol=1e-10)
    assert bool((net.decoder.W < 0).any())


def test_the_front_door_admits_negative_entries_to_semi_nmf_alone():
    X = signed_data().numpy()
    result = factorize(X, 4, solver="semi-anls", max_iter=200)
    again = factorize(X, 4, solver="semi-anls", start=(result.H, result.W), max_iter=10)
    assert again.divergence_value <= result.divergence_value * (1 + 1e-9)
    codes = factorize(X, 4, solver="semi-anls", start=(None, result.W), frozen_W=True).H
    np.testing.assert_allclose(codes, factorize(X, 4, solver="semi-anls", start=(None, result.W), frozen_W=True).H)
    with pytest.raises(Refusal, match=r"X must be non-negative, but X\[0, 0\] is .*experiment=semi"):
        factorize(X, 4)
    with pytest.raises(Refusal, match="solver semi does not minimise divergence KullbackLeibler"):
        factorize(abs(X), 4, solver="semi", divergence="kullback_leibler")


def test_what_semi_nmf_cannot_serve_gets_a_sentence():
    X, begin = signed_data(), start(signed_data())
    with pytest.raises(Refusal, match="no divergence with β = 1"):
        KullbackLeibler().refuse(X)
    with pytest.raises(Refusal, match="use encoder=unrolled"):
        Block(Table(begin, Projected()), Linear(begin, Free()), Unconstrained())
    with pytest.raises(Refusal, match="Unconstrained cannot heed the penalty l1"):
        Unconstrained().refuse(Frobenius(), Terms((L1(1.0),)))
    with pytest.raises(Refusal, match="signed data take no weights"):
        as_matrix(X.dense(), weights=torch.ones(40, 15), signed=True)


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (6, 7)])
@pytest.mark.parametrize("name", NAMES)
def test_semi_nmf_of_any_shape_and_of_zero_rows(name, shape):
    X = normal(*shape)
    X[-1] = 0
    result = factorize(X, 3, solver=name, max_iter=50)
    assert bool(torch.isfinite(result.H).all() & torch.isfinite(result.W).all())

"""Convex NMF: W = C X."""

from itertools import pairwise

import pytest
import scipy.sparse
import torch
from torch import Tensor

from nmf_nets.as_matrix import as_matrix
from nmf_nets.constraints.projected import Projected
from nmf_nets.decoders.convex import Convex
from nmf_nets.divergences.beta import beta_divergence
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.encoders.linear import Linear as LinearEncoder
from nmf_nets.encoders.table import Table
from nmf_nets.encoders.unrolled import Unrolled
from nmf_nets.factorization import Factorization
from nmf_nets.inits.random import random
from nmf_nets.loader import Batch
from nmf_nets.matrix import Matrix
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder
from nmf_nets.optimizers.block import Block
from nmf_nets.optimizers.multiplicative import Multiplicative
from nmf_nets.refusal import Refusal
from nmf_nets.updates.hals import HALS


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def data(kind: str = "dense", scale: float = 1.0) -> Matrix:
    X = (uniform(40, 3) ** 3 @ uniform(3, 15, seed=1) ** 3) * (0.8 + 0.4 * uniform(40, 15, seed=2)) * scale
    X = torch.where(0.02 * scale > X, 0, X) if kind == "sparse" else X + 0.01 * scale
    return as_matrix(scipy.sparse.csr_array(X.numpy()) if kind == "sparse" else X)


def net_for(X: Matrix, beta: float = 2, encoder=Table) -> NonNegativeAutoencoder:
    start = random(X, 3, torch.Generator().manual_seed(0))
    made = Table(start, Projected()) if encoder is Table else Unrolled(start, HALS())
    return NonNegativeAutoencoder(made, Convex(start, Projected(), X), beta_divergence(beta), Multiplicative)


def trained(net: NonNegativeAutoencoder, X: Matrix, steps: int) -> list[float]:
    optimizer, batch = net.configure_optimizers(), Batch(X, torch.arange(X.shape[0]), X.shape[0])
    return [float(optimizer.step(lambda: net.objective(batch)).value()) for _ in range(steps)]  # pyright: ignore


def mixture(net: NonNegativeAutoencoder) -> Tensor:
    return net.decoder.mixture.value.detach()  # pyright: ignore


def test_a_table_with_multiplicative_steps_is_convex_nmf_as_its_authors_have_it():
    X = data()
    net = net_for(X)
    H, C, K = net.encoder.codes.value.detach(), mixture(net), X.dense() @ X.dense().T  # pyright: ignore
    for _ in range(10):
        H = H * (K @ C.T) / (H @ C @ K @ C.T)
        C = C * (H.T @ K) / (H.T @ H @ C @ K)
        trained(net, X, 1)
    torch.testing.assert_close(mixture(net), C, rtol=1e-10, atol=0)
    torch.testing.assert_close(net.own_factors(X).H, H, rtol=1e-10, atol=0)


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("encoder", [Table, Unrolled])
@pytest.mark.parametrize("beta", [0.5, 1, 2, 3])
def test_no_multiplicative_step_raises_the_divergence(beta, encoder, kind):
    if encoder is Unrolled and beta != 2:
        pytest.skip("HALS codes are of the Frobenius divergence")
    values = trained(net_for(data(kind), beta, encoder), data(kind), 50)
    assert all(after <= before * (1 + 1e-12) for before, after in pairwise(values))
    assert values[-1] < 0.5 * values[0]


def test_components_lie_in_the_hull_of_the_data():
    X = data()
    net = net_for(X)
    trained(net, X, 50)
    C = mixture(net)
    assert bool((C >= 0).all())
    weights = C / C.sum(1, keepdim=True)
    torch.testing.assert_close(net.decoder.W.detach() / C.sum(1, keepdim=True), weights @ X.dense())


def test_of_the_transpose_it_is_the_linear_encoder():
    """X ≈ X A W with the linear encoder, Xᵀ ≈ Wᵀ Aᵀ Xᵀ with the convex decoder: the same loss."""
    X, A, W = data(), uniform(15, 3, seed=4), uniform(3, 15, seed=5)
    linear = LinearEncoder(Factorization(X @ A, W), Projected())
    linear.A.assign_(A)
    one = Frobenius().total(X, Factorization(linear(X, W), W))
    convex = Convex(Factorization(W.T, X.dense().T[:3]), Projected(), X.T)
    convex.mixture.assign_(A.T)
    torch.testing.assert_close(Frobenius().total(X.T, Factorization(W.T, convex.W)), one)


def test_sparse_data_give_the_factors_of_dense_data():
    found = []
    for X in (data("sparse"), as_matrix(data("sparse").dense())):
        net = net_for(X)
        trained(net, X, 10)
        found.append(net.own_factors(X))
    torch.testing.assert_close(found[0].H, found[1].H)
    torch.testing.assert_close(found[0].W, found[1].W)


@pytest.mark.parametrize("c", [1e-8, 1e8])
def test_data_times_c_give_factors_times_its_root(c):
    found = []
    for scale in (1.0, c):
        X = data(scale=scale)
        net = net_for(X)
        trained(net, X, 10)
        factors = net.own_factors(X)
        found.append(factors.H @ factors.W / scale)
    torch.testing.assert_close(found[1], found[0], rtol=1e-8, atol=1e-12)


def test_what_convex_nmf_cannot_serve_gets_a_sentence():
    signed = as_matrix(uniform(5, 4) - 0.5, signed=True)
    with pytest.raises(Refusal, match="decoder=convex needs X ≥ 0"):
        Convex(Factorization(uniform(5, 2), uniform(2, 4)), Projected(), signed)
    X = data()
    start = random(X, 3, torch.Generator().manual_seed(0))
    with pytest.raises(Refusal, match="makes it of other weights"):
        Block(Unrolled(start, HALS()), Convex(start, Projected(), X), HALS())

"""Symmetric NMF: A ≈ H Hᵀ."""

import warnings
from functools import partial
from itertools import islice, pairwise

import numpy as np
import pytest
import scipy.sparse
import torch
from sklearn.cluster import SpectralClustering
from torch import Tensor

from nmf_nets.as_matrix import as_matrix
from nmf_nets.constraints.projected import Projected
from nmf_nets.data.similarities import Similarities
from nmf_nets.decoders.linear import Linear
from nmf_nets.divergences.beta import beta_divergence
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.encoders.symmetric import Symmetric
from nmf_nets.factorization import Factorization
from nmf_nets.inits.random import random
from nmf_nets.loader import Batch
from nmf_nets.matrix import Matrix
from nmf_nets.metrics.clustering import clustering_accuracy
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder
from nmf_nets.optimizers.adam import ProjectedAdam
from nmf_nets.optimizers.block import Block
from nmf_nets.optimizers.multiplicative import Multiplicative
from nmf_nets.refusal import Refusal
from nmf_nets.symmetric import SymmetricSolver
from nmf_nets.updates.hals import HALS


def planted(n: int = 30, r: int = 3) -> Tensor:
    """H with one entry in each row."""
    H = torch.rand(n, r, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.5
    return H * torch.nn.functional.one_hot(torch.arange(n) % r, r)


def net_for(X: Matrix, r: int, seed: int = 0, beta: float = 2, optimizer=Multiplicative) -> NonNegativeAutoencoder:
    start = random(X, r, torch.Generator().manual_seed(seed))
    return NonNegativeAutoencoder(Symmetric(start), Linear(start, Projected()), beta_divergence(beta), optimizer)


def trained(net: NonNegativeAutoencoder, X: Matrix, steps: int) -> list[float]:
    optimizer, batch = net.configure_optimizers(), Batch(X, torch.arange(X.shape[0]), X.shape[0])
    return [float(optimizer.step(lambda: net.objective(batch)).value()) for _ in range(steps)]  # pyright: ignore


@pytest.mark.parametrize("beta", [0.5, 1, 1.5, 2, 3])
def test_codes_are_the_components_and_no_multiplicative_step_raises_the_divergence(beta):
    H = planted() + 0.1
    X = as_matrix(H @ H.T + 0.05)
    net = net_for(X, 3, beta=beta)
    values = trained(net, X, 60)
    assert all(after <= before * (1 + 1e-12) for before, after in pairwise(values))
    factors = net.own_factors(X)
    torch.testing.assert_close(factors.H, factors.W.T)


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_the_net_and_the_solver_find_planted_factors(kind):
    H = planted()
    X = as_matrix(H @ H.T if kind == "dense" else scipy.sparse.csr_array((H @ H.T).numpy()))
    net = net_for(X, 3, seed=2)
    assert trained(net, X, 3000)[-1] < 1e-6 * float(X.square_norm)
    *_, found = islice(SymmetricSolver().iterates(X, random(X, 3, torch.Generator().manual_seed(2))), 600)
    assert float(Frobenius().total(X, found)) < 1e-9 * float(X.square_norm)
    order = found.H[:3].argmax(1)  # the components of the first three rows
    torch.testing.assert_close(found.H[:, order], H, rtol=1e-3, atol=1e-3)


def test_the_truth_is_a_fixed_point():
    H = planted() + 0.1
    X = as_matrix(H @ H.T)
    net = net_for(X, 3)
    net.decoder.assign_(H.T)  # pyright: ignore
    trained(net, X, 5)
    torch.testing.assert_close(net.decoder.W.detach(), H.T, rtol=1e-10, atol=0)


@pytest.mark.parametrize("c", [1e-8, 1e8])
def test_similarities_times_c_give_factors_times_its_root(c):
    H = planted() + 0.1
    one, scaled = (as_matrix((H @ H.T + 0.05) * s) for s in (1.0, c))
    begin = random(one, 3, torch.Generator().manual_seed(0))
    of_one = next(islice(SymmetricSolver().iterates(one, begin), 30, None))
    root = Factorization(begin.H * c**0.5, begin.W * c**0.5)
    of_scaled = next(islice(SymmetricSolver().iterates(scaled, root), 30, None))
    torch.testing.assert_close(of_scaled.H / c**0.5, of_one.H, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(
    "graph",
    [{"of": "moons"}, {"of": "moons", "noise": 0.1}, {"of": "blocks", "n_clusters": 4, "within": 0.25, "steps": 1}],
    ids=str,
)
def test_clusters_are_found_at_least_as_well_as_by_spectral_clustering(graph):
    ours, theirs = [], []
    for seed in range(3):
        data = Similarities(seed=seed, dtype="float64", **graph)
        data.setup()
        X, labels, r = data.training, data.dataset.labels, graph.get("n_clusters", 2)
        assert labels is not None
        runs = []
        for start in range(3):
            begin = random(X, r, torch.Generator().manual_seed(start))
            *_, found = islice(SymmetricSolver().iterates(X, begin), 150)
            runs.append((float(Frobenius().total(X, found)), found))
        best = min(runs, key=lambda run: run[0])[1]
        ours.append(clustering_accuracy(labels, best.H.argmax(1).numpy()))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # where the graph is not connected
            spectral = SpectralClustering(r, affinity="precomputed", random_state=0)
            theirs.append(clustering_accuracy(labels, spectral.fit_predict(np.asarray(data.graph.toarray()))))
    assert np.mean(ours) >= np.mean(theirs) - 0.005


def test_adam_trains_it_too():
    H = planted() + 0.1
    X = as_matrix(H @ H.T)
    values = trained(net_for(X, 3, optimizer=partial(ProjectedAdam, lr=0.03, net_lr=0.01)), X, 300)
    assert values[-1] < 0.05 * values[0]


@pytest.mark.untyped
def test_what_symmetric_nmf_cannot_serve_gets_a_sentence():
    square, wide = (as_matrix(torch.rand(6, m) + 0.1) for m in (6, 5))
    start = random(wide, 2, torch.Generator().manual_seed(0))
    with pytest.raises(Refusal, match=r"needs a square matrix .*\(6, 5\)"):
        Symmetric(start)
    with pytest.raises(Refusal, match="needs a square matrix"):
        next(SymmetricSolver().iterates(wide, start))
    net = net_for(square, 2)
    with pytest.raises(Refusal, match="training rows only"):
        net.factorize(square)
    begin = random(square, 2, torch.Generator().manual_seed(0))
    with pytest.raises(Refusal, match="made of W itself"):
        Block(Symmetric(begin), Linear(begin, Projected()), HALS())
    with pytest.raises(Refusal, match="cannot be held out"):
        Similarities(validation=0.1)
    with pytest.raises(Refusal, match="must be moons or blocks"):
        Similarities(of="rings")  # pyright: ignore
    with pytest.raises(Refusal, match="there are two moons"):
        Similarities(n_clusters=3)

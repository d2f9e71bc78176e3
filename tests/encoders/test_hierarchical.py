"""Neural NMF: codes level by level, and what every level learns through them."""

from copy import deepcopy
from functools import partial

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse
import torch
from torch import Tensor

from nmf_nets.as_matrix import as_matrix
from nmf_nets.constraints.projected import Projected
from nmf_nets.decoders.deep import Deep
from nmf_nets.decoders.linear import Linear
from nmf_nets.encoders.hierarchical import Hierarchical
from nmf_nets.inits.random import random
from nmf_nets.loader import Batch
from nmf_nets.matrix import DenseMatrix, Matrix
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder
from nmf_nets.modules.frobenius import FrobeniusNMF
from nmf_nets.modules.kullback_leibler import KullbackLeiblerNMF
from nmf_nets.optimizers.adam import ProjectedAdam
from nmf_nets.optimizers.block import Block
from nmf_nets.optimizers.multiplicative import Multiplicative
from nmf_nets.penalties.l1 import L1
from nmf_nets.refusal import Refusal
from nmf_nets.updates.hals import HALS
from nmf_nets.updates.scalar_newton import ScalarNewton

FORMS = {"frobenius": (FrobeniusNMF, HALS), "kullback_leibler": (KullbackLeiblerNMF, ScalarNewton)}
every_form = pytest.mark.parametrize("form", FORMS)
ADAM = partial(ProjectedAdam, lr=0.05, net_lr=0.05)


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def data(kind: str = "dense") -> Matrix:
    X = (uniform(40, 5) @ uniform(5, 16, seed=1)) * (0.5 + uniform(40, 16, seed=2))
    if kind == "masked":
        return DenseMatrix(X, (uniform(40, 16, seed=3) < 0.7).double())
    return as_matrix(X if kind == "dense" else scipy.sparse.csr_array((X * (uniform(40, 16, seed=3) < 0.7)).numpy()))


def net_of(X: Matrix, form: str, sizes=(7, 5), optimizer=ADAM, iterations: int = 30) -> NonNegativeAutoencoder:
    module, update = FORMS[form]
    start = random(X, 3, torch.Generator().manual_seed(0))
    decoder = Deep(start, Projected(), X, sizes, update(), random, iterations)
    encoder = Hierarchical(decoder.start_of_encoder(start), decoder, update(), 0.0, 20_000)
    return module(encoder=encoder, decoder=decoder, optimizer=optimizer)


def loss(net: NonNegativeAutoencoder, X: Matrix) -> float:
    return float(net.divergence.total(X, net.factorize(X)))


def trained(net: NonNegativeAutoencoder, X: Matrix, steps: int) -> NonNegativeAutoencoder:
    optimizer, batch = net.configure_optimizers(), Batch(X, torch.arange(X.shape[0]))
    for _ in range(steps):
        optimizer.step(lambda: net.objective(batch))
    return net


def test_codes_are_non_negative_least_squares_level_by_level():
    X = data()
    net = net_of(X, "frobenius")
    H = X.dense().numpy()
    for level in net.decoder.levels:
        W = level.detach().numpy()
        H = np.stack([scipy.optimize.nnls(W.T, h)[0] for h in H])
    torch.testing.assert_close(net.factorize(X).H, torch.from_numpy(H), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("kind", ["dense", "sparse", "masked"])
@every_form
def test_every_level_gets_the_gradient_of_the_loss_with_codes_that_follow(form, kind):
    X = data(kind)
    net = net_of(X, form)
    net.objective(Batch(X, torch.arange(40))).backward()
    unit = float(net.divergence.unit(X))
    for number, parameter in enumerate(net.decoder.parameters()):
        direction, before = 1e-6 * (uniform(*parameter.shape, seed=number) - 0.5), parameter.detach().clone()
        sides = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter.copy_(before + sign * direction * before.mean())
            sides.append(loss(net, X))
        with torch.no_grad():
            parameter.copy_(before)
        slope = float((parameter.grad * direction * before.mean()).sum())
        assert slope == pytest.approx((sides[0] - sides[1]) / 2 / unit, rel=1e-4)


@every_form
def test_training_goes_below_the_layer_wise_factorization_and_keeps_every_level_non_negative(form):
    X = data()
    net = net_of(X, form)
    layer_wise = loss(net, X)
    trained(net, X, 60)
    assert loss(net, X) < 0.98 * layer_wise
    assert all(bool((level >= 0).all()) for level in net.decoder.levels)


@pytest.mark.parametrize("c", [1e-8, 1e8])
@every_form
def test_data_times_c_give_factors_times_its_root(form, c):
    X, scaled = data(), as_matrix(c * data().dense())
    one, many = (trained(net_of(matrix, form), matrix, 5).factorize(matrix) for matrix in (X, scaled))
    torch.testing.assert_close(many.H @ many.W / c, one.H @ one.W, rtol=1e-6, atol=1e-9)


def test_a_copy_of_a_net_codes_on_its_own_levels():
    X = data()
    net = net_of(X, "frobenius")
    before, copy = net.factorize(X).H, deepcopy(net)
    trained(copy, X, 3)
    torch.testing.assert_close(net.factorize(X).H, before)
    assert not torch.allclose(copy.factorize(X).H, before)
    assert not list(net.encoder.parameters())


def test_a_row_of_zeros_has_codes_of_zero_and_harms_no_gradient():
    dense = data().dense()
    dense[3] = 0
    X = as_matrix(dense)
    net = trained(net_of(X, "frobenius"), X, 3)
    assert bool((net.factorize(X).H[3] == 0).all())
    assert all(bool(parameter.isfinite().all()) for parameter in net.parameters())


def test_what_it_cannot_be_used_with_gets_a_sentence():
    X = data()
    start = random(X, 3, torch.Generator().manual_seed(0))
    with pytest.raises(Refusal, match="decoder=linear has one level; use decoder=deep"):
        Hierarchical(start, Linear(start, Projected()), HALS())
    with pytest.raises(Refusal, match=r"slope in W is ≥ 0.*use optimizer=adam"):
        net_of(X, "frobenius", optimizer=Multiplicative).configure_optimizers()
    with pytest.raises(Refusal, match="makes it of other weights"):
        net_of(X, "frobenius", optimizer=partial(Block, update=HALS())).configure_optimizers()
    net = net_of(X, "frobenius")
    with pytest.raises(Refusal, match="knows no penalties on H"):
        NonNegativeAutoencoder(net.encoder, net.decoder, net.divergence, ADAM, penalties_H=[L1(1.0)])

import pytest
import torch

from nmf_nets.as_matrix import as_matrix
from nmf_nets.constraints.projected import Projected
from nmf_nets.decoders.linear import Linear
from nmf_nets.divergences.kullback_leibler import KullbackLeibler
from nmf_nets.encoders.table import Table
from nmf_nets.encoders.unrolled import Unrolled
from nmf_nets.inits.random import random
from nmf_nets.loader import Batch
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder
from nmf_nets.modules.frobenius import FrobeniusNMF
from nmf_nets.optimizers.underapproximating import Underapproximating
from nmf_nets.penalties.l1 import L1
from nmf_nets.refusal import Refusal
from nmf_nets.underapproximation import Underapproximation
from nmf_nets.updates.hals import HALS

STEPS = 20


def data():
    return as_matrix(torch.rand(15, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64) ** 3)


def net_and_step(X, tolerance=0.0, n_components=3):
    start = random(X, n_components, torch.Generator().manual_seed(1))
    net = FrobeniusNMF(start, Table(start, Projected()), Linear(start, Projected()))
    return net, Underapproximating(net.encoder, net.decoder, STEPS, tolerance)


def trained(net, optimizer, X, steps):
    batch = Batch(X, torch.arange(X.shape[0]), X.shape[0])
    for _ in range(steps):
        optimizer.step(lambda: net.objective(batch))
    return net.own_factors(X)


@pytest.mark.parametrize("tolerance", [0.0, 0.1, None])
@pytest.mark.parametrize("size", [1.0, 1e-8, 1e8])
def test_a_table_with_these_steps_is_underapproximation(tolerance, size):
    X = as_matrix(size * data().dense())
    path = list(Underapproximation(STEPS, tolerance).path(X, 3))
    net, optimizer = net_and_step(X, tolerance)
    for k, classical in enumerate(path, 1):
        own = trained(net, optimizer, X, STEPS)
        torch.testing.assert_close(own.H[:, :k], classical.H, rtol=1e-7, atol=1e-9 * size**0.5)
        torch.testing.assert_close(own.W[:k], classical.W, rtol=1e-7, atol=1e-9 * size**0.5)
        assert not own.H[:, k:].any(), "those to come are nothing"
        assert not own.W[k:].any()
    assert torch.equal(trained(net, optimizer, X, 5).W, own.W), "and then it is over"


def test_what_was_saved_goes_on_bitwise():
    X = data()
    whole = trained(*net_and_step(X), X, 50)
    net, optimizer = net_and_step(X)
    trained(net, optimizer, X, 27)
    again, resumed = net_and_step(X)
    again.load_state_dict(net.state_dict())
    resumed.load_state_dict(optimizer.state_dict())
    assert torch.equal(trained(again, resumed, X, 23).W, whole.W)


def test_what_cannot_be_served_gets_a_sentence():
    X = data()
    start = random(X, 3, torch.Generator().manual_seed(1))
    table, linear = Table(start, Projected()), Linear(start, Projected())
    with pytest.raises(Refusal, match="use encoder=table"):
        Underapproximating(Unrolled(start, HALS()), linear)
    for net, batch, sentence in (
        (FrobeniusNMF(start, table, linear), Batch(X.span(0, 5), torch.arange(5), 15), "all rows at once"),
        (FrobeniusNMF(start, table, linear, penalties_H=[L1(1.0)]), Batch(X, torch.arange(15), 15), "no penalty"),
        (
            NonNegativeAutoencoder(table, linear, KullbackLeibler(), Underapproximating),
            Batch(X, torch.arange(15), 15),
            "divergence=frobenius",
        ),
    ):
        step = Underapproximating(table, linear).step
        with pytest.raises(Refusal, match=sentence):
            step(lambda: net.objective(batch))  # noqa: B023

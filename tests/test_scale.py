"""X · c gives the same factors up to scale: nets and solvers, both divergences, in float32."""

from functools import partial
from itertools import islice

import pytest
import torch
from sklearn.datasets import load_digits

from nmf_nets.as_matrix import as_matrix
from nmf_nets.constraints.projected import Projected
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.divergences.kullback_leibler import KullbackLeibler
from nmf_nets.encoders.exact import Exact
from nmf_nets.encoders.linear import Linear
from nmf_nets.encoders.lista import LISTA
from nmf_nets.encoders.mlp import MLP
from nmf_nets.encoders.projective import Projective
from nmf_nets.encoders.refined import Refined
from nmf_nets.encoders.table import Table
from nmf_nets.encoders.unrolled import Unrolled
from nmf_nets.factorization import Factorization
from nmf_nets.inits.random import random
from nmf_nets.loader import ResidentLoader
from nmf_nets.matrix import DenseMatrix
from nmf_nets.modules.frobenius import FrobeniusNMF
from nmf_nets.modules.kullback_leibler import KullbackLeiblerNMF
from nmf_nets.optimizers.adam import ProjectedAdam
from nmf_nets.optimizers.multiplicative import Multiplicative
from nmf_nets.solver import Solver
from nmf_nets.updates import hals, multiplicative, scalar_newton

X = as_matrix(load_digits().data[:300, 1:], torch.float32)
ENCODERS = {
    "table": lambda start, divergence, update: Table(start, Projected()),
    "linear": lambda start, divergence, update: Linear(start, Projected()),
    "projective": lambda start, divergence, update: Projective(start, Projected()),
    "mlp": lambda start, divergence, update: MLP(start, divergence),
    "lista": lambda start, divergence, update: LISTA(start, divergence, 2),
    "refined": lambda start, divergence, update: Refined(start, lambda start: MLP(start, divergence), update),
    "unrolled": lambda start, divergence, update: Unrolled(start, update),
    "unrolled, cold": lambda start, divergence, update: Unrolled(start, update, warm=0),
    "exact": lambda start, divergence, update: Exact(start, update),
}
FORMS = {
    "frobenius": (FrobeniusNMF, Frobenius(), hals.HALS()),
    "kullback_leibler": (KullbackLeiblerNMF, KullbackLeibler(), scalar_newton.ScalarNewton()),
}


def scaled(c):
    return DenseMatrix(X.values * c)


def start_of(data):
    return random(data, 6, torch.Generator().manual_seed(0))


def trained(c, form, encoder, optimizer, epochs=15):
    module, divergence, update = FORMS[form]
    data = scaled(c)
    start = start_of(data)
    net = module(start, encoder=ENCODERS[encoder](start, divergence, update), optimizer=optimizer)
    steps = net.configure_optimizers()
    for _ in range(epochs):
        for batch in ResidentLoader(data):
            steps.step(lambda batch=batch: net.objective(batch))
    return net.own_factors(data)


def same_up_to_scale(factors: Factorization, reference: Factorization, c):
    for M, R in ((factors.H, reference.H), (factors.W, reference.W)):
        torch.testing.assert_close(M.double() / c**0.5, R.double(), rtol=0, atol=2e-3 * float(R.max()))


@pytest.mark.parametrize("c", [1e-8, 1e8])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("encoder", "optimizer"),
    [(encoder, None) for encoder in ENCODERS if encoder != "projective"]
    + [(encoder, Multiplicative) for encoder in ("table", "linear", "projective")]
    + [(encoder, partial(ProjectedAdam, lr=0.1, net_lr=3e-3)) for encoder in ("table", "linear", "mlp", "unrolled")],
)
def test_nets(form, encoder, optimizer, c):
    same_up_to_scale(trained(c, form, encoder, optimizer), trained(1.0, form, encoder, optimizer), c)


@pytest.mark.parametrize("c", [1e-8, 1e8])
@pytest.mark.parametrize(
    "update",
    [
        hals.HALS(),
        scalar_newton.ScalarNewton(),
        multiplicative.Multiplicative(Frobenius()),
        multiplicative.Multiplicative(KullbackLeibler()),
    ],
)
def test_solvers(update, c):
    def solved(c):
        data = scaled(c)
        return next(islice(Solver(update).iterates(data, start_of(data)), 14, None))

    same_up_to_scale(solved(c), solved(1.0), c)

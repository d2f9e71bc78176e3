"""Non-negative sparse coding: an L1 penalty with components in the unit ball, and components of a given sparseness."""

import math
from functools import partial
from itertools import islice, pairwise

import numpy as np
import pytest
import torch
from sklearn.decomposition import sparse_encode
from torch import Tensor

from nmf_nets.as_matrix import as_matrix
from nmf_nets.constraints.base import Constraint
from nmf_nets.constraints.hoyer import Hoyer as HoyerConstraint
from nmf_nets.constraints.hoyer import with_sparseness
from nmf_nets.constraints.unit_norm import UnitNorm, in_unit_ball
from nmf_nets.criterion import Criterion, Terms
from nmf_nets.decoders.linear import Linear
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.encoders.exact import Exact
from nmf_nets.encoders.unrolled import Unrolled
from nmf_nets.factorization import Factorization
from nmf_nets.inits.random import random
from nmf_nets.loader import Batch
from nmf_nets.metrics.sparseness import hoyer_sparseness
from nmf_nets.modules.frobenius import FrobeniusNMF
from nmf_nets.optimizers.adam import ProjectedAdam
from nmf_nets.optimizers.block import Block
from nmf_nets.penalties.l1 import L1
from nmf_nets.refusal import Refusal
from nmf_nets.solver import Solver
from nmf_nets.updates.base import Update
from nmf_nets.updates.hals import HALS
from nmf_nets.updates.hoyer import Hoyer
from nmf_nets.updates.unit_ball import UnitBall
from nmf_nets.weight import Weight

SPARSE = Terms((L1(0.3),))


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def data(scale: float = 1.0) -> Tensor:
    return (uniform(60, 4) ** 3 @ uniform(4, 25, seed=1) ** 3 + 0.05 * uniform(60, 25, seed=2)) * scale


def hoyers_loop(x: np.ndarray, sparseness: float) -> np.ndarray:
    """As the source has it: onto the plane of the sum, from its middle onto the sphere, negative entries to zero."""
    n, norm = len(x), np.linalg.norm(np.maximum(x, 0))
    total = (math.sqrt(n) - (math.sqrt(n) - 1) * sparseness) * norm
    v, gone = x + (total - x.sum()) / n, np.zeros(n, bool)
    while True:
        middle = np.where(gone, 0, total / (n - gone.sum()))
        w = v - middle
        a, b, c = w @ w, 2 * w @ v, v @ v - norm**2
        v = v + w * (-b + math.sqrt(max(b * b - 4 * a * c, 0))) / (2 * a)
        if (v >= -1e-15).all():
            return v
        gone |= v <= 0
        v[gone] = 0
        v[~gone] -= (v.sum() - total) / (~gone).sum()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sparseness", [0.0, 0.1, 0.5, 0.9, 0.99, 1.0])
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_the_sparseness_asked_for_is_the_sparseness_got(sparseness, dtype, scale):
    M = (uniform(50, 40) - 0.3).to(dtype) * scale
    found = with_sparseness(M, sparseness)
    assert bool((found >= 0).all())
    assert float((hoyer_sparseness(found.double()) - sparseness).abs().max()) < 1e-7
    torch.testing.assert_close(
        torch.linalg.vector_norm(found, dim=1), torch.linalg.vector_norm(M.clamp(min=0), dim=1), rtol=1e-6, atol=0
    )


@pytest.mark.parametrize("sparseness", [0.2, 0.5, 0.8])
def test_the_projection_is_that_of_hoyers_loop(sparseness):
    for row in uniform(30, 20, seed=4):
        expected = hoyers_loop(row.numpy(), sparseness)
        np.testing.assert_allclose(with_sparseness(row[None], sparseness)[0].numpy(), expected, atol=1e-8)


@pytest.mark.parametrize(
    "row", [[1.0] * 6, [1.0, 1, 0, 0, 0, 0], [1.0, 0, 0, 0, 0, 0], [2.0, 2, 2, 1, 1, 1], [0.0, 0, 0, 0, 0, 3]]
)
@pytest.mark.parametrize("sparseness", [0.3, 0.7, 1.0])
def test_rows_with_ties_and_zeros_get_the_sparseness_too(row, sparseness):
    found = with_sparseness(torch.tensor([row], dtype=torch.float64), sparseness)
    assert float(hoyer_sparseness(found)) == pytest.approx(sparseness, abs=1e-9)


def test_a_projected_row_stays_and_rows_without_positive_entries_become_zero():
    once = with_sparseness(uniform(5000, 12), 0.6)
    torch.testing.assert_close(with_sparseness(once, 0.6), once, rtol=1e-9, atol=1e-11)
    assert with_sparseness(torch.tensor([[-1.0, -2], [0, 0]]), 0.5).tolist() == [[0, 0], [0, 0]]
    assert with_sparseness(torch.tensor([[3.0]]), 0.5).tolist() == [[3.0]]


@pytest.mark.parametrize("constraint", [UnitNorm(), HoyerConstraint(0.6)], ids=["unit_norm", "hoyer"])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_what_a_constrained_weight_is_given_comes_back_where_it_is_allowed(constraint: Constraint, scale):
    start = scale * uniform(3, 8)
    weight = Weight(start, constraint)
    allowed = weight.value.detach()
    weight.assign_(allowed)
    torch.testing.assert_close(weight.value, allowed, rtol=1e-7, atol=0)
    with torch.no_grad():
        weight.theta += 5 * (uniform(3, 8, seed=1) - 0.5)
    weight.project_()
    once = weight.value.detach().clone()
    weight.project_()
    torch.testing.assert_close(weight.value, once, rtol=1e-7, atol=1e-9)
    assert bool((once >= 0).all())
    if isinstance(constraint, UnitNorm):
        assert float(torch.linalg.vector_norm(once, dim=1).max()) <= 1 + 1e-12
    else:
        torch.testing.assert_close(hoyer_sparseness(once), torch.full((3,), 0.6, dtype=torch.float64))


def test_the_unit_ball_is_projected_on():
    rows = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    torch.testing.assert_close(in_unit_ball(rows), torch.tensor([[0.6, 0.8], [0.3, 0.4], [0.0, 0.0]]))
    assert torch.autograd.gradcheck(UnitNorm().forward, (3 * uniform(3, 8) + 0.1).requires_grad_())


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(("update", "terms"), [(UnitBall(), SPARSE), (Hoyer(0.6), Terms())], ids=["unit ball", "hoyer"])
def test_no_iteration_raises_what_sparse_coding_minimises(update: Update, terms, sparse):
    X = as_matrix(data()) if not sparse else as_matrix(torch.where(data() < 0.2, 0, data()).to_sparse())
    criterion = Criterion(Frobenius(), terms)
    start = random(X, 4, torch.Generator().manual_seed(0))
    path = list(islice(Solver(HALS(), update_W=update).iterates(X, start, terms), 200))
    values = [float(criterion.total(X, factors)) for factors in path]
    assert all(after <= before * (1 + 1e-12) for before, after in pairwise(values))
    assert values[-1] < 0.9 * values[0]
    W = path[-1].W
    if isinstance(update, UnitBall):
        torch.testing.assert_close(torch.linalg.vector_norm(W, dim=1), torch.ones(4, dtype=W.dtype))
    else:
        torch.testing.assert_close(hoyer_sparseness(W), torch.full((4,), 0.6, dtype=W.dtype))


def test_a_component_in_the_ball_is_the_best_there_is():
    X, H = data(), uniform(60, 4, seed=3)
    W = UnitBall()(as_matrix(X.T), None, H.T, 500).T

    def loss(rows: Tensor) -> float:
        return float((X - H @ rows).square().sum())

    for seed in range(200):
        other = in_unit_ball((W + 0.01 * (uniform(4, 25, seed=seed) - 0.5)).clamp(min=0))
        assert loss(other) >= loss(W) * (1 - 1e-12)


def test_codes_with_an_l1_penalty_are_those_of_scikit_learns_sparse_coding():
    X, W = data(), in_unit_ball(uniform(5, 25, seed=6))
    ours = Exact(None, HALS(), tolerance=1e-12, most=10_000)(as_matrix(X), W, terms=SPARSE)
    theirs = sparse_encode(
        X.numpy(), W.numpy(), algorithm="lasso_cd", alpha=0.3, positive=True, max_iter=100_000, check_input=True
    )
    np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-4)
    ours_value, theirs_value = (
        float(Criterion(Frobenius(), SPARSE).total(as_matrix(X), Factorization(H, W)))
        for H in (ours, torch.from_numpy(theirs))
    )
    assert ours_value <= theirs_value * (1 + 1e-9)


@pytest.mark.parametrize(
    ("update", "constraint", "terms"),
    [(UnitBall(), UnitNorm(), SPARSE), (Hoyer(0.6), HoyerConstraint(0.6), Terms())],
    ids=["unit ball", "hoyer"],
)
def test_a_net_is_the_solver_of_its_steps(update, constraint, terms):
    X = as_matrix(data())
    start = random(X, 4, torch.Generator().manual_seed(0))
    decoder = Linear(start, constraint)
    start = Factorization(start.H, decoder.W.detach())
    net = FrobeniusNMF(
        start,
        Unrolled(start, HALS(), warm=1),
        decoder,
        partial(Block, update=update, repeats=1),
        penalties_H=terms.penalties,
    )
    optimizer, batch = net.configure_optimizers(), Batch(X, torch.arange(60), 60)
    solver = Solver(HALS(), update_W=update).iterates(X, start, terms)
    for _ in range(10):
        optimizer.step(lambda: net.objective(batch))
        torch.testing.assert_close(net.decoder.W.detach(), next(solver).W, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("constraint", [UnitNorm(), HoyerConstraint(0.6)], ids=["unit_norm", "hoyer"])
def test_adam_lowers_the_objective_within_the_constraint(constraint):
    X = as_matrix(data())
    start = random(X, 4, torch.Generator().manual_seed(0))
    make = partial(ProjectedAdam, lr=0.03, net_lr=0.01)
    net = FrobeniusNMF(start, Exact(None, HALS(), ramp=0), Linear(start, constraint), make, penalties_H=[L1(0.3)])
    optimizer, batch = net.configure_optimizers(), Batch(X, torch.arange(60), 60)
    first = float(optimizer.step(lambda: net.objective(batch)).value())  # pyright: ignore
    for _ in range(100):
        last = float(optimizer.step(lambda: net.objective(batch)).value())  # pyright: ignore
    assert last < 0.8 * first
    torch.testing.assert_close(constraint.forward(constraint.right_inverse(net.decoder.W)), net.decoder.W)


@pytest.mark.untyped
@pytest.mark.parametrize("sparseness", [-0.1, 1.5, "much", None])
def test_a_sparseness_that_is_none_is_refused(sparseness):
    for part in (Hoyer, HoyerConstraint):
        with pytest.raises(Refusal, match="must be from 0"):
            part(sparseness)

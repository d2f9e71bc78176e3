import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest
import scipy.sparse
import torch

from nmf_nets.as_matrix import as_matrix
from nmf_nets.criterion import Terms
from nmf_nets.divergences.base import Divergence
from nmf_nets.divergences.beta import beta_divergence
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.divergences.itakura_saito import ItakuraSaito
from nmf_nets.divergences.kullback_leibler import KullbackLeibler
from nmf_nets.factorization import Factorization
from nmf_nets.penalties.l1 import L1
from nmf_nets.penalties.l2 import L2
from nmf_nets.row_sums.base import RowSums
from nmf_nets.row_sums.majoriser import Majoriser
from nmf_nets.row_sums.newton import Newton
from nmf_nets.row_sums.products import Products
from nmf_nets.row_sums.totals import Totals
from nmf_nets.updates.base import Update
from nmf_nets.updates.hals import HALS
from nmf_nets.updates.multiplicative import Multiplicative
from nmf_nets.updates.scalar_newton import ScalarNewton

N, M, R = 40, 21, 4


@dataclass(frozen=True)
class Member:
    """A kind of sums for a kind of data; `update` is the half-step of the whole that it stands for, if there is one."""

    name: str
    divergence: Divergence
    update: Update | None
    weighted: bool

    def sums(self, totals: Totals) -> RowSums:
        heaviest = totals.heaviest if self.weighted else None
        if self.name == "newton":
            return Newton(totals.least, self.weighted)
        if isinstance(self.divergence, Frobenius):
            return Products(HALS() if self.name == "hals" else Multiplicative(Frobenius()), heaviest=heaviest)
        return Majoriser(self.divergence, self.weighted)


def member(name, divergence, weighted, has_twin=True):
    update = HALS() if name == "hals" else Multiplicative(divergence)
    mark = f"{name}-{divergence.beta:g}{'-weighted' if weighted else ''}"
    return pytest.param(Member(name, divergence, update if has_twin else None, weighted), id=mark)


MEMBERS = [
    member("hals", Frobenius(), False),
    member("hals", Frobenius(), True, has_twin=False),  # the whole takes coordinate steps on entries, not EM's
    member("mu", Frobenius(), False),
    member("mu", Frobenius(), True, has_twin=False),
    *(member("mu", D, w) for D in (KullbackLeibler(), ItakuraSaito(), beta_divergence(1.5)) for w in (False, True)),
    member("newton", KullbackLeibler(), False, has_twin=False),
    member("newton", KullbackLeibler(), True, has_twin=False),
]
every_member = pytest.mark.parametrize("member", MEMBERS)
KINDS = [pytest.param(False, id="dense"), pytest.param(True, id="sparse")]


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).random(shape)


def data(member, is_sparse=False, scale=1.0, dtype=torch.float64, zeros=0.4):
    X = numbers(N, R, seed=1) @ numbers(R, M, seed=2) * (0.5 + numbers(N, M, seed=3)) * scale
    if member.divergence.beta > 0:
        X[numbers(N, M, seed=4) < zeros] = 0
    V = np.where(numbers(N, M, seed=5) < 0.7, 3 * numbers(N, M, seed=6), 0) if member.weighted else None
    if is_sparse:
        return as_matrix(scipy.sparse.csr_array(X), dtype, None if V is None else scipy.sparse.csr_array(V))
    return as_matrix(X, dtype, V)


def factors(scale=1.0, dtype=torch.float64):
    drawn = numbers(N, R, seed=7) * math.sqrt(scale), numbers(R, M, seed=8) * math.sqrt(scale)
    return Factorization(*(torch.from_numpy(each).to(dtype) for each in drawn))


@every_member
@pytest.mark.parametrize("is_sparse", KINDS)
def test_they_add_up_over_rows_and_know_the_divergence(member, is_sparse):
    X, (H, W) = data(member, is_sparse), (factors().H, factors().W)
    totals = Totals.of(X)
    sums = member.sums(totals)
    whole = sums.of(X, H, W)
    parts = sum(
        sums.of(X.span(start, stop).among(X.whole), H[start:stop], W) for start, stop in ((0, 1), (1, 30), (30, N))
    )
    assert len(whole) == sums.numbers(R, M)
    torch.testing.assert_close(parts, whole, rtol=1e-12, atol=1e-12)
    expected = member.divergence.total(X, Factorization(H, W))
    torch.testing.assert_close(sums.value(whole, W, totals), expected, rtol=1e-11, atol=0)


@every_member
@pytest.mark.parametrize("is_sparse", KINDS)
def test_W_is_that_of_the_half_step_on_all_rows(member, is_sparse):
    if member.update is None:
        pytest.skip("there is no such step on the whole")
    X, (H, W) = data(member, is_sparse), (factors().H, factors().W)
    terms = Terms((L1(0.1), L2(0.2)))
    sums = member.sums(Totals.of(X))
    expected = member.update(X.T, W.T, H.T, terms=terms).T
    torch.testing.assert_close(sums.fitted(sums.of(X, H, W), W, terms), expected, rtol=1e-10, atol=1e-12)


@every_member
@pytest.mark.parametrize("is_sparse", KINDS)
@pytest.mark.parametrize("penalties", [(), (L1(0.3), L2(0.5))], ids=["plain", "penalised"])
def test_no_step_raises_the_loss(member, is_sparse, penalties):
    X, (H, W) = data(member, is_sparse), (factors().H, factors().W)
    sums, terms = member.sums(Totals.of(X)), Terms(penalties)

    def loss(W):
        return float(member.divergence.total(X, Factorization(H, W)) + terms.value(W.T))

    losses = [loss(W)]
    for _ in range(15):
        W = sums.fitted(sums.of(X, H, W), W, terms)
        assert bool((W >= 0).all())
        losses.append(loss(W))
    assert losses[-1] < 0.9 * losses[0]
    assert all(after <= before * (1 + 1e-12) for before, after in itertools.pairwise(losses))


@every_member
@pytest.mark.parametrize("exponent", [-13, 13])
def test_steps_follow_the_scale_of_the_data(member, exponent):
    scale = 4.0**exponent
    W = []
    for c in (1.0, scale):
        X, start = data(member, scale=c), factors(c)
        sums = member.sums(Totals.of(X))
        W.append(sums.fitted(sums.of(X, start.H, start.W), start.W) / math.sqrt(c))
    torch.testing.assert_close(*W, rtol=1e-12, atol=0)


@every_member
@pytest.mark.parametrize("is_sparse", KINDS)
def test_the_truth_is_a_fixed_point(member, is_sparse):
    truth = factors()
    X = truth.H.numpy() @ truth.W.numpy()
    V = 1 + numbers(N, M, seed=5) if member.weighted else None
    if is_sparse:
        X, V = scipy.sparse.csr_array(X), None if V is None else scipy.sparse.csr_array(V)
    X = as_matrix(X, weights=V)
    sums = member.sums(Totals.of(X))
    torch.testing.assert_close(sums.fitted(sums.of(X, truth.H, truth.W), truth.W), truth.W, rtol=1e-9, atol=1e-9)


@every_member
def test_a_block_without_values_adds_nothing_but_codes(member):
    if member.divergence.beta <= 0:
        pytest.skip("refuses zeros")
    X, (H, W) = data(member, is_sparse=True), (factors().H, factors().W)
    sums = member.sums(Totals.of(X))
    empty = X.with_values(torch.zeros_like(X.values)).span(0, 5).among(X.whole)
    if member.weighted:
        empty.weights = torch.zeros_like(empty.values)
    found = sums.of(empty, H[:5], W)
    assert bool(torch.isfinite(found).all())


HARD = {
    "counts": lambda: np.random.default_rng(0).poisson(3 * numbers(N, 3) @ numbers(3, M, seed=1)).astype(float),
    "tiny beside large": lambda: np.where(numbers(N, M) < 0.2, 1e-9, numbers(N, M, seed=1) ** 8),
    "mostly zero": lambda: np.where(numbers(N, M) < 0.1, numbers(N, M, seed=1), 0),
}


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("far", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_newton_never_raises_the_loss_from_far_off_nor_on_hard_data(name, far, dtype):
    X, D, (H, W) = as_matrix(HARD[name](), dtype), KullbackLeibler(), (factors(dtype=dtype).H, factors(far).W.to(dtype))
    sums = Newton(Totals.of(X).least)
    losses = [float(D.total(X, Factorization(H, W)))]
    for _ in range(25):
        W = sums.fitted(sums.of(X, H, W), W)
        losses.append(float(D.total(X, Factorization(H, W))))
    allowed = 1 + (1e-12 if dtype == torch.float64 else 1e-6)
    assert all(after <= before * allowed for before, after in itertools.pairwise(losses))


def test_newton_is_ahead_of_the_multiplicative_step_and_reaches_zeros():
    X, D, H = as_matrix(HARD["counts"]()), KullbackLeibler(), factors().H
    reached, zeros = {}, {}
    for sums in (Newton(Totals.of(X).least), Majoriser(D)):
        W = factors().W
        for _ in range(15):
            W = sums.fitted(sums.of(X, H, W), W)
        reached[type(sums)], zeros[type(sums)] = float(D.total(X, Factorization(H, W))), int((W == 0).sum())
    best = float(D.total(X, Factorization(H, ScalarNewton()(X.T, W.T, H.T, 300).T)))
    assert reached[Newton] - best < 1e-6 * best < 1e-3 * best < reached[Majoriser] - best
    assert zeros[Newton] > 0 == zeros[Majoriser]


def test_totals_add_up_and_know_the_unit():
    X = data(MEMBERS[1].values[0], is_sparse=True)
    whole, parts = Totals.of(X), Totals.none(M) + Totals.of(X.span(0, 11)) + Totals.of(X.span(11, N))
    assert (parts.n_samples, parts.values, parts.weighted) == (N, X.values.numel(), True)
    for name in ("sum", "square_norm", "self_entropy", "mass", "heaviest", "mean"):
        assert getattr(parts, name) == pytest.approx(getattr(whole, name), rel=1e-13)
    assert torch.equal(parts.least, whole.least)
    other, expected = whole.divided(7.0), Totals.of(X.divided(7.0))
    for name in ("sum", "square_norm", "self_entropy", "mass", "heaviest", "mean"):
        assert getattr(other, name) == pytest.approx(getattr(expected, name), rel=1e-13)

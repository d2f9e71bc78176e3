"""The laws of relevance determination."""

from itertools import islice, pairwise

import numpy as np
import pytest
import torch

from nmf_nets.as_matrix import as_matrix
from nmf_nets.benchmark.selection_hits import BETAS as BETAS_OF
from nmf_nets.benchmark.selection_hits import drawn
from nmf_nets.criterion import Terms
from nmf_nets.divergences.beta import beta_divergence
from nmf_nets.factorization import Factorization
from nmf_nets.inits.random import random
from nmf_nets.matrix import DenseMatrix, Matrix
from nmf_nets.refusal import Refusal
from nmf_nets.restarts import Restarts
from nmf_nets.selection.relevance import Prior, Relevance, Shrinkage, level, relevance_determination

BETAS = [3.0, 2.0, 1.5, 1.0, 0.5, 0.0, -1.0]
FORMS = ["l1", "l2"]
R = 5

every_divergence = pytest.mark.parametrize("beta", BETAS)
every_form = pytest.mark.parametrize("form", FORMS)


def uniform(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def data(noise: float = 0.1) -> Matrix:
    H, W = uniform(40, 3) ** 2, uniform(3, 25, seed=1) ** 2
    return as_matrix((H @ W + 0.01) * (1 + noise * (2 * uniform(40, 25, seed=2) - 1)))


def start_of(X: Matrix) -> Factorization:
    return random(X, R, torch.Generator().manual_seed(0))


def states(X: Matrix, beta: float, form, start: Factorization, dispersion: float | None, count: int):
    prior = Prior.of(form, 5.0, X, start.n_components)
    return list(islice(relevance_determination(X, beta_divergence(beta), start, prior, dispersion), count))


@every_form
@every_divergence
@pytest.mark.parametrize("dispersion", [None, 0.01])
def test_the_objective_never_rises(beta, form, dispersion):
    X = data()
    for given in (X, DenseMatrix(X.dense(), (uniform(40, 25, seed=3) < 0.8).double())):
        objectives = [state.objective for state in states(given, beta, form, start_of(X), dispersion, 60)]
        assert all(after <= before + 1e-9 * abs(before) for before, after in pairwise(objectives))
        assert objectives[-1] < objectives[0] - 1


@every_form
def test_the_objective_is_that_of_the_paper_with_scales_where_it_is_least(form):
    X, phi, a = data(), 0.3, 5.0
    n, m = X.shape
    prior, factors = Prior.of(form, a, X, R), start_of(X)
    mean = float(X.dense().mean())
    f = (lambda M: M.sum(0)) if form == "l1" else (lambda M: 0.5 * M.square().sum(0))
    c = n + m + a + 1 if form == "l1" else (n + m) / 2 + a + 1
    b = (
        ((a - 1) * (a - 2) * mean / R) ** 0.5 if form == "l1" else np.pi * (a - 1) * mean / (2 * R)
    )  # of the moments: E[x̂] = r E[λ²], or r 2 / π E[λ]
    D = float(beta_divergence(1).total(X, factors))

    def of(scales):
        sizes = f(factors.H) + f(factors.W.T) + b
        return D / phi + float((sizes / scales + c * scales.log()).sum())

    best = (f(factors.H) + f(factors.W.T) + b) / c
    at_floor = torch.full((R,), b / c, dtype=torch.float64)
    of_nothing = float((b / at_floor + c * at_floor.log()).sum())
    state = states(X, 1.0, form, factors, phi, 1)[0]
    assert state.objective - 0.5 * n * m * np.log(phi) == pytest.approx(of(best) - of_nothing)
    assert of(best) < min(of(0.9 * best), of(1.1 * best))
    torch.testing.assert_close(prior.relevance(factors) * b / c, best)


@every_form
@every_divergence
def test_the_step_has_the_exponent_of_the_paper_and_the_gradient_of_its_penalty(beta, form):
    X, D = data(), beta_divergence(beta)
    prior, H = Prior.of(form, 5.0, X, R), start_of(X).H.requires_grad_()
    shrinkage = Shrinkage(0.4, prior, prior.size(uniform(25, R, seed=4)))
    (gradient,) = torch.autograd.grad(shrinkage.value(H), H)
    plus, minus = shrinkage.split_gradient(H.detach())
    torch.testing.assert_close(gradient, plus - minus)
    exponent = Terms((shrinkage,)).exponent(D)
    if form == "l1":
        assert exponent == pytest.approx(D.exponent if beta != 2 else 1)
    elif beta <= 2:
        assert exponent == pytest.approx(1 / (3 - beta))
    else:
        assert exponent == pytest.approx(1 / (beta - 1))


@every_form
@pytest.mark.parametrize("beta", [2.0, 1.0, 0.0])
def test_scale_and_order_do_not_matter(beta, form):
    X, start = data(), start_of(data())
    p, q, k = (torch.randperm(size, generator=torch.Generator().manual_seed(size)) for size in (40, 25, R))
    ends = states(X, beta, form, start, None, 30)[-1]
    moved = states(
        as_matrix(X.dense()[p][:, q]), beta, form, Factorization(start.H[p][:, k], start.W[k][:, q]), None, 30
    )[-1]
    torch.testing.assert_close(moved.factors.H, ends.factors.H[p][:, k])
    torch.testing.assert_close(moved.factors.W, ends.factors.W[k][:, q])
    c = 4.0**5
    larger = states(as_matrix(c * X.dense()), beta, form, Factorization(32 * start.H, 32 * start.W), None, 30)[-1]
    torch.testing.assert_close(larger.factors.H, 32 * ends.factors.H)
    assert larger.dispersion == pytest.approx(c**beta * ends.dispersion)


@every_form
def test_level_factors_have_the_same_product_and_the_least_penalty(form):
    X, factors = data(), start_of(data())
    prior = Prior.of(form, 5.0, X, R)
    uneven = Factorization(factors.H * torch.arange(R), factors.W)  # the first is dead on one side
    evened = level(uneven, prior)
    torch.testing.assert_close(evened.reconstruction, uneven.reconstruction)
    torch.testing.assert_close(prior.size(evened.H), prior.size(evened.W.T))
    assert bool((prior.relevance(evened) <= prior.relevance(uneven) + 1e-12).all())
    assert float(prior.relevance(evened)[0]) == 1


@every_form
@pytest.mark.parametrize("noise", BETAS_OF)
def test_components_that_the_data_do_not_need_die(noise, form):
    selector = Relevance(form, repeats=1)
    restarts = Restarts(drawn(noise, 10.0, 3, 0), beta_divergence(BETAS_OF[noise]), [8])
    judgement = selector.judge(restarts, 8, torch.Generator().manual_seed(0))
    assert len(judgement.values) == 8
    assert bool((np.diff(judgement.values) <= 0).all())
    choice = selector.choose({8: judgement})
    assert choice.n_components == 3
    assert choice.sureness == 1
    again = selector.judge(restarts, 8, torch.Generator().manual_seed(0))
    assert np.array_equal(judgement.values, again.values)


def test_where_all_stay_relevant_it_cannot_tell():
    selector = Relevance(repeats=1)
    restarts = Restarts(data(), beta_divergence(2), [2])
    judgement = selector.judge(restarts, 2, torch.Generator().manual_seed(0))
    assert selector.choose({2: judgement}).n_components is None


@pytest.mark.untyped
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"form": "l3"}, "l1 or l2"),
        ({"a": 2.0}, "more than 2"),
        ({"dispersion": 0.0}, "more than 0"),
        ({"repeats": 0}, "at least 1"),
    ],
)
def test_what_cannot_be_done_is_refused(given, said):
    with pytest.raises(Refusal, match=said):
        Relevance(**given)

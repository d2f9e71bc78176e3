import numpy as np
import pytest
import scipy.sparse
import torch

from nmf_nets.as_matrix import as_matrix
from nmf_nets.benchmark.base import Problem
from nmf_nets.benchmark.methods.sequential import Sequential
from nmf_nets.benchmark.methods.underapproximation import NMU
from nmf_nets.divergences.beta import beta_divergence
from nmf_nets.inits.random import random
from nmf_nets.metrics.kkt_residual import kkt_residual
from nmf_nets.refusal import Refusal

A = np.random.default_rng(0).gamma(0.5, size=(30, 4)) @ np.random.default_rng(1).gamma(0.5, size=(4, 20)) + 0.01


def shown(method, problem, iterations):
    method.refuse(problem, None)
    seen = []

    def observe(factors, iteration):
        seen.append(factors())
        assert iteration == len(seen)
        return iteration < iterations

    return seen, method.run(problem, None, observe)


@pytest.mark.parametrize("beta", [2, 1, 0.5])
def test_growth_shows_a_component_an_iteration_and_goes_on_with_all(beta):
    problem = Problem(as_matrix(A), beta_divergence(beta), 4)
    seen, coder = shown(Sequential(iterations=5), problem, 10)
    assert len(seen) == 10
    assert [int((factors.H.sum(0) > 0).sum()) for factors in seen] == [1, 2, 3, *[4] * 7]
    assert all(factors.W.shape == (4, 20) for factors in seen)
    H = coder(as_matrix(A[:7]))
    assert H.shape == (7, 4)
    assert bool((H >= 0).all())


def test_what_is_still_growing_does_not_pass_for_a_stationary_point():
    for beta in (2, 1):
        problem = Problem(as_matrix(A), beta_divergence(beta), 4)
        seen, _ = shown(Sequential(iterations=100), problem, 3)
        assert all(kkt_residual(problem.X, factors, problem.divergence) > 1e-2 for factors in seen)


def test_growth_stops_when_it_is_told_to():
    seen, _ = shown(Sequential(iterations=5), Problem(as_matrix(A), beta_divergence(2), 4), 2)
    assert len(seen) == 2


def test_underapproximation_shows_a_component_an_iteration_and_is_done():
    seen, coder = shown(NMU(50), Problem(as_matrix(A), beta_divergence(2), 3), 10)
    assert len(seen) == 3
    assert coder is None
    assert bool((seen[-1].reconstruction <= torch.from_numpy(A) * (1 + 1e-12)).all())


@pytest.mark.parametrize("method", [Sequential(), NMU()])
def test_a_start_is_refused(method):
    problem = Problem(as_matrix(A), beta_divergence(2), 3)
    with pytest.raises(Refusal, match="takes no start"):
        method.refuse(problem, random(problem.X, 3, torch.Generator()))


def test_underapproximation_refuses_what_it_cannot_serve():
    with pytest.raises(Refusal, match="squared errors alone"):
        NMU().refuse(Problem(as_matrix(A), beta_divergence(1), 3), None)
    with pytest.raises(Refusal, match="dense"):
        NMU().refuse(Problem(as_matrix(scipy.sparse.csr_array(A)), beta_divergence(2), 3), None)

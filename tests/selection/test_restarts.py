from itertools import islice

import numpy as np
import pytest
import scipy.sparse
import torch

from nmf_nets.as_matrix import as_matrix
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.divergences.itakura_saito import ItakuraSaito
from nmf_nets.divergences.kullback_leibler import KullbackLeibler
from nmf_nets.fit import factorize
from nmf_nets.inits.random import random
from nmf_nets.refusal import Refusal
from nmf_nets.restarts import WIDE, Restarts, fit_together
from nmf_nets.solver import Solver
from nmf_nets.updates.hals import HALS
from nmf_nets.updates.multiplicative import Multiplicative

DIVERGENCES = [Frobenius(), KullbackLeibler()]


def planted(n=30, m=26, r=4, noise=0.1, seed=0, dtype=torch.float64):
    rng = np.random.default_rng(seed)
    X = rng.random((n, r)) ** 2 @ rng.random((r, m)) ** 2 + noise * rng.random((n, m))
    return as_matrix(X, dtype)


def starts_of(X, numbers):
    return [random(X, number, torch.Generator().manual_seed(seed)) for seed, number in enumerate(numbers)]


def alone(X, divergence, start, iterations):
    update = HALS() if divergence.beta == 2 else Multiplicative(divergence)
    return next(islice(Solver(update).iterates(X, start), iterations - 1, None))


@pytest.mark.parametrize("divergence", DIVERGENCES, ids=lambda divergence: type(divergence).__name__)
@pytest.mark.parametrize("shape", [(30, 26), (3, 1100), (150, 5)], ids=str)
def test_starts_together_make_the_steps_of_each_alone(divergence, shape):
    X = planted(*shape)
    starts = starts_of(X, [1, 3, 5, 3, 8])
    for start, made in zip(starts, fit_together(X, divergence, starts, 25, 0.0, relaxed=False), strict=True):
        own = alone(X, divergence, start, 25)
        torch.testing.assert_close(made.H, own.H, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(made.W, own.W, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("divergence", DIVERGENCES, ids=lambda divergence: type(divergence).__name__)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_starts_together_come_to_the_optimum_of_the_loop(divergence, dtype):
    X = planted(noise=0.0, dtype=dtype)
    settings = {"seeds": 6, "max_iter": 3000, "tol": 1e-6}
    together, in_turn = (Restarts(X, divergence, [3], **settings, together=way)[3] for way in (True, False))
    least = float(in_turn.losses.min())
    assert float(together.losses.min()) == pytest.approx(least, rel=2e-3)
    assert int((together.losses < 1.01 * least).sum()) >= 2


def test_steps_that_go_further_arrive_in_fewer_iterations():
    X, divergence = planted(noise=0.02), KullbackLeibler()
    starts = starts_of(X, [4] * 5)

    def after(iterations, relaxed):
        made = fit_together(X, divergence, starts, iterations, 0.0, relaxed=relaxed)
        return sum(float(divergence.total(X, factors)) for factors in made)

    assert after(100, True) < after(150, False)


@pytest.mark.parametrize("divergence", DIVERGENCES, ids=lambda divergence: type(divergence).__name__)
def test_a_start_is_that_of_factorize_and_stops_by_its_rule(divergence):
    X = planted()
    fits = Restarts(X, divergence, [3], seeds=3, tol=1e-4, seed=5, together=False)[3]
    result = factorize(X, 3, divergence=divergence, init="random", seed=7, tol=1e-4, kkt_tol=None)
    torch.testing.assert_close(fits[2].W, result.W)
    assert float(fits.losses[2]) == pytest.approx(result.divergence_value)
    assert not Restarts(X, ItakuraSaito(), [3], seeds=1).together


def test_together_a_start_stops_for_itself():
    X, divergence = planted(), Frobenius()
    starts = starts_of(X, [2, 5, 9])
    made = fit_together(X, divergence, starts, 1000, 1e-4)
    for start, factors in zip(starts, made, strict=True):
        result = factorize(X, start.n_components, solver="hals", start=start, tol=1e-4, kkt_tol=None)
        torch.testing.assert_close(factors.W, result.W, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("divergence", DIVERGENCES, ids=lambda divergence: type(divergence).__name__)
@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_the_scale_of_the_data_changes_nothing(divergence, scale):
    X = planted(dtype=torch.float32)
    scaled = as_matrix(X.values.double() * scale, torch.float32)
    fits, others = (Restarts(each, divergence, [3], seeds=4)[3] for each in (X, scaled))
    assert torch.allclose(others.losses, fits.losses * scale**divergence.beta, rtol=1e-2)
    assert torch.allclose(others.W.double(), fits.W.double() * scale**0.5, rtol=0.05, atol=0.02 * scale**0.5)


@pytest.mark.parametrize("divergence", DIVERGENCES, ids=lambda divergence: type(divergence).__name__)
def test_rows_and_columns_of_zeros_get_zeros_and_more_components_than_the_rank_are_borne(divergence):
    values = planted(6, 7).values.clone()
    values[2], values[:, 3] = 0, 0
    fits = Restarts(as_matrix(values), divergence, [9], seeds=3)[9]
    for start in range(3):
        assert bool(torch.isfinite(fits[start].reconstruction).all())
        assert float(fits[start].reconstruction[2].abs().max()) < 1e-9
        assert float(fits[start].reconstruction[:, 3].abs().max()) < 1e-9


def test_fits_are_made_once_beside_as_many_numbers_as_go_with_them():
    told, X = [], planted()
    restarts = Restarts(X, Frobenius(), [2, 3, WIDE], seeds=4, fitted=told.append)
    first = restarts[2]
    assert sum(told) == 8  # 2 and 3
    assert restarts[2] is first
    assert len(restarts[3]) == 4
    assert sum(told) == 8
    restarts.forget(2)
    assert restarts[2] is not first
    assert sum(told) == 12


def test_sparse_data_and_data_with_weights_are_fitted_in_turn():
    X = planted()
    sparse = as_matrix(scipy.sparse.csr_array(X.numpy()))
    weighted = as_matrix(X.numpy(), None, torch.ones(X.shape, dtype=torch.float64))
    dense = Restarts(X, Frobenius(), [3], seeds=2, together=False)[3]
    for other in (sparse, weighted):
        restarts = Restarts(other, Frobenius(), [3], seeds=2)
        assert not restarts.together
        assert float(restarts[3].losses.min()) == pytest.approx(float(dense.losses.min()), rel=1e-2)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"seeds": 0}, "seeds must be an integer of at least 1"),
        ({"numbers": [0]}, "n_components must be"),
        ({"max_iter": 0}, "max_iter must be"),
        ({"divergence": ItakuraSaito(), "together": True}, "together=None"),
    ],
    ids=lambda each: str(each)[:20],
)
def test_refusals(given, said):
    arguments = {"divergence": Frobenius(), "numbers": [2], **given}
    with pytest.raises(Refusal, match=said):
        Restarts(planted(), **arguments)


def test_negative_data_are_refused():
    X = as_matrix(-planted().numpy(), signed=True)
    with pytest.raises(Refusal, match="semi-NMF"):
        Restarts(X, Frobenius(), [2])

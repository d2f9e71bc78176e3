"""MiniBatchNMF: scikit-learn's meaning of batches, and the streams beneath."""

import pickle
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import sklearn.decomposition
import torch
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from nmf_nets import NMF, MiniBatchNMF
from nmf_nets.as_matrix import as_matrix
from nmf_nets.criterion import Criterion
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.estimators.mini_batch_nmf import AGING, PROGRESS, Watch
from nmf_nets.factorization import Factorization
from nmf_nets.refusal import Refusal
from nmf_nets.stream import Stream
from nmf_nets.updates.multiplicative import Multiplicative

R = 4
LOSSES = ["frobenius", "kullback-leibler", 0.5]

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def data(n: int = 90, m: int = 20, seed: int = 0) -> np.ndarray:
    chance = np.random.default_rng(seed)
    X = (chance.random((n, R)) ** 2 @ chance.random((R, m))) * (0.8 + 0.4 * chance.random((n, m)))
    return X + 0.01


def batches(X: Any, size: int = 15) -> list[Any]:
    return [X[start : start + size] for start in range(0, X.shape[0], size)]


def model(**given: Any) -> MiniBatchNMF:
    return MiniBatchNMF(R, **{"init": "random", "random_state": 0, "batch_size": 15, **given})


# Steps ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("solver", ["auto", "mu"])
@pytest.mark.parametrize("loss", LOSSES)
def test_fit_with_fresh_codes_is_partial_fit_of_its_batches(loss, solver, kind):
    """With what a row weighs after a pass as what it weighs after a batch."""
    X = data() * (np.random.default_rng(3).random((90, 20)) < (0.6 if loss != 0.5 else 1.1))
    X = scipy.sparse.csr_array(X) if kind == "sparse" else X
    start = {"W": np.ones((15, R)), "H": data(R, seed=5)}
    settings: dict[str, Any] = {"init": "custom", "beta_loss": loss, "solver": solver}
    whole = model(fresh_restarts=True, max_iter=2, tol=0, max_no_improvement=None, **settings)
    whole.fit(X, W=np.ones((90, R)), H=start["H"])
    parts = model(forget_factor=0.7 ** (15 / 90), **settings)
    for _ in range(2):
        for batch in batches(X):
            parts.partial_fit(batch, **start)
    assert whole.n_steps_ == parts.n_steps_ == 12
    np.testing.assert_allclose(whole.components_, parts.components_, rtol=1e-10)


@pytest.mark.parametrize("loss", LOSSES)
def test_partial_fit_is_a_stream(loss):
    X, W = data(), data(R, seed=5)
    stream = Stream(R, loss, W=W, memory=0.7, aging=AGING, steps=30, progress=PROGRESS)
    fitted = model(init="custom", beta_loss=loss)
    for batch in batches(X):
        stream.partial_fit(batch)
        fitted.partial_fit(batch, W=np.ones((15, R)), H=W)
    assert stream.W is not None
    np.testing.assert_array_equal(fitted.components_, stream.W.numpy())
    again = pickle.loads(pickle.dumps(fitted))
    for one in (fitted, again):
        one.partial_fit(X[:20])
    np.testing.assert_array_equal(again.components_, fitted.components_)


@pytest.mark.parametrize("loss", LOSSES)
def test_where_nothing_is_remembered_each_batch_has_a_multiplicative_step(loss):
    X, W = data(30), data(R, seed=5)
    fitted = model(init="custom", beta_loss=loss, forget_factor=0.0, max_iter=1, tol=0)
    codes = np.random.default_rng(1).random((30, R)) + 0.1
    fitted.fit(X, W=codes, H=W)
    components = torch.from_numpy(W)
    update = Multiplicative(fitted._divergence)
    for rows in (slice(0, 15), slice(15, 30)):
        batch = as_matrix(X[rows])
        H = update(batch, torch.from_numpy(codes[rows]), components)
        components = update(batch.T, components.T, H.T).T
    np.testing.assert_allclose(fitted.components_, components.numpy(), rtol=1e-12)


@pytest.mark.parametrize(("loss", "solver"), [("frobenius", "cd"), ("kullback-leibler", "auto"), (0.5, "mu")])
def test_a_batch_of_all_rows_is_nmf(loss, solver):
    X = data()
    settings: dict[str, Any] = {"beta_loss": loss, "tol": 0, "max_iter": 15, "alpha_W": 1e-3, "init": "random"}
    fitted = MiniBatchNMF(R, random_state=0, max_no_improvement=None, **settings)
    expected = NMF(R, random_state=0, solver=solver, **settings)
    np.testing.assert_array_equal(fitted.fit_transform(X), expected.fit_transform(X))
    np.testing.assert_array_equal(fitted.components_, expected.components_)
    assert fitted.reconstruction_err_ == pytest.approx(expected.reconstruction_err_)


@pytest.mark.parametrize("batch_size", [15, 1000])
def test_partial_fit_goes_on_from_fit(batch_size):
    """A few rows of another kind spoil the components less than where there is nothing to remember."""
    X, few = data(), data(5, seed=1)[:, ::-1]
    fitted = model(batch_size=batch_size, forget_factor=1.0, tol=0, max_iter=30).fit(X)
    before, components = fitted.reconstruction_err_, fitted.components_
    fitted.partial_fit(few)
    assert fitted.n_steps_ == 30 * (1 if batch_size == 1000 else 6) + 1
    forgetful = model(init="custom").partial_fit(few, W=np.ones((5, R)), H=components)
    error, without = (np.linalg.norm(X - one.transform(X) @ one.components_) for one in (fitted, forgetful))
    assert before < error < 1.3 * before
    assert without > 2 * before


@pytest.mark.parametrize("loss", LOSSES)
def test_penalties_are_heeded_in_batches(loss):
    X = data()
    free, penalised = (model(beta_loss=loss, alpha_W=alpha, max_iter=50, tol=0).fit(X) for alpha in (0.0, 0.1))
    size = [np.linalg.norm(one.components_) ** 2 + np.linalg.norm(one.transform(X)) ** 2 for one in (free, penalised)]
    assert size[1] < 0.9 * size[0]


# Codes and ends -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
def test_codes_are_those_of_transform(loss):
    X = data()
    fitted = model(beta_loss=loss, max_iter=5)
    codes = fitted.fit_transform(X)
    np.testing.assert_array_equal(codes, fitted.transform(X))
    rough = model(beta_loss=loss, max_iter=5, transform_max_iter=1).fit(X)
    assert (rough.components_ == fitted.components_).all()
    assert rough.reconstruction_err_ > fitted.reconstruction_err_


@pytest.mark.parametrize(("loss", "size"), [("frobenius", 40), ("frobenius", 128), ("kullback-leibler", 128)])
def test_it_ends_lower_than_scikit_learns(loss, size):
    X, settings = load_digits().data[:500], {"beta_loss": loss, "batch_size": size, "random_state": 0}
    ours, theirs = (kind(8, **settings).fit(X) for kind in (MiniBatchNMF, sklearn.decomposition.MiniBatchNMF))
    assert ours.reconstruction_err_ < theirs.reconstruction_err_


def test_max_iter_is_said():
    with pytest.warns(ConvergenceWarning, match="Maximum number of iterations 2 reached"):
        model(max_iter=2).fit(data())
    assert model(max_iter=2, tol=0).fit(data()).n_iter_ == 2


def watch(losses: list[float], tol: float = 0.0, patience: int | None = 2, batches: int = 1) -> list[bool]:
    """What a Watch says where one row, of one feature, has so often these losses of ½ x², while its component moves."""
    W = torch.ones(1, 1, dtype=torch.float64)
    looks = Watch(batches, batches, W, tol, patience)
    said = []
    for step, loss in enumerate(losses):
        X = as_matrix(np.array([[(2 * loss) ** 0.5]]))
        said.append(looks(X, Factorization(torch.zeros_like(W), (step + 2) * W), Criterion(Frobenius())))
    return said


def test_a_loss_that_falls_too_little_for_so_many_steps_ends_it():
    assert watch([9, 8, 7, 6, 5]) == [False] * 5
    assert watch([9, 8, 8, 8, 8]) == [False, False, False, True, True]
    assert watch([9, 8, 8, 7, 8, 9]) == [False] * 5 + [True]
    assert watch([100, 90, 89, 88, 87], tol=0.1) == [False, False, False, True, True]
    assert watch([9, 8, 8, 8, 8], patience=None) == [False] * 5


def test_batches_that_differ_are_compared_each_with_itself():
    assert watch([9, 1, 8, 0.9, 7, 0.8, 6, 0.7], batches=2) == [False] * 8
    assert watch([9, 1, 9, 1, 9, 1], batches=2) == [False] * 5 + [True]


def test_components_that_hardly_move_end_it_but_not_where_a_batch_is_zero():
    W, criterion = torch.ones(1, 2, dtype=torch.float64), Criterion(Frobenius())
    looks = Watch(10, 2, W, 1e-3, None)
    row, zero = as_matrix(np.ones((1, 2))), as_matrix(np.zeros((1, 2)))
    codes = torch.ones(1, 1, dtype=torch.float64)
    assert not looks(row, Factorization(codes, W), criterion)
    assert not looks(zero, Factorization(codes, W), criterion)
    assert not looks(row, Factorization(codes, 1.1 * W), criterion)
    assert looks(row, Factorization(codes, 1.1 * W + 1e-6), criterion)


REFUSED = {
    "solver is 'hals', but for batches must be auto or mu": {"solver": "hals"},
    "batch_size must be an integer": {"batch_size": 0},
    "forget_factor must be a number from 0 to 1, but is 1.1": {"forget_factor": 1.1},
    "fresh_restarts_max_iter must be": {"fresh_restarts_max_iter": 0},
    "max_no_improvement must be": {"max_no_improvement": 0},
    "transform_max_iter must be": {"transform_max_iter": -1},
}


@pytest.mark.untyped
@pytest.mark.parametrize("sentence", REFUSED)
def test_parameters_that_cannot_be_used_get_a_sentence(sentence):
    for call in ("fit", "partial_fit"):
        with pytest.raises(Refusal, match=sentence):
            getattr(model(**REFUSED[sentence]), call)(data())


def test_a_batch_of_other_features_is_refused():
    with pytest.raises(ValueError, match="X has 19 features, but MiniBatchNMF is expecting 20"):
        model().partial_fit(data()).partial_fit(data()[:, :19])

"""Entries that were not observed: NaN, what a sparse matrix does not store, and weights."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.optimize
import scipy.sparse
import torch

from nmf_nets import NMF, MiniBatchNMF
from nmf_nets.divergences.beta import beta_divergence
from nmf_nets.observed import observed
from nmf_nets.refusal import Refusal

R = 3
LOSSES = ["frobenius", "kullback-leibler", 0.5]

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def complete(n: int = 50, m: int = 12, seed: int = 0) -> np.ndarray:
    chance = np.random.default_rng(seed)
    return (chance.random((n, R)) + 0.1) @ (chance.random((R, m)) + 0.1)


def seen(n: int = 50, m: int = 12, part: float = 0.7) -> np.ndarray:
    return np.random.default_rng(5).random((n, m)) < part


def hidden(X: np.ndarray | None = None) -> np.ndarray:
    X = complete() if X is None else X
    return np.where(seen(*X.shape), X, np.nan)


def stored(X: np.ndarray, where: np.ndarray) -> scipy.sparse.csr_array:
    """What was seen, zeros among it."""
    rows, columns = np.nonzero(where)
    return scipy.sparse.csr_array((X[where], (rows, columns)), shape=X.shape)


def entries(X: np.ndarray, X_hat: np.ndarray, loss: Any) -> np.ndarray:
    beta = {"frobenius": 2.0, "kullback-leibler": 1.0}.get(loss, loss)
    if beta == 2:
        return 0.5 * (X - X_hat) ** 2
    if beta == 1:
        return X * np.log(X / X_hat) - X + X_hat
    return (X**beta + (beta - 1) * X_hat**beta - beta * X * X_hat ** (beta - 1)) / (beta * (beta - 1))


def model(kind: Any = NMF, **given: Any) -> Any:
    settings = {"random_state": 0, "max_iter": 60, "tol": 0.0, **({"solver": "auto"} if kind is NMF else {})}
    return kind(R, **{**settings, **given})


both = pytest.mark.parametrize("kind", [NMF, MiniBatchNMF])


# What counts ----------------------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("batch_size", [1024, 20])
@pytest.mark.parametrize("loss", LOSSES)
def test_the_loss_is_that_of_what_was_observed(kind, loss, batch_size):
    if kind is NMF and batch_size == 20:
        pytest.skip("NMF has no batches")
    X, more = hidden(), {"batch_size": batch_size} if kind is MiniBatchNMF else {}
    fitted = model(kind, missing=np.nan, beta_loss=loss, **more)
    X_hat = fitted.inverse_transform(fitted.fit_transform(X))
    expected = entries(complete(), X_hat, loss)[seen()].sum()
    assert 0.5 * fitted.reconstruction_err_**2 == pytest.approx(expected, rel=1e-10)


@both
@pytest.mark.parametrize("loss", LOSSES)
def test_what_stands_where_nothing_was_observed_does_not_matter(kind, loss):
    expected = model(kind, missing=np.nan, beta_loss=loss).fit(hidden())
    for nonsense in (0.0, 1e6):
        X = np.where(seen(), complete(), nonsense)
        other = model(kind, beta_loss=loss).fit(X, weights=seen())
        np.testing.assert_array_equal(other.components_, expected.components_)
        np.testing.assert_array_equal(other.transform(X, weights=seen()), expected.transform(hidden()))


@pytest.mark.parametrize("loss", LOSSES)
def test_no_gradient_comes_from_where_nothing_was_observed(loss):
    """∂D/∂X̂ itself, as that of D(X | X̂ I) with respect to X̂."""
    divergence = beta_divergence({"frobenius": 2.0, "kullback-leibler": 1.0}.get(loss, loss))
    X_hat = torch.from_numpy(complete(seed=1))
    for X in (observed(hidden(), None, np.nan), observed(stored(complete(), seen()), None, "unstored")):
        P, N = divergence.split_gradient(X, X_hat, torch.eye(12, dtype=torch.float64))
        gradient = (P - N).numpy()
        assert not gradient[~seen()].any()
        assert (np.abs(gradient[seen()]) > 0).all()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("solver", ["auto", "mu"])
def test_nan_mask_and_stored_entries_are_one(loss, solver):
    X, where = complete(), seen()
    settings: dict[str, Any] = {"beta_loss": loss, "solver": solver, "max_iter": 30}
    expected = model(missing="nan", **settings)
    codes = expected.fit_transform(hidden())
    ways = {
        "unstored": (model(missing="unstored", **settings), stored(X, where), None),
        "unstored, by columns": (model(missing="unstored", **settings), stored(X, where).tocsc(), None),
        "a dense mask": (model(**settings), X, where),
        "dense weights": (model(**settings), hidden(), where.astype(float)),
        "sparse weights": (model(**settings), X, scipy.sparse.csr_array(where.astype(float))),
        "nan within weights": (model(missing=np.nan, **settings), hidden(), np.ones_like(X)),
        "a frame": (model(missing=np.nan, **settings), pd.DataFrame(hidden()), None),
    }
    for name, (other, given, weights) in ways.items():
        np.testing.assert_allclose(other.fit_transform(given, weights=weights), codes, rtol=1e-8, err_msg=name)
        np.testing.assert_allclose(other.components_, expected.components_, rtol=1e-8, err_msg=name)
        np.testing.assert_allclose(
            other.transform(given, weights=weights), expected.transform(hidden()), rtol=1e-6, atol=1e-9, err_msg=name
        )


def test_a_stored_zero_was_observed_and_what_is_not_stored_was_not():
    X = complete()
    X[:, 0] = 0
    zeros = model(missing="unstored").fit(stored(X, seen()))
    assert zeros.components_[:, 0].max() < 1e-2 * zeros.components_.max()
    unseen = seen()
    unseen[:, 0] = False
    unseen[:5, 0] = True
    X[:5, 0] = 9.0
    few = model(missing="unstored").fit(stored(X, unseen))
    assert few.components_[:, 0].max() > few.components_[:, 1:].max()


def test_weights_weigh_and_their_unit_does_not_matter():
    X, V = complete(20) * (0.5 + np.random.default_rng(1).random((20, 12))), 1.0 + 9 * seen(20)
    fitted = model()
    codes = fitted.fit_transform(X, weights=V)
    lost = entries(X, codes @ fitted.components_, "frobenius")
    assert 0.5 * fitted.reconstruction_err_**2 == pytest.approx((V * lost).sum(), rel=1e-10)
    np.testing.assert_allclose(model().fit_transform(X, weights=4 * V), codes, rtol=1e-8, atol=1e-12)
    even = model()
    unweighted = entries(X, even.fit_transform(X, weights=np.ones_like(X)) @ even.components_, "frobenius")
    assert lost[V > 1].sum() < unweighted[V > 1].sum()


def test_where_all_was_observed_nothing_is_different():
    X = complete()
    assert (model(missing=np.nan).fit(X).components_ == model().fit(X).components_).all()


# What it is good for --------------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("form", ["nan", "unstored"])
def test_what_was_hidden_is_found_again(kind, form):
    X = hidden() if form == "nan" else stored(complete(), seen())
    fitted = model(kind, missing=form, max_iter=600, init="random")
    imputed = fitted.inverse_transform(fitted.fit_transform(X))
    error = np.sqrt(np.mean((imputed - complete())[~seen()] ** 2))
    assert error < 0.1 * complete().std()


def test_a_row_is_coded_from_what_it_has():
    fitted = model(missing=np.nan, max_iter=500).fit(hidden())
    rows = hidden(complete(seed=9))
    for row, code in zip(rows, fitted.transform(rows), strict=True):
        has = ~np.isnan(row)
        expected = scipy.optimize.nnls(fitted.components_[:, has].T, row[has])[0]
        np.testing.assert_allclose(code, expected, atol=1e-5 * expected.max())
    alone = fitted.transform(rows[:1])
    np.testing.assert_allclose(alone, fitted.transform(rows)[:1], rtol=1e-6, atol=1e-9)
    nothing = np.full((2, 12), np.nan)
    nothing[1] = complete()[1]
    assert not fitted.transform(nothing)[0].any()


@pytest.mark.parametrize("loss", ["frobenius", "kullback-leibler"])
def test_a_learned_encoder_codes_a_row_from_what_it_has(loss):
    noise = 0.7 + 0.6 * np.random.default_rng(3).random((50, 12))  # or the loss of exact codes would be nothing
    X = complete() * noise
    fitted = model(missing=np.nan, beta_loss=loss, encoder="lista", encoder_steps=200).fit(hidden(X))
    assert fitted.code_gap_ < 0.02
    rows = X[::-1]  # with other holes
    codes = fitted.transform(hidden(rows))
    for nonsense in (0.0, 1e6):
        np.testing.assert_array_equal(fitted.transform(np.where(seen(), rows, nonsense), weights=seen()), codes)
    exact = model(missing=np.nan, beta_loss=loss).fit(hidden(X)).transform(hidden(rows))
    own, best = (entries(rows, H @ fitted.components_, loss)[seen()].sum() for H in (codes, exact))
    assert own < 1.1 * best


def test_a_feature_that_no_row_has_is_no_trouble():
    X = hidden()
    X[:, 4] = np.nan
    fitted = model(missing=np.nan).fit(X)
    assert np.isfinite(fitted.components_).all()
    assert np.isfinite(fitted.transform(X)).all()


def test_batches_with_and_without_nan_make_one_stream():
    fitted = MiniBatchNMF(R, missing=np.nan, random_state=0, init="random", forget_factor=1.0)
    for k in range(30):
        fitted.partial_fit(complete(seed=k) if k % 2 else hidden(complete(seed=k)))
    assert fitted.n_steps_ == 30
    assert fitted.components_.shape == (R, 12)


# Refusals -------------------------------------------------------------------------------------------------------------


@both
def test_nan_is_refused_with_the_place_and_the_way_to_allow_it(kind):
    X = complete()
    X[3, 7] = np.nan
    with pytest.raises(Refusal, match=r"Input X contains NaN at \[3, 7\]; set missing=np.nan to fit what was observed"):
        kind(R).fit(X)
    fitted = kind(R, missing=np.nan, random_state=0, tol=1e-2).fit(X)
    assert fitted.transform(X).shape == (50, R)
    with pytest.raises(ValueError, match="contains infinity"):
        fitted.transform(np.full((1, 12), np.inf))


def nan_that_counts() -> None:
    model().fit(hidden(), weights=np.ones((50, 12)))


def holes_only_later() -> None:
    model(missing=np.nan, encoder="mlp", encoder_steps=1).fit(complete()).transform(hidden())


def nothing_counts() -> None:
    model().fit(complete(), weights=np.zeros((50, 12)))


def sparse_nan() -> None:
    model(missing=np.nan).fit(scipy.sparse.csr_array(hidden()))


REFUSED = {
    "X is dense, which stores every entry": lambda: model(missing="unstored").fit(complete()),
    "Input X contains NaN; set missing": lambda: model().fit(scipy.sparse.csr_array(hidden())),
    "X is sparse and stores NaN": sparse_nan,
    r"weights must have the shape of X, \(50, 12\), but have \(50, 11\)": lambda: model().fit(
        complete(), weights=np.ones((50, 11))
    ),
    "weights must be non-negative": lambda: model().fit(complete(), weights=-np.ones((50, 12))),
    r"X\[\d+, \d+\] is nan; drop or impute what is missing": nan_that_counts,
    "weights must be positive somewhere": nothing_counts,
    "encoder=mlp would see zeros where": holes_only_later,
    "encoder=mlp would see zeros": lambda: model(missing=np.nan, encoder="mlp").fit(hidden()),
    "would make them dense; use init=random": lambda: model(missing="unstored", init="nndsvda").fit(
        stored(complete(), seen())
    ),
    "for data without weights alone": lambda: model(missing=np.nan, solver="cd", shuffle=True).fit(hidden()),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_what_cannot_be_used_gets_a_sentence(sentence):
    with pytest.raises(Refusal, match=sentence):
        REFUSED[sentence]()

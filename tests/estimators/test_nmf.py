"""NMF and non_negative_factorization: scikit-learn's meaning of every parameter, and what we add."""

import inspect
import pickle
from functools import partial
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.optimize
import scipy.sparse
import sklearn
import sklearn.decomposition
import torch
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import MinMaxScaler

import nmf_nets
from nmf_nets import NMF, MiniBatchNMF, non_negative_factorization
from nmf_nets.divergences.beta import beta_divergence
from nmf_nets.effort import Effort
from nmf_nets.encoders.mlp import MLP
from nmf_nets.encoders.unrolled import Unrolled
from nmf_nets.estimators.nmf import Looks
from nmf_nets.factorization import Factorization
from nmf_nets.refusal import Refusal
from nmf_nets.solver import Solver
from nmf_nets.updates.hals import HALS
from nmf_nets.watch import Moment

R = 4


def data(n: int = 60, m: int = 20, noise: float = 0.2, seed: int = 0) -> np.ndarray:
    chance = np.random.default_rng(seed)
    return (chance.random((n, R)) @ chance.random((R, m))) * (1 + noise * chance.random((n, m)))


def start(X: np.ndarray, r: int = R, seed: int = 1) -> dict[str, np.ndarray]:
    """In scikit-learn's letters."""
    chance = np.random.default_rng(seed)
    n, m = X.shape
    return {"W": chance.random((n, r)) + 0.1, "H": chance.random((r, m)) + 0.1}


def value(X: np.ndarray, codes: np.ndarray, components: np.ndarray, beta: float) -> float:
    x, y = X, codes @ components
    if beta == 2:
        return 0.5 * ((x - y) ** 2).sum()
    if beta == 1:
        return (x * np.log(x / y) - x + y).sum()
    if beta == 0:
        return (x / y - np.log(x / y) - 1).sum()
    return ((x**beta + (beta - 1) * y**beta - beta * x * y ** (beta - 1)) / (beta * (beta - 1))).sum()


# scikit-learn's meaning -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["NMF", "MiniBatchNMF", "non_negative_factorization"])
def test_every_parameter_of_scikit_learn_is_there_with_its_default_and_in_its_place(name):
    theirs = inspect.signature(getattr(sklearn.decomposition, name)).parameters
    ours = inspect.signature(getattr(nmf_nets, name)).parameters
    for parameter in theirs.values():
        assert ours[parameter.name].default == parameter.default
        assert ours[parameter.name].kind == parameter.kind
    positional = [p.name for p in theirs.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert list(ours)[: len(positional)] == positional


def test_its_W_is_our_H_and_its_H_is_our_W():
    X = data()
    settings: dict[str, Any] = {"solver": "hals", "init": "random", "max_iter": 20}
    result = nmf_nets.factorize(X, R, seed=3, tol=0, **settings)
    model = NMF(R, random_state=3, tol=0, **settings)
    codes = model.fit_transform(X)
    assert (codes == result.H).all()
    assert (model.components_ == result.W).all()
    given = start(X)
    result = nmf_nets.factorize(X, R, solver="hals", start=(given["W"], given["H"]), max_iter=20, tol=0)
    custom = NMF(R, solver="hals", init="custom", max_iter=20, tol=0)
    assert (custom.fit_transform(X, W=given["W"], H=given["H"]) == result.H).all()


@pytest.mark.parametrize("l1_ratio", [0.0, 0.3, 1.0])
def test_alpha_W_penalises_our_H_with_the_features_and_alpha_H_our_W_with_the_samples(l1_ratio):
    X, alpha_W, alpha_H = data(), 0.01, 0.003
    n, m = X.shape
    settings: dict[str, Any] = {"solver": "hals", "init": "random", "max_iter": 20, "tol": 0}
    model = NMF(R, random_state=3, alpha_W=alpha_W, alpha_H=alpha_H, l1_ratio=l1_ratio, **settings)
    result = nmf_nets.factorize(
        X, R, seed=3, l1_H=alpha_W * l1_ratio * m, l1_W=alpha_H * l1_ratio * n,
        l2_H=alpha_W * (1 - l1_ratio) * m, l2_W=alpha_H * (1 - l1_ratio) * n, **settings,
    )  # fmt: skip
    np.testing.assert_allclose(model.fit_transform(X), result.H, rtol=1e-12)
    np.testing.assert_allclose(model.components_, result.W, rtol=1e-12)
    same = NMF(R, random_state=3, alpha_W=alpha_W, l1_ratio=l1_ratio, **settings).fit(X).components_
    both = NMF(R, random_state=3, alpha_W=alpha_W, alpha_H=alpha_W, l1_ratio=l1_ratio, **settings).fit(X).components_
    assert (same == both).all()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("max_iter", [1, 7, 60])
@pytest.mark.parametrize(
    ("ours", "theirs", "beta"),
    [("hals", "cd", 2), *(("mu", "mu", beta) for beta in (2, "frobenius", 1, "kullback-leibler", 1.5, 0.5, 0))],
)
def test_mu_and_hals_take_the_steps_of_scikit_learns_mu_and_cd(ours, theirs, beta, max_iter):
    X = data()
    settings: dict[str, Any] = {"beta_loss": beta, "init": "custom", "max_iter": max_iter}
    expected = sklearn.decomposition.NMF(R, solver=theirs, tol=0 if theirs == "cd" else 1e-4, **settings)
    model = NMF(R, solver=ours, tol=0 if theirs == "cd" else 1e-4, **settings)
    their_codes = expected.fit_transform(X, **start(X))
    codes = model.fit_transform(X, **start(X))
    assert model.n_iter_ == expected.n_iter_
    np.testing.assert_allclose(codes, their_codes, atol=1e-9 * their_codes.max())
    np.testing.assert_allclose(model.components_, expected.components_, atol=1e-9 * expected.components_.max())
    assert model.reconstruction_err_ == pytest.approx(expected.reconstruction_err_, rel=1e-9)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("beta", [2, 1, 0.5, 0])
def test_reconstruction_err_is_the_root_of_twice_the_loss(beta):
    X = data()
    model = NMF(R, solver="auto", beta_loss=beta, random_state=0, tol=1e-3)
    codes = model.fit_transform(X)
    assert 0.5 * model.reconstruction_err_**2 == pytest.approx(value(X, codes, model.components_, beta), rel=1e-10)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("init", [None, "nndsvdar", "random"])
@pytest.mark.parametrize("X", [data(), data(200, 50, 0.5), load_digits().data[:300]], ids=["easy", "noisy", "digits"])
def test_cd_ends_as_low_as_scikit_learns(X, init):
    """But for the local minima that starts lead to by chance, also over four seeds."""
    kinds = NMF, sklearn.decomposition.NMF
    ends = [[kind(8, init=init, random_state=seed).fit(X).reconstruction_err_ for kind in kinds] for seed in range(4)]
    ours, theirs = np.mean(ends, 0)
    assert ours <= 1.01 * theirs


@pytest.mark.parametrize("sides", ["dense", "sparse"])
def test_cd_gives_the_same_for_dense_and_sparse_data(sides):
    X = data() * (np.random.default_rng(3).random((60, 20)) > 0.5)
    model = NMF(R, init="random", random_state=0, max_iter=50, tol=0)
    expected = NMF(R, init="random", random_state=0, max_iter=50, tol=0).fit(X).components_
    given = scipy.sparse.csr_array(X) if sides == "sparse" else X.tolist()
    np.testing.assert_allclose(model.fit(given).components_, expected, rtol=1e-8)


def test_n_components():
    X = data()
    assert NMF(tol=1e-2).fit(X).n_components_ == 20
    assert NMF(None, tol=1e-2).fit(X).n_components_ == 20
    assert NMF(tol=1e-2).set_params(n_components=np.int64(3)).fit(X).components_.shape == (3, 20)


def test_tol_is_a_part_of_the_root_of_the_loss_at_the_start():
    factors = Factorization(torch.ones(1, 1), torch.ones(1, 1))
    roots = [8.9, 7.8, 7.0, 5.9, 5.0, 4.1]  # from 10
    for patience, expected in ((1, [False, False, True, False, True, True]), (2, [False] * 5 + [True])):
        looks = Looks(0.1, 100.0, patience)
        assert [looks(Moment(10, 0.0, root**2, 0.0), factors) for root in roots] == expected


def test_a_smaller_tol_goes_on_longer_and_lower_and_says_so_where_max_iter_ends_it():
    X = load_digits().data[:300]
    runs = [NMF(8, init="random", random_state=0, tol=tol, max_iter=1000).fit(X) for tol in (1e-2, 1e-3, 1e-5)]
    assert runs[0].n_iter_ < runs[1].n_iter_ < runs[2].n_iter_ < 1000
    assert runs[0].reconstruction_err_ > runs[1].reconstruction_err_ > runs[2].reconstruction_err_
    with pytest.warns(ConvergenceWarning, match="Maximum number of iterations 30 reached"):
        NMF(8, init="random", random_state=0, tol=1e-5, max_iter=30).fit(X)
    assert NMF(8, init="random", random_state=0, tol=0, max_iter=30).fit(X).n_iter_ == 30


@pytest.mark.parametrize("state", [5, np.int64(5), np.random.RandomState(5)])
def test_random_state_makes_it_repeatable(state):
    X, settings = data(), {"init": "random", "tol": 0, "max_iter": 3}
    again = np.random.RandomState(5) if isinstance(state, np.random.RandomState) else state
    first, second = (NMF(R, random_state=of, **settings).fit(X).components_ for of in (state, again))
    other = NMF(R, random_state=6, **settings).fit(X).components_
    assert (first == second).all()
    assert not np.allclose(first, other)


def test_shuffle_is_repeatable_and_another_way_to_as_low_a_loss():
    X, settings = data(), {"init": "random", "tol": 0, "max_iter": 60}
    runs = [NMF(R, random_state=0, shuffle=shuffle, **settings).fit(X) for shuffle in (True, True, False)]
    assert (runs[0].components_ == runs[1].components_).all()
    assert not np.allclose(runs[0].components_, runs[2].components_)
    assert runs[0].reconstruction_err_ < 1.1 * runs[2].reconstruction_err_


def test_verbose_says_how_far_it_is(capsys):
    model = NMF(R, verbose=1, max_iter=20, tol=0).fit(data())
    assert capsys.readouterr().out.endswith(f"loss {0.5 * model.reconstruction_err_**2:.6g}\n")
    NMF(R, max_iter=20, tol=0).fit(data())
    assert not capsys.readouterr().out
    MiniBatchNMF(R, verbose=1, batch_size=20, max_iter=2, tol=0).fit(data())
    assert capsys.readouterr().out.splitlines()[-1].startswith("Pass 2 of 2: mean loss of a row ")


def test_multiplicative_steps_warn_of_zeros_in_the_start():
    with pytest.warns(UserWarning, match="cannot update zeros present in the initialization"):
        NMF(R, solver="mu", init="nndsvd", max_iter=2, tol=0).fit(data())


def test_what_interrupts_a_fit_interrupts_it_here_too(monkeypatch):
    """And leaves the components that were found."""

    def interrupt(self: Looks, moment: Moment, factors: Any) -> bool:
        if moment.iteration >= 20:
            raise KeyboardInterrupt
        return False

    monkeypatch.setattr(Looks, "__call__", interrupt)
    model = NMF(R, init="random", random_state=0)
    with pytest.raises(KeyboardInterrupt):
        model.fit(data())
    assert model.n_iter_ == 20
    assert model.transform(data()).shape == (60, R)


# non_negative_factorization -------------------------------------------------------------------------------------------


def test_the_function_is_the_class():
    X, settings = data(), {"init": "random", "solver": "mu", "beta_loss": 1, "random_state": 2, "alpha_W": 1e-3}
    W, H, n_iter = non_negative_factorization(X, n_components=R, l1_ratio=0.5, tol=1e-3, **settings)
    model = NMF(R, l1_ratio=0.5, tol=1e-3, **settings)
    assert (model.fit_transform(X) == W).all()
    assert (model.components_ == H).all()
    assert n_iter == model.n_iter_
    codes, same, _ = non_negative_factorization(X, H=H, update_H=False, l1_ratio=0.5, **settings)
    assert (codes == model.transform(X)).all()
    assert (same == H).all()


# Codes ----------------------------------------------------------------------------------------------------------------


def test_codes_are_exact():
    X, unseen = data(), data(seed=9)
    model = NMF(R, random_state=0).fit(X)
    expected = [scipy.optimize.nnls(model.components_.T, row)[0] for row in unseen]
    np.testing.assert_allclose(model.transform(unseen), expected, atol=1e-6 * np.max(expected))
    ridge = NMF(R, random_state=0, alpha_W=0.01).fit(X)
    augmented = np.hstack([ridge.components_, (0.01 * 20) ** 0.5 * np.eye(R)])
    expected = [scipy.optimize.nnls(augmented.T, [*row, *np.zeros(R)])[0] for row in unseen]
    np.testing.assert_allclose(ridge.transform(unseen), expected, atol=1e-6 * np.max(expected))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("beta", [2, 1, 0.5])
def test_no_other_codes_are_better(beta):
    X, unseen = data(), data(20, seed=9)
    model = NMF(R, solver="auto", beta_loss=beta, random_state=0, tol=1e-3).fit(X)
    codes = model.transform(unseen)
    best = value(unseen, codes, model.components_, beta)
    chance = np.random.default_rng(0)
    for scale in (3e-2, 1e-1):
        other = np.abs(codes * (1 + scale * chance.standard_normal(codes.shape)))
        assert value(unseen, other, model.components_, beta) > best


def test_inverse_transform_takes_dense_and_sparse_codes():
    model = NMF(R, random_state=0)
    codes = model.fit_transform(data())
    np.testing.assert_array_equal(model.inverse_transform(codes), codes @ model.components_)
    sparse = model.inverse_transform(scipy.sparse.csr_array(codes))
    np.testing.assert_allclose(np.asarray(sparse), codes @ model.components_)
    with pytest.raises(Refusal, match="must have 4 columns, a code for each component, but has 3"):
        model.inverse_transform(codes[:, :3])


@pytest.mark.parametrize("encoder", ["lista", "mlp", "refined"])
@pytest.mark.parametrize("beta", [2, 1])
def test_an_encoder_codes_in_one_pass_at_a_loss_that_it_states(encoder, beta):
    X, unseen = data(300), data(50, seed=9)
    settings: dict[str, Any] = {"solver": "auto", "beta_loss": beta, "random_state": 0, "tol": 1e-3}
    exact = NMF(R, **settings).fit(X)
    model = NMF(R, encoder=encoder, encoder_steps=150, **settings)
    codes = model.fit_transform(X)
    assert (model.components_ == exact.components_).all()
    gap = value(X, codes, model.components_, beta) / value(X, exact.transform(X), model.components_, beta) - 1
    assert model.code_gap_ == pytest.approx(gap, abs=1e-9)
    assert 0 <= model.code_gap_ < 0.2
    np.testing.assert_allclose(codes, model.transform(X), rtol=1e-12)
    lost = value(unseen, model.transform(unseen), model.components_, beta)
    assert lost < 1.5 * value(unseen, exact.transform(unseen), exact.components_, beta)
    untrained = NMF(R, encoder=encoder, encoder_steps=1, **settings).fit(X)
    assert model.code_gap_ < untrained.code_gap_ or encoder == "refined"
    again = pickle.loads(pickle.dumps(model))
    assert (again.transform(unseen) == model.transform(unseen)).all()
    single = model.transform(unseen.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, model.transform(unseen), rtol=1e-3, atol=1e-3 * codes.max())


def test_an_encoder_of_ones_own():
    X = data()
    model = NMF(R, encoder=partial(Unrolled, update=HALS(), steps=2, progress=0.0), random_state=0).fit(X)
    assert clone(model).encoder.keywords["steps"] == 2
    rough = NMF(R, random_state=0).fit(X).transform(X)
    assert 0 < np.abs(model.transform(X) - rough).max() < 0.1 * rough.max()
    deep = partial(MLP, divergence=beta_divergence(2), hidden=(16, 16))
    assert NMF(R, encoder=deep, encoder_steps=100, random_state=0).fit(X).code_gap_ < 0.5


# Our solvers ----------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("solver", ["auto", "e-hals", "a-hals", "anls-bpp", "als", Solver(HALS(), Effort(3))])
def test_solvers_of_our_own(solver):
    X = data()
    model = NMF(R, solver=solver, random_state=0).fit(X)
    result = nmf_nets.factorize(X, R, solver=solver, tol=0, max_iter=model.n_iter_)
    assert (model.components_ == result.W).all()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_auto_is_lower_than_mu_for_kullback_leibler():
    X = load_digits().data[:300]
    settings: dict[str, Any] = {"beta_loss": "kullback-leibler", "random_state": 0}
    auto, mu = (NMF(8, solver=solver, **settings).fit(X) for solver in ("auto", "mu"))
    assert auto.reconstruction_err_ < 0.99 * mu.reconstruction_err_


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_semi_nmf_takes_data_and_finds_components_of_any_sign():
    X = np.random.default_rng(0).standard_normal((60, 20))
    model = NMF(R, solver="semi-hals", random_state=0)
    codes = model.fit_transform(X)
    assert (model.components_ < 0).any()
    assert (codes >= 0).all()
    assert model.transform(X).shape == (60, R)
    with pytest.raises(ValueError, match="Negative values in data passed to NMF"):
        NMF(R).fit(X)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("init", ["kmeans", "spherical_kmeans", "separable", "random_acol"])
def test_inits_of_our_own(init):
    assert NMF(R, init=init, random_state=0).fit(data()).reconstruction_err_ < 0.1 * np.linalg.norm(data())


def test_units_of_X_do_not_matter():
    X = data()
    for init in (None, "random"):
        plain, small = (NMF(R, init=init, random_state=0).fit(M) for M in (X, 1e-9 * X))
        assert small.n_iter_ == plain.n_iter_
        np.testing.assert_allclose(small.components_, 1e-9**0.5 * plain.components_, rtol=1e-6)


# Among scikit-learn's -------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_it_is_searched_over_in_a_pipeline():
    images, digits = load_digits(return_X_y=True)
    pipeline = make_pipeline(MinMaxScaler(), NMF(random_state=0, tol=1e-2), LogisticRegression(max_iter=300))
    grid = {"nmf__n_components": np.array([2, 12]), "nmf__solver": ["cd", "auto"]}
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=1).fit(images[:300], digits[:300])
    assert search.best_params_["nmf__n_components"] == 12
    assert search.best_score_ > 0.8


def test_frames_go_in_and_out_with_their_names():
    frame = pd.DataFrame(data(), columns=[f"gene{j}" for j in range(20)], index=[f"cell{i}" for i in range(60)])
    model = NMF(R, random_state=0).set_output(transform="pandas")
    codes = model.fit_transform(frame)
    assert list(codes.columns) == ["nmf0", "nmf1", "nmf2", "nmf3"] == list(model.get_feature_names_out())
    assert list(codes.index) == list(frame.index)
    assert list(model.feature_names_in_) == list(frame.columns)
    assert model.n_features_in_ == 20
    np.testing.assert_array_equal(NMF(R, random_state=0).fit_transform(frame.to_numpy()), codes)
    with pytest.raises(ValueError, match="feature names should match"):
        model.transform(frame.rename(columns={"gene0": "x"}))


def test_it_stands_beside_others_in_columns_and_unions():
    texts = ["red green green", "green blue", "red red", "blue blue red"] * 5
    frame = pd.DataFrame({"text": texts, "a": data(20, 1)[:, 0], "b": data(20, 1, seed=1)[:, 0]})
    topics = make_pipeline(TfidfVectorizer(), NMF(2, random_state=0))
    columns = ColumnTransformer([("topics", topics, "text"), ("parts", NMF(1, random_state=0), ["a", "b"])])
    assert columns.fit_transform(frame).shape == (20, 3)
    assert list(columns.get_feature_names_out()) == ["topics__nmf0", "topics__nmf1", "parts__nmf0"]
    union = make_union(NMF(2, random_state=0), MiniBatchNMF(3, random_state=0))
    assert union.fit_transform(data()).shape == (60, 5)


@pytest.mark.parametrize("kind", [NMF, MiniBatchNMF])
def test_copies_and_those_from_a_file_are_the_same(kind, tmp_path):
    model = kind(R, random_state=0, missing=np.nan, alpha_W=1e-3, tol=1e-3)
    assert clone(model).get_params() == model.get_params()
    model.fit(data())
    joblib.dump(model, tmp_path / "model")
    for again in (pickle.loads(pickle.dumps(model)), joblib.load(tmp_path / "model")):
        assert (again.transform(data()) == model.transform(data())).all()
    mapped = joblib.load(tmp_path / "model", mmap_mode="r")  # as joblib hands it to its workers
    assert not mapped.components_.flags.writeable
    assert (mapped.transform(data()) == model.transform(data())).all()


def test_weights_are_routed_through_a_pipeline():
    X, seen = data(), np.random.default_rng(0).random((60, 20)) < 0.8
    model = NMF(R, init="random", random_state=0, tol=1e-3)
    expected = clone(model).fit(X, weights=seen).components_
    with sklearn.config_context(enable_metadata_routing=True):
        pipeline = make_pipeline(model.set_fit_request(weights=True).set_transform_request(weights=True))
        assert (pipeline.fit(X, weights=seen)[-1].components_ == expected).all()


def test_the_dtype_is_that_of_the_rows():
    model = NMF(R, random_state=0).fit(data())
    assert model.transform(data().astype(np.float32)).dtype == np.float32
    assert NMF(R, random_state=0).fit(data().astype(int)).components_.dtype == np.float64


def test_it_computes_on_a_device():
    X = data()
    here = NMF(R, random_state=0, device=torch.device("cpu")).fit(X)
    assert (here.components_ == NMF(R, random_state=0).fit(X).components_).all()


# Refusals -------------------------------------------------------------------------------------------------------------

BAD: dict[str, Any] = {
    "n_components must be an integer of at least 1, but is 0": {"n_components": 0},
    "n_components must be an integer of at least 1, but is 'many'": {"n_components": "many"},
    "init is 'svd', but must be None, custom or one of random": {"init": "svd"},
    "beta_loss is 'l2', but must be β, a number, or one of frobenius": {"beta_loss": "l2"},
    "max_iter must be an integer": {"max_iter": 0},
    "tol must be a number of at least 0, but is -1": {"tol": -1},
    "alpha_W must be a number of at least 0, but is nan": {"alpha_W": float("nan")},
    "alpha_H must be a number of at least 0, but is 'other'": {"alpha_H": "other"},
    "l1_ratio must be a number from 0 to 1, but is 1.5": {"l1_ratio": 1.5},
    "missing is 0, but must be None, np.nan": {"missing": 0},
    "solver is 'sgd', but must be one of cd, auto, mu": {"solver": "sgd"},
    "solver hals does not minimise divergence KullbackLeibler": {"solver": "hals", "beta_loss": 1},
    "solver 'cd' does not handle beta_loss = 1": {"beta_loss": 1},
    "can only be used when n_components <= min.* but they are 21 and 20": {"n_components": 21, "init": "nndsvd"},
    "There is no NMF .input H.": {"init": "custom"},
    "encoder is 'vae', but must be None, one of lista, mlp, refined": {"encoder": "vae"},
    "encoder_steps must be": {"encoder": "mlp", "encoder_steps": 0},
}


@pytest.mark.untyped
@pytest.mark.parametrize("sentence", BAD)
def test_parameters_that_cannot_be_used_get_a_sentence(sentence):
    with pytest.raises(Refusal, match=sentence):
        NMF(**{"n_components": R, **BAD[sentence]}).fit(data())


def test_data_that_cannot_be_used_get_a_sentence_with_the_place():
    X = data()
    X[3, 5] = -1.5
    with pytest.raises(Refusal, match=r"Negative values in data passed to NMF \(input X\): -1.5 at \[3, 5\]; shift"):
        NMF(R).fit(X)
    with pytest.raises(Refusal, match=r"Negative values in data passed to NMF \(input X\): -1.5 at \[3, 5\]; shift"):
        NMF(R).fit(scipy.sparse.csc_array(X))
    X[3, 5] = 0
    with pytest.raises(Refusal, match=r"the solver may diverge.*X\[3, 5\] is 0"):
        NMF(R, solver="mu", beta_loss="itakura-saito").fit(X)


def test_a_device_that_is_not_there_is_refused():
    if torch.cuda.is_available():
        pytest.skip("it is there")
    with pytest.raises(Refusal, match=r"device is 'cuda', but torch cannot use it"):
        NMF(R, device="cuda").fit(data())

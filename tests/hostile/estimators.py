"""The estimators of scikit-learn."""

import warnings
from typing import Any

import numpy as np
from hostile.doors import assert_factor, attempt, by_scikit_learn, door
from hostile.strategies import FORMS, NUMBERS, Given, given, tables
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning, NotFittedError

import nmf_nets
from nmf_nets.refusal import Refusal
from nmf_nets.solvers import SOLVERS
from nmf_nets.starts import INITS

KINDS = st.sampled_from([nmf_nets.NMF, nmf_nets.MiniBatchNMF])
COMMON = {
    "init": st.sampled_from([None, "auto", "random", *INITS]),
    "beta_loss": st.sampled_from(["frobenius", "kullback-leibler", "itakura-saito", 0.5, 1.5, 3]),
    "alpha_W": st.sampled_from([0.0, 0.1, 1e8, 1e-300]),
    "l1_ratio": st.sampled_from([0.0, 0.5, 1.0]),
    "missing": st.sampled_from([None, np.nan, "nan", "unstored"]),
    "tol": st.sampled_from([0.0, 1e-4]),
    "random_state": st.sampled_from([0, None, 2**32 - 1]),
}
OWN = {
    nmf_nets.NMF: {
        "solver": st.sampled_from(["cd", "mu", "auto", *SOLVERS]),
        "shuffle": st.booleans(),
        "encoder": st.sampled_from([None, None, "lista", "mlp", "refined"]),
    },
    nmf_nets.MiniBatchNMF: {
        "solver": st.sampled_from(["auto", "mu"]),
        "batch_size": st.sampled_from([1, 2, 1024]),
        "forget_factor": st.sampled_from([0.0, 0.7, 1.0]),
        "fresh_restarts": st.booleans(),
        "transform_max_iter": st.sampled_from([None, 1, 5]),
    },
}
ODD = (
    None,
    "",
    "nope",
    -1,
    0,
    0.5,
    2.5,
    np.inf,
    np.nan,
    True,
    [],
    {},
    (1, 2),
    object,
    "ελ",
    10**30,
    b"x",
    np.ones(2),
    np.float32(2),
)
NICE = np.array([[1.0, 2.0, 0.0], [0.5, 0.0, 3.0], [1.0, 1.0, 1.0], [2.0, 4.0, 0.0]])


@st.composite
def estimators(draw: Any) -> Any:
    kind = draw(KINDS)
    settings = st.fixed_dictionaries(
        {"n_components": st.sampled_from(["auto", None, 1, 2, 3, 7]), "max_iter": st.sampled_from([1, 3])},
        optional=COMMON | OWN[kind],
    )
    made = kind(**draw(settings))
    if getattr(made, "encoder", None) is not None:
        made.encoder_steps = 2
    return made


def quietly(call: Any) -> tuple[Any, Exception | None]:
    """What it gives, or why scikit-learn or we refused; other exceptions pass, and so do warnings of other kinds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "The multiplicative update", UserWarning)
        warnings.filterwarnings("ignore", "When init!='custom'|When update_H=False", RuntimeWarning)
        warnings.filterwarnings("ignore", "invalid value encountered in reduce", RuntimeWarning)  # of its check_array
        warnings.filterwarnings("ignore", "X (has|does not have valid) feature names", UserWarning)
        try:
            return call(), None
        except Refusal as refusal:
            return None, refusal
        except (ValueError, TypeError, OverflowError) as error:
            if not by_scikit_learn(error):
                raise
            return None, error


@door(st.tuples(estimators(), given(FORMS, bad=True, empty=True), given(NUMBERS)), examples=150)
def estimator(inputs: tuple[Any, Given, Given]) -> None:
    model, X, other = inputs
    with attempt(X, other):
        H, refused = quietly(lambda: model.fit_transform(X.value))
        if refused is not None:
            _, again = (
                quietly(lambda: model.transform(X.value)) if not hasattr(model, "components_") else (None, refused)
            )
            assert isinstance(again, NotFittedError | Refusal | ValueError | TypeError)
            return
        n, r = H.shape
        signed = model._signed
        assert_factor(H, (n, r))
        W = assert_factor(model.components_, (r, model.n_features_in_), signed)
        assert np.isfinite(model.reconstruction_err_)
        assert model.get_feature_names_out().shape == (r,)
        for seen in (X, other):
            codes, refused = quietly(lambda seen=seen: model.transform(seen.value))
            if refused is None:
                assert_factor(codes, (len(codes), r))
                back, _ = quietly(lambda codes=codes: model.inverse_transform(codes))
                assert back.shape == (len(codes), W.shape[1])


PARAMETERS = [(kind, name) for kind in (nmf_nets.NMF, nmf_nets.MiniBatchNMF) for name in sorted(kind().get_params())]


@door(st.tuples(st.sampled_from(PARAMETERS), st.sampled_from(ODD)), examples=150)
def parameters_of_estimators(inputs: tuple[Any, Any]) -> None:
    (kind, name), value = inputs
    model = kind(n_components=2, max_iter=2).set_params(**{name: value})
    with attempt(value):
        H, refused = quietly(lambda: model.fit_transform(NICE))
        if refused is None:
            assert_factor(H, (4, H.shape[1]))
            assert_factor(model.components_, (H.shape[1], 3))


@door(
    st.tuples(
        st.sampled_from(["custom", "random"]),
        st.sampled_from(["cd", "mu", "auto", "hals"]),
        st.sampled_from([None, *ODD, NICE[:, :2], NICE[:, :2] * 0, NICE[:, :2].astype(np.float32), -NICE[:, :2], NICE]),
        st.sampled_from([None, *ODD, NICE[:2], NICE[:2] * 0, NICE[:2] * np.nan, NICE.tolist()[:2]]),
        st.booleans(),
    ),
    examples=100,
)
def custom_starts(inputs: tuple[str, str, Any, Any, bool]) -> None:
    init, solver, W, H, update_H = inputs
    with attempt(W, H):
        found, refused = quietly(
            lambda: nmf_nets.non_negative_factorization(
                NICE, W, H, 2, init=init, solver=solver, max_iter=2, update_H=update_H, random_state=0
            )
        )
        if refused is None:
            assert_factor(found[0], (4, 2))
            assert_factor(found[1], (2, 3))


@door(
    st.tuples(
        estimators().filter(lambda model: hasattr(model, "partial_fit")),
        st.lists(given(FORMS, bad=True), min_size=1, max_size=4),
        given(NUMBERS, extremes=False),
    ),
    examples=80,
)
def partial_fits(inputs: tuple[Any, list[Given], Given]) -> None:
    model, given, first = inputs
    for X in [first, *given, first]:
        before = None if not hasattr(model, "components_") else model.components_.copy()
        with attempt(X):
            _, refused = quietly(lambda X=X: model.partial_fit(X.value))
        if refused is not None:
            assert before is None or np.array_equal(model.components_, before), "a refused batch changed the components"
        else:
            assert_factor(model.components_, model.components_.shape)


@door(st.tuples(tables(extremes=False), given(FORMS, bad=True, empty=True)), examples=60)
def inverse_transform(inputs: tuple[np.ndarray, Given]) -> None:
    X, codes = inputs
    model = nmf_nets.NMF(1, max_iter=1, tol=0).fit(X)
    with attempt(codes):
        back, refused = quietly(lambda: model.inverse_transform(codes.value))
        if refused is None:
            assert back.shape[1] == X.shape[1]

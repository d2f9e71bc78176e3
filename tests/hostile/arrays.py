"""The doors that take matrices: `as_matrix`, `factorize`, `Stream`, `observed`."""

from typing import Any

import numpy as np
import torch
from hostile.doors import as_numpy, assert_factor, attempt, door
from hostile.strategies import FORMS, NUMBERS, Given, given, good, made, tables
from hypothesis import assume
from hypothesis import strategies as st

import nmf_nets
from nmf_nets.as_matrix import as_matrix
from nmf_nets.matrix import Matrix
from nmf_nets.penalties.graph import Graph
from nmf_nets.penalties.l1 import L1
from nmf_nets.penalties.l2 import L2
from nmf_nets.penalties.orthogonality import Orthogonality
from nmf_nets.solvers import SOLVERS
from nmf_nets.starts import INITS

DTYPES = st.sampled_from([None, None, torch.float32, torch.float64])
NO_DTYPES = st.sampled_from(
    [torch.float16, torch.bfloat16, torch.int64, torch.complex64, "float32", np.float32, float, 7]
)


def target_of(given: Any, dtype: torch.dtype | None) -> type:
    """Of numpy, that the matrix is to have."""
    own = str(getattr(given, "dtype", "")).removeprefix("torch.").removeprefix(">")
    if dtype is not None:
        return np.float64 if dtype == torch.float64 else np.float32
    if hasattr(given, "dtypes"):
        return np.float64
    return np.float64 if own in ("float64", "f8", "float128") else np.float32


def assert_matrix(made: Matrix, truth: np.ndarray | None, signed: bool = False) -> None:
    held = made.dense().detach().numpy()
    assert truth is not None, "what holds no numbers was taken"
    assert good(truth, held.dtype, signed), f"{truth} was taken"
    with np.errstate(over="ignore", under="ignore"):
        np.testing.assert_array_equal(held, truth.astype(held.dtype))


@door(st.tuples(given(FORMS, empty=True, bad=True), DTYPES, st.booleans()), examples=400)
def as_matrix_(inputs: tuple[Given, torch.dtype | None, bool]) -> None:
    X, dtype, signed = inputs
    with attempt(X) as refused:
        found = as_matrix(X.value, dtype, signed=signed)
    if not refused:
        assert_matrix(found, X.truth, signed)
        return
    if X.form.startswith(("masked", "structured")):
        return
    assert not good(X.truth, target_of(X.value, dtype), signed), f"what is right was refused: {refused.because}"


@door(st.tuples(given(NUMBERS), NO_DTYPES), examples=30)
def as_matrix_of_other_types(inputs: tuple[Given, Any]) -> None:
    X, dtype = inputs
    with attempt(X) as refused:
        found = as_matrix(X.value, dtype)
        assert found.dtype in (torch.float32, torch.float64)
    if not refused:
        assert_matrix(found, X.truth)


@st.composite
def weighted(draw: Any) -> tuple[Given, Given]:
    X = draw(tables(bad=draw(st.booleans()), extremes=False))
    if draw(st.booleans()):
        V = np.resize(
            np.array(draw(st.lists(st.sampled_from([0.0, 0.0, 1.0, 0.5, 1e-30, 1e30]), min_size=6, max_size=6))),
            X.shape,
        )
    else:
        V = draw(tables(bad=True))
    return made(X, draw(st.sampled_from(FORMS))), made(V, draw(st.sampled_from(FORMS)))


@door(weighted(), examples=250)
def weights_of_as_matrix(inputs: tuple[Given, Given]) -> None:
    X, V = inputs
    with attempt(X, V) as refused:
        found = as_matrix(X.value, None, V.value)
    if refused:
        return
    if V.value is None:
        assert_matrix(found, X.truth)
        return
    assert X.truth is not None or X.form in ("masked", "frame with NA")
    assert V.truth is not None
    assert X.truth is None or X.truth.shape == V.truth.shape == found.shape
    values, weights = found.values, found.given_weights
    assert bool(
        torch.isfinite(values).all() & torch.isfinite(weights).all() & (values >= 0).all() & (weights >= 0).all()
    )
    assert float(weights.double().sum()) > 0
    if not found.is_sparse:
        seen = V.truth.astype(weights.numpy().dtype)
        np.testing.assert_array_equal(weights.numpy(), seen)
        if X.truth is not None:
            np.testing.assert_array_equal(values.numpy()[seen > 0], X.truth[seen > 0].astype(values.numpy().dtype))


# factorize -----------------------------------------------------------------------------------------------------------

COUNTS = st.sampled_from([1, 1, 2, 2, 3, 5, 7, 41])
SETTINGS = {
    "divergence": st.sampled_from(["frobenius", "kullback_leibler", "itakura_saito", 0.5, 1.5, 3.0, -1.0, 2]),
    "solver": st.sampled_from(["auto", "auto", *SOLVERS]),
    "init": st.sampled_from(["auto", "auto", "random", *INITS]),
    "max_iter": st.sampled_from([1, 2, 12]),
    "kkt_tol": st.sampled_from([None, 0.0, 1e-3]),
    "dtype": DTYPES,
    "seed": st.sampled_from([0, 1, 2**40]),
}


def settings_of(names: tuple[str, ...]) -> st.SearchStrategy[dict[str, Any]]:
    """Some of the settings, the others left as they are."""
    return st.fixed_dictionaries(
        {"max_iter": SETTINGS["max_iter"]}, optional={name: SETTINGS[name] for name in names if name != "max_iter"}
    )


def assert_result(result: Any, X: np.ndarray, r: int, given: dict[str, Any]) -> None:
    signed = result.solver.signed
    H = assert_factor(result.H, (X.shape[0], r))
    W = assert_factor(result.W, (r, X.shape[1]), signed)
    assert np.isfinite(result.divergence_value), result.divergence_value
    assert 1 <= result.n_iter <= given.get("max_iter", 1000)
    assert all(np.isfinite(moment.loss) for moment in result.history), result.history
    with np.errstate(all="ignore"):
        X = X.astype(as_numpy(result.H).dtype).astype(float)  # as it was taken
        D = {"frobenius": 2.0, 2: 2.0}.get(given.get("divergence", "frobenius"))
        if D == 2.0:
            again = 0.5 * ((X - H @ W) ** 2).sum()
            size = 0.5 * ((X**2).sum() + ((H @ W) ** 2).sum())
            if np.isfinite(size) and size > 1e-290:
                assert abs(result.divergence_value - again) <= 1e-5 * size, (result.divergence_value, again)


@door(st.tuples(given(NUMBERS), COUNTS, settings_of(tuple(SETTINGS))), examples=150, typed=True)
def factorize(inputs: tuple[Given, int, dict[str, Any]]) -> None:
    X, r, given = inputs
    with attempt(X) as refused:
        result = nmf_nets.factorize(X.value, r, **given)
    if not refused:
        assert X.truth is not None
        assert_result(result, X.truth, r, given)


@door(st.tuples(given(FORMS, empty=True, bad=True), st.sampled_from([1, 2])), examples=80)
def factorize_of_anything(inputs: tuple[Given, int]) -> None:
    X, r = inputs
    with attempt(X) as refused:
        result = nmf_nets.factorize(X.value, r, max_iter=2)
    if not refused:
        assert good(X.truth)
        assert_result(result, X.truth, r, {"max_iter": 2})


ODD = (
    None,
    "",
    "nope",
    -1,
    0,
    0.5,
    2.5,
    1e400,
    float("nan"),
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
"""Values that an argument may be given, whatever it is for."""

ARGUMENTS = [
    "n_components",
    "divergence",
    "solver",
    "init",
    "start",
    "weights",
    "l1_H",
    "l1_W",
    "l2_H",
    "l2_W",
    "penalties_H",
    "penalties_W",
    "frozen_H",
    "frozen_W",
    "max_iter",
    "tol",
    "kkt_tol",
    "max_seconds",
    "check_every",
    "callback",
    "progress",
    "seed",
    "dtype",
]

NICE = np.array([[1.0, 2.0, 0.0], [0.5, 0.0, 3.0], [1.0, 1.0, 1.0], [2.0, 4.0, 0.0]])


@door(st.tuples(st.sampled_from(ARGUMENTS), st.sampled_from(ODD)), examples=150)
def arguments_of_factorize(inputs: tuple[str, Any]) -> None:
    name, value = inputs
    given = {"n_components": 2, "max_iter": 2, name: value}
    with attempt(value, also=(TypeError,) if callable(value) else ()) as refused:
        result = nmf_nets.factorize(NICE, **given)
    if not refused:
        H, W = (
            assert_factor(result.H, (4, result.H.shape[1])),
            assert_factor(result.W, (result.H.shape[1], 3), result.solver.signed),
        )
        assert H.shape[1] == len(W)
        assert np.isfinite(result.divergence_value)


@st.composite
def started(draw: Any) -> tuple[Given, Given | None, Given | None, dict[str, Any]]:
    X = draw(given(NUMBERS, extremes=draw(st.booleans())))
    r, (n, m) = draw(st.sampled_from([1, 2, 3])), X.truth.shape
    chance = np.random.default_rng(draw(st.integers(0, 99)))

    def factor(shape: tuple[int, int]) -> Given | None:
        kind = draw(
            st.sampled_from(["drawn", "drawn", "drawn", "none", "zeros", "equal", "huge", "tiny", "odd", "bad"])
        )
        M = chance.random(shape)
        M = {"zeros": 0 * M, "equal": 0 * M + 1, "huge": M * 1e200, "tiny": M * 1e-200, "bad": M - 0.5}.get(kind, M)
        if kind == "odd":
            return made(M[:, :-1], draw(st.sampled_from(FORMS)))
        return None if kind == "none" else made(M, draw(st.sampled_from(NUMBERS)))

    H, W = factor((n, r)), factor((r, m))
    frozen = st.sampled_from(
        [None, False, True, [True] + [False] * (r - 1), np.ones(r, bool), np.zeros(r + 1, bool), "no"]
    )
    more = draw(
        st.fixed_dictionaries(
            {"n_components": st.just(r), "max_iter": st.sampled_from([1, 12])},
            optional={
                "frozen_H": frozen,
                "frozen_W": frozen,
                "divergence": SETTINGS["divergence"],
                "solver": SETTINGS["solver"],
                "l1_H": st.sampled_from([0.0, 0.1, 1e8, 1e-8, 1e300, -1.0, np.nan]),
                "l2_W": st.sampled_from([0.0, 0.1, 1e8, 1e300]),
            },
        )
    )
    return X, H, W, more


@door(started(), examples=150)
def start_of_factorize(inputs: tuple[Given, Given | None, Given | None, dict[str, Any]]) -> None:
    X, H, W, more = inputs
    start = tuple(None if given is None else given.value for given in (H, W))
    with attempt(X, H, W) as refused:
        result = nmf_nets.factorize(X.value, start=start, **more)
    if refused:
        return
    r = more["n_components"]
    assert_result(result, X.truth, r, more)
    for factor, name, found in ((H, "frozen_H", as_numpy(result.H).T), (W, "frozen_W", as_numpy(result.W))):
        held = more.get(name)
        if held is None or held is False:
            continue
        kept = np.broadcast_to(np.asarray(held), r)
        begun = factor.truth.T if name == "frozen_H" else factor.truth
        np.testing.assert_allclose(found[kept], begun[kept].astype(found.dtype), rtol=1e-5)


PENALTIES = {
    "l1": lambda n: L1(0.5),
    "l2": lambda n: L2(0.5),
    "orthogonality": lambda n: Orthogonality(0.1),
    "graph": lambda n: Graph(0.1, np.eye(n), neighbors=1),
}


@door(
    st.tuples(
        given(NUMBERS),
        COUNTS,
        st.sampled_from(list(PENALTIES)),
        st.sampled_from("HW"),
        settings_of(("divergence", "solver")),
    ),
    examples=80,
)
def penalties_of_factorize(inputs: tuple[Given, int, str, str, dict[str, Any]]) -> None:
    X, r, name, side, given = inputs
    with attempt(X) as refused:
        penalty = PENALTIES[name](X.truth.shape[side == "W"])
        result = nmf_nets.factorize(X.value, r, **given, **{f"penalties_{side}": [penalty]})
    if not refused:
        assert_result(result, X.truth, r, given)


@door(st.tuples(weighted(), st.sampled_from([1, 2, 3]), settings_of(("divergence", "solver", "init"))), examples=120)
def weights_of_factorize(inputs: tuple[tuple[Given, Given], int, dict[str, Any]]) -> None:
    (X, V), r, given = inputs
    with attempt(X, V) as refused:
        result = nmf_nets.factorize(X.value, r, weights=V.value, **given)
    if not refused and V.value is not None:
        H, W = (
            assert_factor(result.H, (V.truth.shape[0], r)),
            assert_factor(result.W, (r, V.truth.shape[1]), result.solver.signed),
        )
        assert np.isfinite(result.divergence_value), result.divergence_value
        assert np.isfinite(H @ W).all()


@door(
    st.tuples(
        tables(extremes=False),
        st.sampled_from([1, 2, 3]),
        st.sampled_from([-13, 13, -40, 40]),
        settings_of(("divergence", "solver")),
    ),
    examples=60,
    typed=True,
)
def scale_of_factorize(inputs: tuple[np.ndarray, int, int, dict[str, Any]]) -> None:
    """X 4^k has the factors of X times 2^k: 4^13 is 7e7; but where components of norm 1 at most give W a size."""
    X, r, power, given = inputs
    assume(given.get("solver") != "sparse-coding")
    found, because = [], []
    for scale in (1.0, 4.0**power):
        with attempt(X) as refused:
            found.append(nmf_nets.factorize(X * scale, r, init="random", tol=0, **given))
        because.append(refused.because)
    assert (because[0] is None) == (because[1] is None), because
    if because[0] is None:
        one, other = found
        beta = {"frobenius": 2.0, "kullback_leibler": 1.0, "itakura_saito": 0.0}.get(
            given.get("divergence", "frobenius"), given.get("divergence")
        )
        size = np.sum(X ** float(beta)) + 1e-300
        assert abs(one.divergence_value - other.divergence_value / 4.0 ** (power * beta)) <= 1e-5 * size


# Streams -------------------------------------------------------------------------------------------------------------


@st.composite
def batches(draw: Any) -> tuple[dict[str, Any], list[Given]]:
    first = draw(given(NUMBERS, extremes=draw(st.booleans())))
    more = draw(st.lists(given(FORMS, bad=draw(st.booleans())), max_size=2))
    settings = st.fixed_dictionaries(
        {"n_components": st.sampled_from([1, 2, 3]), "steps": st.just(5)},
        optional={
            "divergence": SETTINGS["divergence"],
            "memory": st.sampled_from([0.0, 0.5, 1.0, -1.0, 2.0, np.nan, "all"]),
            "aging": st.sampled_from([0.0, 1.5, -1.0, np.nan, 1e300]),
            "repeats": st.sampled_from([1, 0, -1, 2.5]),
            "init": SETTINGS["init"],
            "W": st.sampled_from([None, np.ones((2, 3)), np.eye(2, 3), np.eye(3), "W", np.full((2, 3), np.nan)]),
        },
    )
    return draw(settings), [first, draw(st.sampled_from([first, first, *more])), *more]


@door(batches(), examples=120)
def stream(inputs: tuple[dict[str, Any], list[Given]]) -> None:
    settings, given = inputs
    with attempt() as refused:
        stream = nmf_nets.Stream(**settings)
    if refused:
        return
    for X in given:
        before = None if stream.W is None else stream.W.clone()
        with attempt(X) as refused:
            factors = stream.partial_fit(X.value)
        if refused:
            assert before is None or torch.equal(stream.W, before), "a refused batch changed the components"
            continue
        n, m = X.truth.shape
        assert_factor(factors.H, (n, settings["n_components"]))
        assert_factor(stream.W, (settings["n_components"], m))
        with attempt(X):
            assert_factor(stream.codes(X.value), (n, settings["n_components"]))

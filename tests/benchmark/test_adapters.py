import logging
import math
import random as python_random
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch
from sklearn.decomposition import NMF, MiniBatchNMF
from threadpoolctl import threadpool_limits

from nmf_nets.as_matrix import as_matrix
from nmf_nets.benchmark.base import Method, Problem
from nmf_nets.benchmark.methods.gensim import Gensim
from nmf_nets.benchmark.methods.nn_fac import NNFac
from nmf_nets.benchmark.methods.scikit_learn_minibatch import ScikitLearnMiniBatch
from nmf_nets.benchmark.methods.stream import Streaming
from nmf_nets.benchmark.methods.tensorly import TensorLy
from nmf_nets.benchmark.methods.torchnmf import TorchNMF
from nmf_nets.benchmark.recorder import Budget, Recorder, Status
from nmf_nets.divergences.beta import beta_divergence
from nmf_nets.extras import Missing
from nmf_nets.factorization import Factorization
from nmf_nets.inits.random import random
from nmf_nets.metrics.relative_error import relative_error
from nmf_nets.refusal import Refusal
from nmf_nets.solver import Solver
from nmf_nets.updates.multiplicative import Multiplicative

RNG = np.random.default_rng(0)
PLANTED = RNG.gamma(0.7, size=(60, 4)) @ RNG.gamma(0.7, size=(4, 25)) * RNG.uniform(0.9, 1.1, size=(60, 25)) + 0.01
HOLED = np.where(RNG.random(PLANTED.shape) < 0.5, PLANTED, 0)


@dataclass(frozen=True)
class Adapter:
    """betas: what it serves, of 2, 1, 0.5 and 0; extra: what brings its package."""

    make: Callable[[], Method]
    betas: tuple[float, ...] = (2,)
    extra: str | None = None
    start: bool = True
    sparse: bool = False
    codes: bool = False
    keeps_float32: bool = True


EVERY_BETA = (2, 1, 0.5, 0)
ADAPTERS = {
    "stream": Adapter(lambda: Streaming(random, 25), EVERY_BETA, sparse=True, codes=True),
    "scikit_learn_minibatch": Adapter(lambda: ScikitLearnMiniBatch(25), EVERY_BETA, sparse=True, codes=True),
    "torchnmf": Adapter(TorchNMF, EVERY_BETA, "torchnmf", sparse=True, codes=True),
    "tensorly mu": Adapter(lambda: TensorLy("mu"), extra="tensorly"),
    "tensorly hals": Adapter(lambda: TensorLy("hals"), extra="tensorly"),
    "gensim": Adapter(Gensim, extra="gensim", start=False, sparse=True, codes=True, keeps_float32=False),
    "nn_fac hals": Adapter(lambda: NNFac("hals"), extra="nn-fac"),
    "nn_fac hals_acc": Adapter(lambda: NNFac("hals_acc"), extra="nn-fac"),
    "nn_fac mu": Adapter(lambda: NNFac("mu"), EVERY_BETA, "nn-fac"),
}
CASES = [(name, beta) for name, adapter in ADAPTERS.items() for beta in adapter.betas]
every_adapter = pytest.mark.parametrize("name", ADAPTERS)
every_case = pytest.mark.parametrize(("name", "beta"), CASES)


def those(kind: str):
    return pytest.mark.parametrize("name", [name for name, adapter in ADAPTERS.items() if getattr(adapter, kind)])


@pytest.fixture(autouse=True)
def one_thread():
    """On matrices as small as these, threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield
    torch.set_num_threads(before)


def method_of(name) -> Method:
    try:
        return ADAPTERS[name].make()
    except Missing as missing:
        pytest.skip(str(missing))


def can_be_seeded(name: str) -> bool:
    if "tensorly" not in name:
        return True
    return tuple(int(part) for part in version("tensorly").split(".")[:2]) >= (0, 10)


def problem_of(beta: float = 2, X: Any = PLANTED, n_components: int = 4, seed: int = 0, dtype=torch.float64) -> Problem:
    return Problem(as_matrix(X, dtype), beta_divergence(beta), n_components, seed)


def start_of(problem: Problem) -> Factorization:
    return random(problem.X, problem.n_components, torch.Generator().manual_seed(3))


def start_for(name: str, problem: Problem) -> Factorization | None:
    return start_of(problem) if ADAPTERS[name].start else None


def shown(method: Method, problem: Problem, start: Factorization | None, iterations: int) -> dict[int, Factorization]:
    """What it showed after how many iterations, the last of them at least those."""
    method.refuse(problem, start)
    seen: dict[int, Factorization] = {}

    def observe(factors, iteration):
        seen[iteration] = factors().clone()
        return iteration < iterations

    method.run(problem, None if start is None else start.clone(), observe)
    return seen


def equal(one: Factorization, other: Factorization) -> bool:
    return torch.equal(one.H, other.H) and torch.equal(one.W, other.W)


def close(one: Factorization, other: Factorization, rtol: float) -> bool:
    pairs = ((one.H, other.H), (one.W, other.W))
    return all(torch.allclose(a, b, rtol=rtol, atol=rtol * float(b.max())) for a, b in pairs)


# What it makes --------------------------------------------------------------------------------------------------------


@every_case
def test_it_descends_from_the_start_which_stays_as_it_is(name, beta):
    method, problem = method_of(name), problem_of(beta)
    start = start_of(problem)
    before = start.clone()
    run = Recorder(problem, Budget(60, 60)).record(method, start if ADAPTERS[name].start else None)
    assert run.status is Status.BUDGET, run.error
    assert run.curve[-1].measured.value < 0.5 * float(problem.divergence.total(problem.X, start))
    assert run.curve[-1].measured.value < run.curve[0].measured.value
    assert [e.iteration for e in run.curve] == sorted({e.iteration for e in run.curve})
    assert equal(before, start)


@every_adapter
def test_it_nears_what_scikit_learn_finds(name):
    method, problem = method_of(name), problem_of()
    reference: Any = NMF(4, tol=0, max_iter=300)  # pyright: ignore[reportArgumentType]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        H = reference.fit_transform(PLANTED)
    best = relative_error(problem.X, Factorization(torch.from_numpy(H), torch.from_numpy(reference.components_)))
    seen = shown(method, problem, start_for(name, problem), 500)
    assert relative_error(problem.X, seen[max(seen)]) < 1.05 * best


@every_adapter
def test_its_own_start_is_the_same_for_the_same_seed(name):
    method, problem = method_of(name), problem_of()
    one, other = (shown(method, problem, None, 20) for _ in range(2))
    assert one.keys() == other.keys()
    assert relative_error(problem.X, one[max(one)]) < 0.2
    if can_be_seeded(name):
        assert equal(one[max(one)], other[max(one)])


@those("sparse")
@pytest.mark.parametrize("beta", [2, 1])
def test_sparse_data_give_what_dense_give(name, beta):
    if beta not in ADAPTERS[name].betas:
        return
    method, dense = method_of(name), problem_of(beta, HOLED)
    sparse = problem_of(beta, scipy.sparse.csr_array(HOLED))
    assert sparse.X.is_sparse
    one, other = (shown(method, problem, start_for(name, problem), 10) for problem in (dense, sparse))
    assert close(other[max(other)], one[max(one)], 1e-8)


@every_adapter
def test_float32_is_kept(name):
    method, problem = method_of(name), problem_of(dtype=torch.float32)
    for start in {start_for(name, problem), None}:
        seen = shown(method, problem, start, 20)
        wanted = torch.float32 if ADAPTERS[name].keeps_float32 else torch.float64
        assert {(factors.H.dtype, factors.W.dtype) for factors in seen.values()} == {(wanted, wanted)}
        assert relative_error(problem.X, seen[max(seen)]) < 0.2


@those("codes")
def test_unseen_rows_are_coded_as_well_as_seen_ones(name):
    method, problem = method_of(name), problem_of()
    seen = {}

    def observe(factors, iteration):
        seen[iteration] = factors().clone()
        return iteration < 100

    coder = method.run(problem, start_for(name, problem), observe)
    assert coder is not None
    rows = as_matrix(PLANTED[::3] * 2)
    codes = coder(rows)
    assert codes.shape == (20, 4)
    assert codes.dtype == torch.float64
    assert bool((codes >= 0).all())
    W = seen[max(seen)].W
    assert relative_error(rows, Factorization(codes, W)) < 1.2 * relative_error(problem.X, seen[max(seen)])
    assert torch.equal(codes, coder(rows))


@pytest.mark.parametrize("name", ["tensorly mu", "tensorly hals", "nn_fac hals", "nn_fac mu"])
def test_some_have_no_way_to_code_unseen_rows(name):
    problem = problem_of()
    assert method_of(name).run(problem, start_of(problem), lambda factors, iteration: False) is None


@pytest.mark.untyped  # beartype draws what it looks at in a dict from Python's chance
@every_adapter
def test_the_chance_of_the_process_is_left_alone(name):
    def states():
        return torch.get_rng_state().tolist(), python_random.getstate(), str(np.random.get_state())  # noqa: NPY002

    method, problem = method_of(name), problem_of(seed=7)
    np.random.seed(1)  # noqa: NPY002 - not where a library that seeds them has left them before
    python_random.seed(1)
    before = states()
    shown(method, problem, None if can_be_seeded(name) else start_of(problem), 3)
    assert states() == before


# One continued run ----------------------------------------------------------------------------------------------------


def torchnmf_at_once(problem, start, iterations):
    from torchnmf.nmf import NMF as Theirs

    model: Any = Theirs(problem.X.shape, problem.n_components).double()
    model.H.data.copy_(start.H)
    model.W.data.copy_(start.W.T)
    model.fit(problem.X.dense(), beta=problem.divergence.beta, tol=-math.inf, max_iter=iterations)
    return Factorization(model.H.detach(), model.W.detach().T)


def tensorly_at_once(name):
    def run(problem, start, iterations):
        import tensorly.decomposition

        decompose = getattr(tensorly.decomposition, name)
        init = (None, [start.H.numpy().copy(), start.W.T.numpy().copy()])
        _, (H, W) = decompose(problem.X.numpy(), problem.n_components, iterations, init=init, tol=0)
        return Factorization(torch.from_numpy(H), torch.from_numpy(W.T))

    return run


def nn_fac_at_once(rule):
    def run(problem, start, iterations):
        from nn_fac.nmf import nmf

        options: Any = {"update_rule": rule, "beta": problem.divergence.beta, "deterministic": True, "tol": 0}
        given: Any = {"init": "custom", "U_0": start.H.numpy(), "V_0": start.W.numpy()}
        H, W, *_ = nmf(problem.X.numpy(), problem.n_components, n_iter_max=iterations, **given, **options)
        return Factorization(torch.from_numpy(H), torch.from_numpy(W))

    return run


AT_ONCE = {
    "torchnmf": torchnmf_at_once,
    "tensorly mu": tensorly_at_once("non_negative_parafac"),
    "tensorly hals": tensorly_at_once("non_negative_parafac_hals"),
    "nn_fac hals": nn_fac_at_once("hals"),
    "nn_fac hals_acc": nn_fac_at_once("hals_acc"),
    "nn_fac mu": nn_fac_at_once("mu"),
}


@pytest.mark.parametrize(("name", "beta"), [case for case in CASES if case[0] in AT_ONCE])
def test_a_run_in_chunks_is_bitwise_one_run_that_never_stops(name, beta):
    method, problem = method_of(name), problem_of(beta, n_components=2)
    seen = shown(method, problem, start_of(problem), 200)
    assert len(seen) < 30
    for iterations in (min(seen), sorted(seen)[len(seen) // 2], max(seen)):
        assert equal(seen[iterations], AT_ONCE[name](problem, start_of(problem), iterations))


@pytest.mark.parametrize("beta", [2, 1, 0.5])
@pytest.mark.parametrize("batch_size", [25, 60])
def test_passes_of_minibatches_are_bitwise_those_of_fit(beta, batch_size):
    problem = problem_of(beta)
    start = start_of(problem)
    seen = shown(ScikitLearnMiniBatch(batch_size, 0.8), problem, start, 4)
    for passes, factors in seen.items():
        options: Any = {
            "n_components": 4,
            "init": "custom",
            "batch_size": batch_size,
            "beta_loss": beta,
            "forget_factor": 0.8 ** (60 / batch_size),
            "fresh_restarts": True,
            "max_iter": passes,
            "transform_max_iter": 200,
        }
        model: Any = MiniBatchNMF(**options)
        model._minibatch_convergence = lambda *state: False  # tol is also where the codes of a batch stop
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            H = model.fit_transform(PLANTED, W=start.H.numpy().copy(), H=start.W.numpy().copy())
        assert equal(factors, Factorization(torch.from_numpy(H), torch.from_numpy(model.components_)))


def test_gensim_is_its_own_updates_and_being_looked_at_changes_nothing():
    method, problem = method_of("gensim"), problem_of()
    from gensim.matutils import Dense2Corpus
    from gensim.models.nmf import Nmf

    seen = shown(method, problem, None, 5)
    options = {"minimum_probability": 0, "normalize": False, "eval_every": None, "random_state": 0}
    model = Nmf(num_topics=4, id2word={j: str(j) for j in range(25)}, **options)
    for _ in range(5):
        model.update(scipy.sparse.csc_matrix(PLANTED.T))
    assert np.array_equal(model.get_topics(), seen[5].W.numpy())
    H = torch.zeros(60, 4, dtype=torch.float64)
    for i, document in enumerate(Dense2Corpus(PLANTED, documents_columns=False)):
        for k, value in model.get_document_topics(document):
            H[i, k] = value
    # Both stop early, each row alone a little earlier.
    by_document, at_once = (relative_error(problem.X, Factorization(h, seen[5].W)) for h in (H, seen[5].H))
    assert at_once == pytest.approx(by_document, rel=0.02)
    assert by_document < 0.3


def test_gensim_is_silent_where_the_program_logs(caplog):
    caplog.set_level(logging.INFO)
    shown(method_of("gensim"), problem_of(), None, 2)
    assert not caplog.records


# The same mathematics -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "beta", "rtol"),
    [
        *(("nn_fac mu", beta, 1e-9) for beta in (2, 1, 1.5, 0.5, 0, 3)),
        ("tensorly mu", 2, 1e-9),
    ],
)
def test_multiplicative_rules_make_our_iterates(name, beta, rtol):
    method, problem = method_of(name), problem_of(beta)
    start = start_of(problem)
    seen = shown(method, problem, start, 12)
    ours = Solver(Multiplicative(problem.divergence)).iterates(problem.X, start)
    for iteration, factors in zip(range(1, 13), ours, strict=False):
        if iteration in seen:
            assert close(seen[iteration], factors, rtol)


@pytest.mark.parametrize("beta", [2, 1, 1.5, 0.5, 0, 3])
def test_torchnmf_makes_our_iterates_on_the_transpose_up_to_its_eps(beta):
    method, problem = method_of("torchnmf"), problem_of(beta)
    start = start_of(problem)
    seen = shown(method, problem, start, 12)
    ours = Solver(Multiplicative(problem.divergence)).iterates(problem.X.T, Factorization(start.W.T, start.H.T))
    for iteration, factors in zip(range(1, 13), ours, strict=False):
        if iteration in seen:
            assert close(seen[iteration], Factorization(factors.W.T, factors.H.T), 1e-4)


# What it cannot ------------------------------------------------------------------------------------------------------


SPARSE = scipy.sparse.csr_array(HOLED)


@pytest.mark.parametrize(
    ("name", "problem", "said"),
    [
        ("tensorly mu", problem_of(1), "Frobenius divergence alone, not β = 1"),
        ("tensorly hals", problem_of(0), "Frobenius divergence alone, not β = 0"),
        ("tensorly hals", problem_of(2, SPARSE), "dense data alone"),
        ("gensim", problem_of(1), "Frobenius divergence alone, not β = 1"),
        ("gensim", problem_of(2), "takes no start"),
        ("nn_fac hals", problem_of(1), "hals serves the Frobenius divergence alone, not β = 1; use its mu"),
        ("nn_fac mu", problem_of(-1), "serves β ≥ 0, not β = -1"),
        ("nn_fac mu", problem_of(1, SPARSE), "dense data alone"),
        ("nn_fac mu", problem_of(1, n_components=26), r"at most min\(n_samples, n_features\) = 25"),
    ],
)
def test_what_it_cannot_serve_it_refuses(name, problem, said):
    with pytest.raises(Refusal, match=said):
        method_of(name).refuse(problem, start_of(problem))


@pytest.mark.parametrize(("make", "package"), [(TensorLy, "tensorly"), (NNFac, "nn_fac")])
def test_an_unknown_rule_is_refused(make, package):
    with pytest.raises(Refusal, match=f"rule of {package} is 'mu2', but must be one of .*mu"):
        make("mu2")


@pytest.mark.parametrize("name", [name for name, adapter in ADAPTERS.items() if adapter.extra is not None])
def test_a_missing_package_names_the_extra_that_brings_it(name, monkeypatch):
    package = name.partition(" ")[0]
    for module in {package, *(module for module in sys.modules if module.startswith(f"{package}."))}:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(Missing) as missing:
        ADAPTERS[name].make()
    extra = ADAPTERS[name].extra
    assert str(missing.value) == f"{package} is not installed; pip install 'nmf-nets[{extra}]' brings it."

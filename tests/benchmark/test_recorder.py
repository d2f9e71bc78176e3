import math
import time
import warnings
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse
import torch
from scipy.special import kl_div
from sklearn.decomposition import NMF

from nmf_nets.as_matrix import as_matrix
from nmf_nets.benchmark.base import Method, Problem
from nmf_nets.benchmark.clock import Clock
from nmf_nets.benchmark.evaluator import Evaluator
from nmf_nets.benchmark.methods.classical import Classical
from nmf_nets.benchmark.methods.net import Net
from nmf_nets.benchmark.methods.scikit_learn import ScikitLearn
from nmf_nets.benchmark.recorder import Budget, Recorder, Status
from nmf_nets.constraints.projected import Projected
from nmf_nets.decoders.linear import Linear
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.divergences.kullback_leibler import KullbackLeibler
from nmf_nets.encoders.exact import Exact
from nmf_nets.encoders.mlp import MLP
from nmf_nets.encoders.table import Table
from nmf_nets.encoders.unrolled import Unrolled
from nmf_nets.factorization import Factorization
from nmf_nets.inits.nndsvda import nndsvda
from nmf_nets.inits.random import random
from nmf_nets.optimizers.block import Block
from nmf_nets.refusal import Refusal
from nmf_nets.updates.hals import HALS
from nmf_nets.updates.scalar_newton import ScalarNewton

ARRAY = np.random.default_rng(0).gamma(1.0, size=(40, 5)) @ np.random.default_rng(1).gamma(1.0, size=(5, 30)) + 0.1
X = as_matrix(ARRAY)
START = random(X, 5, torch.Generator().manual_seed(0))
PROBLEM = Problem(X, Frobenius(), 5)


def net(encoder, update):
    return Net(encoder, lambda start: Linear(start, Projected()), lambda e, d: Block(e, d, update), nndsvda)


METHODS = {
    "mu": (Classical("mu", nndsvda), Frobenius()),
    "hals": (Classical("hals", nndsvda), Frobenius()),
    "table": (net(lambda start: Table(start, Projected()), HALS()), Frobenius()),
    "unrolled": (net(lambda start: Unrolled(start, HALS()), HALS()), Frobenius()),
    "mlp": (net(lambda start: MLP(start, Frobenius()), HALS()), Frobenius()),
    "cd": (ScikitLearn("cd"), Frobenius()),
    "mu of scikit-learn": (ScikitLearn("mu"), Frobenius()),
    "newton": (Classical("newton", nndsvda), KullbackLeibler()),
    "mu of scikit-learn, KL": (ScikitLearn("mu"), KullbackLeibler()),
}


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("track", ["shared", "own"])
def test_every_method_descends_and_leaves_the_start_as_it_is(name, track):
    method, divergence = METHODS[name]
    before = START.clone()
    run = Recorder(Problem(X, divergence, 5), Budget(60, 40)).record(method, START if track == "shared" else None)
    assert torch.equal(before.H, START.H)
    assert torch.equal(before.W, START.W)
    assert run.status == Status.BUDGET
    assert run.curve[-1].iteration >= 40
    assert run.curve[-1].measured.value < 0.5 * float(divergence.total(X, START))
    assert run.curve[-1].measured.value == pytest.approx(float(divergence.total(X, run.factors)))
    assert [e.iteration for e in run.curve] == sorted({e.iteration for e in run.curve})
    assert all(a.spent.seconds <= b.spent.seconds for a, b in pairwise(run.curve))
    assert run.end[1] is run.curve[-1]


@pytest.mark.parametrize("name", [name for name in METHODS if name != "table"])
def test_every_method_codes_unseen_rows_in_its_own_way(name):
    method, divergence = METHODS[name]
    run = Recorder(Problem(X, divergence, 5), Budget(60, 40)).record(method, START)
    rows = X.span(0, 7)
    H = run.coder(rows)
    assert H.shape == (7, 5)
    assert (H >= 0).all()
    W = run.factors.W
    exact = Factorization(Exact(None, HALS() if divergence.beta == 2 else ScalarNewton())(rows, W), W)
    ratio = float(divergence.total(rows, Factorization(H, W))) / float(divergence.total(rows, exact))
    assert 1 - 1e-9 < ratio < (100 if name == "mlp" else 1.1)


def test_a_table_has_no_codes_for_unseen_rows():
    assert Recorder(PROBLEM, Budget(60, 3)).record(METHODS["table"][0], START).coder is None


class Spy(Method):
    def __init__(self):
        self.seen = []

    def refuse(self, problem, start):
        pass

    def run(self, problem, start, observe):
        self.seen.append((problem.X, start.clone()))
        start.H.fill_(7)  # a method may do with its copy what it likes
        observe(lambda: Factorization(start.H, start.W), 1)


def test_all_methods_see_bitwise_the_same_data_and_start():
    spies = [Spy(), Spy()]
    for spy in spies:
        Recorder(PROBLEM, Budget(1)).record(spy, START)
    (first_X, first), (second_X, second) = spies[0].seen[0], spies[1].seen[0]
    assert first_X is second_X
    assert torch.equal(first.H, second.H)
    assert torch.equal(first.W, second.W)
    assert torch.equal(first.H, START.H)


class Given(Spy):
    def __init__(self, *factors):
        self.factors = factors

    def run(self, problem, start, observe):
        for number, factors in enumerate(self.factors, 1):
            observe(lambda: factors, number)  # noqa: B023


def given(H, W):
    return Factorization(H, W)


CHEATS = {
    "negative": (given(START.H - 1, START.W), Status.FAILED, "H has negative entries, the least is -"),
    "NaN": (given(START.H, START.W * math.nan), Status.DIVERGED, "W has entries that are not finite"),
    "infinite": (given(START.H * math.inf, START.W), Status.DIVERGED, "H has entries that are not finite"),
    "a row short": (given(START.H[:-1], START.W), Status.FAILED, r"H has shape (39, 5), but (40, 5) was asked for"),
    "more components": (
        given(torch.ones(40, 6), torch.ones(6, 30)),
        Status.FAILED,
        "H has shape (40, 6), but (40, 5) was asked for",
    ),
    "hopeless": (given(1e6 * START.H, START.W), Status.DIVERGED, "more than 100 times that of the constant"),
}


@pytest.mark.parametrize("cheat", CHEATS)
def test_cheats_are_caught_and_what_was_good_before_is_kept(cheat):
    factors, status, said = CHEATS[cheat]
    run = Recorder(PROBLEM, Budget(60)).record(Given(START, factors), START)
    assert run.status == status
    assert said in run.error
    assert run.curve[0].measured.value == pytest.approx(float(Frobenius().total(X, START)))
    with pytest.raises(RuntimeError, match="no end to speak of"):
        _ = run.end


class Boaster(Spy):
    """Says that it is perfect."""

    loss = 0.0

    def run(self, problem, start, observe):
        factors = Factorization(start.H, start.W)
        object.__setattr__(factors, "loss", 0.0)
        observe(lambda: factors, 1)


def test_what_a_method_says_of_its_own_loss_is_not_heard():
    run = Recorder(PROBLEM, Budget(60)).record(Boaster(), START)
    assert run.curve[0].measured.value == pytest.approx(float(Frobenius().total(X, START)))


class Crash(Spy):
    def run(self, problem, start, observe):
        observe(lambda: start, 1)
        raise MemoryError("too much")


class Mute(Spy):
    def run(self, problem, start, observe):
        pass


def test_a_crash_and_silence_are_recorded():
    run = Recorder(PROBLEM, Budget(60)).record(Crash(), START)
    assert (run.status, run.error, len(run.curve)) == (Status.FAILED, "MemoryError: too much", 1)
    assert Recorder(PROBLEM, Budget(60)).record(Mute(), START).error == "it never showed any factors"


def test_what_cannot_serve_says_so():
    problem = Problem(X, KullbackLeibler(), 5)
    for method in (ScikitLearn("cd"), Classical("hals", nndsvda), METHODS["unrolled"][0]):
        run = Recorder(problem, Budget(60)).record(method, START)
        assert run.status == Status.UNSUPPORTED
        assert not run.curve
        with pytest.raises(Refusal):
            method.refuse(problem, START)
    assert (
        "serves the Frobenius divergence alone" in Recorder(problem, Budget(1)).record(ScikitLearn("cd"), START).error
    )


def test_a_stationary_run_ends_early_and_one_that_stops_by_itself_has_converged():
    run = Recorder(PROBLEM, Budget(60, tolerance=1e-3)).record(METHODS["hals"][0], START)
    assert run.status == Status.CONVERGED
    assert run.curve[-1].measured.kkt_residual <= 1e-3 < run.curve[-2].measured.kkt_residual
    assert Recorder(PROBLEM, Budget(60)).record(Given(START, START), START).status == Status.CONVERGED


def test_the_evaluator_agrees_with_scikit_learn_and_scipy():
    model = NMF(5, init="custom", max_iter=20, tol=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        H = model.fit_transform(ARRAY, W=START.H.numpy().copy(), H=START.W.numpy().copy())
    found = Factorization(torch.from_numpy(H), torch.from_numpy(model.components_))
    measured = Recorder(PROBLEM, Budget(60)).record(Given(found), START).curve[0].measured
    assert math.sqrt(2 * measured.value) == pytest.approx(model.reconstruction_err_, rel=1e-10)
    assert measured.relative_error == pytest.approx(
        np.linalg.norm(ARRAY - H @ model.components_) / np.linalg.norm(ARRAY)
    )
    kl = Recorder(Problem(X, KullbackLeibler(), 5), Budget(60)).record(Given(found), START).curve[0].measured
    assert kl.value == pytest.approx(kl_div(ARRAY, H @ model.components_).sum(), rel=1e-10)


def test_the_evaluator_works_in_float64_whatever_the_data_are():
    single, factors = as_matrix(ARRAY.astype(np.float32)), START.to(torch.float32)
    run = Recorder(Problem(single, Frobenius(), 5), Budget(60)).record(Given(factors), factors)
    H, W = factors.H.double().numpy(), factors.W.double().numpy()
    exact = ((ARRAY.astype(np.float32).astype(np.float64) - H @ W) ** 2).sum() / 2
    assert run.curve[0].measured.value == pytest.approx(exact, rel=1e-12)


class Hands:
    """A clock whose seconds pass only when they are let."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Worker(Spy):
    """Takes a second for an iteration; making its factors for the observer takes a hundred."""

    def __init__(self, hands):
        self.hands = hands

    def run(self, problem, start, observe):
        def factors():
            self.hands.now += 100
            return start

        iteration, going = 0, True
        while going:
            self.hands.now += 1
            iteration += 1
            going = observe(factors, iteration)


def seconds(run):
    return [(evaluation.iteration, evaluation.spent.seconds) for evaluation in run.curve]


def test_measuring_is_off_the_clock_and_working_is_on_it():
    hands = Hands()
    run = Recorder(PROBLEM, Budget(10), growth=1.0, now=hands).record(Worker(hands), START)
    assert seconds(run) == [(i, i) for i in range(1, 11)]
    assert run.status == Status.BUDGET
    hands = Hands()
    run = Recorder(PROBLEM, Budget(1e9, 4), growth=1.5, now=hands).record(Worker(hands), START)
    assert seconds(run) == [(1, 1), (2, 2), (3, 3), (4, 4)]


class Slow(Evaluator):
    """Takes a thousand seconds to measure."""

    def __init__(self, problem, hands):
        super().__init__(problem)
        self.hands = hands

    def __call__(self, factors):
        self.hands.now += 1000
        return super().__call__(factors)


def test_a_slow_evaluator_does_not_move_the_curve():
    hands = Hands()
    recorder = Recorder(PROBLEM, Budget(5), growth=1.0, evaluator=Slow(PROBLEM, hands), now=hands)
    assert seconds(recorder.record(Worker(hands), START)) == [(i, i) for i in range(1, 6)]


class Uneven(Worker):
    """Its second iteration takes as long as hundreds of the others."""

    def run(self, problem, start, observe):
        for iteration in range(1, 60):
            self.hands.now += 300 if iteration == 20 else 1
            if not observe(lambda: start, iteration):
                return


def test_the_grid_is_geometric_in_iterations_and_in_seconds():
    hands = Hands()
    run = Recorder(PROBLEM, Budget(1e9, 59), growth=2.0, now=hands).record(Uneven(hands), START)
    iterations = [evaluation.iteration for evaluation in run.curve]
    assert iterations == [1, 2, 4, 8, 16, 20, 32, 59]  # 20 is there for its seconds


def test_a_real_clock_counts_work_memory_and_processors():
    clock = Clock()
    clock.start()
    until = time.perf_counter() + 0.05
    while time.perf_counter() < until:
        pass
    ballast = np.ones(4_000_000)
    first = clock.stop()
    time.sleep(0.05)
    clock.start()
    second = clock.stop()
    assert 0.05 <= first.seconds < 0.5
    assert second.seconds - first.seconds < 0.04  # what passes between stop and start is not counted
    assert first.cpu_seconds > 0.02
    assert first.system_seconds <= first.cpu_seconds
    if first.peak_memory is not None:
        assert first.peak_memory >= 0.9 * ballast.nbytes
        assert second.peak_memory >= first.peak_memory


@pytest.mark.parametrize("solver", ["cd", "mu"])
@pytest.mark.parametrize("sparse", [False, True])
def test_one_continued_run_of_scikit_learn_is_bitwise_its_runs_of_growing_length(solver, sparse):
    data = scipy.sparse.csr_array(np.where(np.median(ARRAY) < ARRAY, ARRAY, 0)) if sparse else ARRAY
    seen = {}

    def observe(factors, iteration):
        seen[iteration] = factors().clone()
        return iteration < 30

    ScikitLearn(solver).run(Problem(as_matrix(data), Frobenius(), 5), START.clone(), observe)
    for iteration, factors in seen.items():
        model = NMF(5, init="custom", solver=solver, max_iter=iteration, tol=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            H = model.fit_transform(data, W=START.H.numpy().copy(), H=START.W.numpy().copy())
        assert np.array_equal(H, factors.H.numpy())
        assert np.array_equal(model.components_, factors.W.numpy())

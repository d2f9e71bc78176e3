import math
import warnings
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from sklearn.decomposition import NMF

from nmf_nets.benchmark import report
from nmf_nets.benchmark.__main__ import Contest
from nmf_nets.benchmark.__main__ import main as benchmark_main
from nmf_nets.benchmark.base import Method
from nmf_nets.benchmark.net import Net
from nmf_nets.benchmark.recorder import Budget, Record, Recorder
from nmf_nets.benchmark.scikit_learn import ScikitLearn
from nmf_nets.benchmark.solver import Solver
from nmf_nets.constraints.projected import Projected
from nmf_nets.decoders.linear import Linear
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.divergences.kullback_leibler import KullbackLeibler
from nmf_nets.encoders.mlp import MLP
from nmf_nets.encoders.table import Table
from nmf_nets.encoders.unrolled import Unrolled
from nmf_nets.factorization import Factorization
from nmf_nets.inits.random import random
from nmf_nets.matrix import as_matrix
from nmf_nets.optimizers.block import Block
from nmf_nets.refusal import Refusal
from nmf_nets.updates.hals import HALS
from nmf_nets.updates.multiplicative import Multiplicative
from nmf_nets.updates.scalar_newton import ScalarNewton

ARRAY = np.random.default_rng(0).gamma(1.0, size=(40, 5)) @ np.random.default_rng(1).gamma(1.0, size=(5, 30)) + 0.1
X = as_matrix(ARRAY)
START = random(X, 5, torch.Generator().manual_seed(0))


def net(encoder, update):
    return Net(encoder, lambda start: Linear(start, Projected()), lambda e, d: Block(e, d, update))


METHODS = {
    "mu": (Solver(Multiplicative(Frobenius())), Frobenius()),
    "hals": (Solver(HALS()), Frobenius()),
    "table": (net(lambda start: Table(start, Projected()), HALS()), Frobenius()),
    "unrolled": (net(lambda start: Unrolled(start, HALS()), HALS()), Frobenius()),
    "mlp": (net(lambda start: MLP(start, Frobenius()), HALS()), Frobenius()),
    "cd": (ScikitLearn("cd"), Frobenius()),
    "mu of scikit-learn": (ScikitLearn("mu"), Frobenius()),
    "newton": (Solver(ScalarNewton()), KullbackLeibler()),
    "mu of scikit-learn, KL": (ScikitLearn("mu"), KullbackLeibler()),
}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_descends_from_the_start_which_stays_as_it_is(name):
    method, divergence = METHODS[name]
    method.refuse(X, divergence)
    before = START.clone()
    records, factors = Recorder(X, divergence, Budget(60, 40)).record(name, method, START, 0)
    assert torch.equal(before.H, START.H)
    assert torch.equal(before.W, START.W)
    assert records[-1].iteration >= 40
    assert records[-1].value < 0.5 * float(divergence.total(X, START))
    assert records[-1].value == pytest.approx(float(divergence.total(X, factors)))
    assert [r.iteration for r in records] == sorted({r.iteration for r in records})
    assert all(a.seconds <= b.seconds for a, b in pairwise(records))


class Spy(Method):
    def __init__(self):
        self.seen = []

    def refuse(self, X, divergence):
        pass

    def run(self, X, start, divergence, observe):
        self.seen.append((X, start.clone()))
        start.H.fill_(7)  # a method may do with its copy what it likes
        observe(lambda: Factorization(start.H, start.W), 1)


def test_all_methods_see_bitwise_the_same_data_and_start():
    spies = [Spy(), Spy()]
    for spy in spies:
        Recorder(X, Frobenius(), Budget(0)).record("spy", spy, START, 0)
    (first_X, first), (second_X, second) = spies[0].seen[0], spies[1].seen[0]
    assert first_X is second_X
    assert torch.equal(first.H, second.H)
    assert torch.equal(first.W, second.W)
    assert torch.equal(first.H, START.H)


class Given(Spy):
    def __init__(self, factors):
        self.factors = factors

    def run(self, X, start, divergence, observe):
        observe(lambda: self.factors, 1)


@pytest.mark.parametrize(
    ("cheat", "said"),
    [
        (lambda H, W: (H - 1, W), "negative or not finite"),
        (lambda H, W: (H, W * math.nan), "negative or not finite"),
        (lambda H, W: (H * math.inf, W), "negative or not finite"),
        (lambda H, W: (H[:-1], W), "shape of X"),
    ],
)
def test_cheats_are_caught(cheat, said):
    method = Given(Factorization(*cheat(START.H, START.W)))
    with pytest.raises(ValueError, match=said):
        Recorder(X, Frobenius(), Budget(0)).record("cheat", method, START, 0)


def test_the_evaluator_agrees_with_scikit_learn():
    model = NMF(5, init="custom", max_iter=20, tol=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        H = model.fit_transform(ARRAY, W=START.H.numpy().copy(), H=START.W.numpy().copy())
    found = Factorization(torch.from_numpy(H), torch.from_numpy(model.components_))
    record = Recorder(X, Frobenius(), Budget(0)).record("x", Given(found), START, 0)[0][0]
    assert math.sqrt(2 * record.value) == pytest.approx(model.reconstruction_err_, rel=1e-10)


class Clock:
    """Seconds that pass only when they are let."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Worker(Spy):
    """Takes a second for an iteration; making its factors for the observer takes a hundred."""

    def __init__(self, clock):
        self.clock = clock

    def run(self, X, start, divergence, observe):
        def factors():
            self.clock.now += 100
            return start

        iteration, going = 0, True
        while going:
            self.clock.now += 1
            iteration += 1
            going = observe(factors, iteration)


def test_measuring_is_off_the_clock_and_working_is_on_it():
    clock = Clock()
    records, _ = Recorder(X, Frobenius(), Budget(10), growth=1.0, clock=clock).record("w", Worker(clock), START, 0)
    assert [record.seconds for record in records] == list(range(1, 11))
    clock = Clock()
    records, _ = Recorder(X, Frobenius(), Budget(1e9, 4), growth=1.5, clock=clock).record("w", Worker(clock), START, 0)
    assert [(record.iteration, record.seconds) for record in records] == [(1, 1), (2, 2), (3, 3), (4, 4)]


@pytest.mark.parametrize("solver", ["cd", "mu"])
@pytest.mark.parametrize("sparse", [False, True])
def test_one_continued_run_of_scikit_learn_is_bitwise_its_runs_of_growing_length(solver, sparse):
    data = scipy.sparse.csr_array(np.where(np.median(ARRAY) < ARRAY, ARRAY, 0)) if sparse else ARRAY
    seen = {}

    def observe(factors, iteration):
        seen[iteration] = factors().clone()
        return iteration < 30

    ScikitLearn(solver).run(as_matrix(data), START.clone(), Frobenius(), observe)
    for iteration, factors in seen.items():
        model = NMF(5, init="custom", solver=solver, max_iter=iteration, tol=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            H = model.fit_transform(data, W=START.H.numpy().copy(), H=START.W.numpy().copy())
        assert np.array_equal(H, factors.H.numpy())
        assert np.array_equal(model.components_, factors.W.numpy())


def test_what_cannot_serve_is_left_out_with_a_sentence(caplog):
    contest = Contest(
        KullbackLeibler(), {"cd": ScikitLearn("cd"), "hals": Solver(HALS()), "newton": METHODS["newton"][0]}
    )
    assert contest.able(X) == ["newton"]
    assert "cd is left out: scikit-learn's solver cd serves divergence=frobenius alone" in caplog.text
    with pytest.raises(Refusal):
        METHODS["hals"][0].refuse(X, KullbackLeibler())


def record(method, seed, iteration, seconds, value):
    return Record(method, "frobenius", seed, iteration, seconds, value, 0.1, 1e-3, 0)


RECORDS = [record("slow", s, i, 2.0 * i, 100.0 / i) for s in (0, 1) for i in (1, 2, 90, 100)]
RECORDS += [record("never", 0, 1, 1.0, 50.0), record("never", 1, 1, 1.0, 1.05)]


def test_time_to_target_by_hand():
    curve = report.curves(RECORDS)["frobenius", "slow", 0]
    assert report.best_known(RECORDS, "frobenius") == 1.0
    assert report.time_to_target(curve, 1.12) == 180.0
    assert report.time_to_target(curve, 1.0) == 200.0
    assert report.time_to_target(curve, 0.99) == math.inf


def test_the_table_says_how_many_seeds_reached_a_target(capsys):
    from rich.console import Console

    console = Console(width=200, record=True)
    for table in report.tables(RECORDS):
        console.print(table)
    text = console.export_text()
    lines = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    assert "1.000 (1/2)" in lines["never"]
    assert lines["slow"].count("200.000") == 3  # its seconds, and to 1 % and 0.1 %
    assert "180.000" not in lines["slow"]
    assert "2 seeds" in text


def test_the_picture_has_a_line_a_seed():
    figure = report.draw(RECORDS)
    FigureCanvasAgg(figure).draw()
    assert [len(axes.lines) for axes in figure.axes] == [4, 4]


def test_the_program_leaves_records_a_picture_and_a_table(command, tmp_path):
    ran = command("seeds=2", "seconds=0.02", main=benchmark_main)
    assert ran.code == 0, ran.err
    next((tmp_path / "outputs" / "benchmark").glob("*/*")).rename(tmp_path / "result")
    records = pd.read_parquet(tmp_path / "result" / "records.parquet")
    assert set(records["seed"]) == {0, 1}
    assert set(records["divergence"]) == {"frobenius", "kullback_leibler"}
    assert set(records["method"]) >= {"mu", "hals", "net table, block", "net unrolled", "net mlp", "scikit-learn cd"}
    first = records[records["iteration"] == 1].groupby(["divergence", "seed"])
    assert (records.groupby(["divergence", "seed", "method"])["value"].last() > 0).all()
    assert first.size().min() >= 5
    assert (tmp_path / "result" / "benchmark.png").stat().st_size > 10_000
    assert "scikit-learn cd" in ran.out

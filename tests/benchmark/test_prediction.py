import numpy as np
import pytest

from nmf_nets.benchmark import prediction
from nmf_nets.benchmark.prediction import (
    CASES,
    SOLVERS,
    Case,
    Fitted,
    Machine,
    all_reduce_seconds,
    checked,
    constants,
    measured,
    memory,
    messages,
    numbers_sent,
    predicted,
    work,
)
from nmf_nets.benchmark.scaling import Size

FAST = Fitted(np.array([0.0, 1e-9, 0.0, 0.0, 0.0]))


def machine(triad=1e10):
    compute = {(kind, solver): FAST for kind in ("dense", "sparse") for solver in SOLVERS}
    return Machine(compute, Fitted(np.array([1e-9, 1e-4])), triad, [])


def test_seconds_that_are_a_sum_of_parts_are_found_and_predicted():
    parts = np.array([3e-9, 2e-9, 1e-9, 4e-9, 1e-10])
    chance = np.random.default_rng(0)
    drawn = [(*chance.integers(5000, 90_000, 2).tolist(), chance.uniform(0.001, 0.1)) for _ in range(20)]
    sizes = [Size(*size, n_components) for n_components, size in enumerate(drawn, 2)]
    model = Fitted.to([work(size) for size in sizes], [float(parts @ work(size)) for size in sizes])
    other = work(Size(30_000, 900, 0.01, 70))
    assert model.seconds(other) == pytest.approx(parts @ other, rel=1e-6)


def test_what_the_cache_holds_is_not_fetched_from_beyond_it():
    assert work(Size(5000, 5000, 0.1, 50))[2] == 0
    small, large = work(Size(5000, 10**7, 1e-5, 50)), work(Size(10**7, 10**7, 1e-9, 50))
    assert small[2] == pytest.approx(small[1] / 2, rel=0.01), "one factor of two"
    assert large[2] == pytest.approx(large[1], rel=0.01)
    assert work(Size(5000, 10**7, 1, 50))[2] == 0, "dense X is not read at random"


@pytest.mark.parametrize(
    ("solver", "own"), [("hals", 50 * 50), ("mu", 50), ("newton", 50 * 51 // 2 * 300 + 50)], ids=lambda case: str(case)
)
def test_what_ranks_send_does_not_depend_on_rows(solver, own):
    count = numbers_sent(solver, 300, 50)
    assert count - own == 300 * 50 + 5
    assert memory(solver, 10, 300, 0, 50) - memory(solver, 0, 300, 0, 50) == 10 * (8 + 4 * 50)


def test_a_ring_of_two_sends_all_once_and_a_long_one_twice():
    assert all_reduce_seconds(1000, 2, 8e3, 0) == pytest.approx(1)
    assert all_reduce_seconds(1000, 10**6, 8e3, 0) == pytest.approx(2, rel=1e-5)
    assert all_reduce_seconds(0, 5, 1, 1e-3) == pytest.approx(8e-3)


def test_twice_the_ranks_halve_what_grows_with_rows():
    one, two = (predicted(machine(), [Case(10**9, 10**5, 1e11, ranks=ranks)]).frame for ranks in (64, 128))
    assert (one["a core"] / two["a core"]).tolist() == pytest.approx([2, 2])
    assert (one["all-reduce"] < two["all-reduce"]).all()


def test_a_gpu_is_as_much_faster_as_its_memory_but_no_faster_than_a_tenth_of_it_allows():
    frame = predicted(machine(triad=3.35e10)).frame
    assert (frame["a core"] / frame["a GPU, like here"]).tolist() == pytest.approx([100] * len(frame))
    assert (frame["at a tenth"] >= frame["a GPU, like here"]).all()
    least = 2 * CASES[0].values / 64 * (8 + 4 * 50) / 3.35e11
    assert frame["at a tenth"][0] == pytest.approx(least, rel=1e-3)
    assert (frame["50 iterations"] > 50 * frame["a GPU, like here"]).all()


def test_messages_are_listed_with_their_bytes():
    frame = messages(1000, 10, 4).frame.set_index("solver")
    assert frame.loc["newton", "megabytes"] == pytest.approx(8 * (55 * 1000 + 10 + 10_000 + 5) / 1e6)


@pytest.mark.process
def test_a_small_machine_is_measured_and_checked(monkeypatch):
    known = [Size(60, 40, 1, 2), Size(90, 40, 1, 3), Size(40, 80, 1, 4), Size(120, 60, 1, 2)]
    kinds = {"dense": (known, [Size(70, 50, 1, 3)]), "sparse": (known, [Size(70, 50, 0.5, 3)])}
    found = measured(kinds, ([100, 1_000_000], [500_000]), repeats=1, triad_numbers=10_000)
    assert len(found.checks) == 2 * len(SOLVERS) + 1
    assert all(check.measured > 0 and check.predicted > 0 for check in found.checks)
    assert (checked(found).frame["error"] > -1).all()
    assert len(constants(found).frame) == 2 * len(SOLVERS)
    said = []
    monkeypatch.setattr(prediction, "measured", lambda: found)
    monkeypatch.setattr("builtins.print", lambda *texts, **how: said.extend(texts))
    prediction.main()
    assert len(said) == 4
    assert "64 ranks" in said[-1]

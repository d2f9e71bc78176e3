import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import torch
from scipy.special import kl_div

from nmf_nets.as_matrix import as_matrix
from nmf_nets.benchmark import clock
from nmf_nets.benchmark.base import Method
from nmf_nets.benchmark.best_known import BestKnown
from nmf_nets.benchmark.comparison import Comparison, Contest, Entrant, Protocol
from nmf_nets.benchmark.methods.classical import Classical
from nmf_nets.benchmark.methods.scikit_learn import ScikitLearn
from nmf_nets.benchmark.recorder import Budget
from nmf_nets.benchmark.results import ResultFolder, Results
from nmf_nets.benchmark.task import Task, fingerprint
from nmf_nets.data.base import Dataset, MatrixDataModule
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.divergences.kullback_leibler import KullbackLeibler
from nmf_nets.factorization import Factorization
from nmf_nets.inits.nndsvda import nndsvda
from nmf_nets.inits.random import random
from nmf_nets.penalties.l2 import L2
from nmf_nets.penalties.orthogonality import Orthogonality
from nmf_nets.refusal import Refusal
from nmf_nets.updates.hals import HALS
from nmf_nets.updates.scalar_newton import ScalarNewton

RNG = np.random.default_rng(0)
TRUTH = RNG.gamma(0.5, size=(3, 20))
ARRAY = RNG.gamma(1.0, size=(40, 3)) @ TRUTH * RNG.uniform(0.8, 1.2, size=(40, 20))
LABELS = ARRAY.argmax(1) % 3


class Planted(MatrixDataModule):
    def load(self):
        names = tuple(f"word {j}" for j in range(20))
        X = as_matrix(ARRAY, self.dtype)
        return Dataset(X, (4, 5), names, truth=torch.from_numpy(TRUTH).to(self.dtype), labels=LABELS)


def task(name="planted", divergence=None, test=0.2, seed=0, **penalties):
    divergence = divergence or Frobenius()
    update = HALS() if divergence.beta == 2 else ScalarNewton()
    return Task(name, Planted(0.0, test, seed=seed, dtype="float64"), divergence, update, 3, "cpu", **penalties)


def entrant(name, method, identity="1"):
    return Entrant(name, lambda seed: method, identity)


HALS_ENTRANT = entrant("hals", Classical("hals", nndsvda))
MU_ENTRANT = entrant("mu", Classical("mu", nndsvda))


def comparison(path, *entrants, tasks=None, cache=None, seeds=2, tracks=("shared", "own"), iterations=30, **identity):
    budget = Budget(60, iterations, 1e-9)
    protocol = Protocol(budget, seeds, tracks, random, retries=0)
    contests = [Contest(each, entrants or (HALS_ENTRANT, MU_ENTRANT)) for each in tasks or [task()]]
    folder = ResultFolder(path)
    found = Comparison(contests, protocol, folder, BestKnown(path / "best_known.json"), identity, cache)
    folder.claim({"about": "a test"}, [each.task.facts() for each in contests])
    return found


def everything(one):
    ran = [step.cell for step, run in one.run() if run is not None]
    return ran, one.folder.save_tables(one.keys, one.best_known)


def test_all_cells_are_filled_methods_interleaved_over_seeds(tmp_path):
    ran, results = everything(comparison(tmp_path, seeds=3))
    assert [(cell.seed, cell.track, cell.method) for cell in ran] == [
        (seed, track, method) for seed in range(3) for track in ("shared", "own") for method in ("hals", "mu")
    ]
    assert len(results.cells) == 12
    assert set(results.cells["status"]) == {"budget"}
    assert (results.records.groupby("key")["iteration"].max() == 30).all()


def test_the_same_start_for_all_and_another_for_every_seed(tmp_path):
    _, results = everything(comparison(tmp_path, tracks=("shared",), seeds=3))
    starts = results.cells.groupby("seed")["start"].unique()
    assert all(len(found) == 1 for found in starts)
    assert len({found[0] for found in starts}) == 3
    expected = random(task().X, 3, torch.Generator().manual_seed(1))
    assert starts[1][0] == fingerprint(expected)


def test_what_is_asked_beyond_the_loss_is_there(tmp_path):
    _, results = everything(comparison(tmp_path))
    cells = results.cells
    for name in ("accuracy", "nmi", "npmi", "diversity", "recovery", "own_codes_seconds", "exact_codes_row_seconds"):
        assert cells[name].between(-1, 10).all(), name
    assert (cells["recovery"] > 0.8).all()
    assert (cells["own_codes_value"] >= cells["exact_codes_value"] * (1 - 1e-6)).all()
    assert cells["top_features"].map(len).eq(3).all()
    assert cells["top_features"][0][0][0].startswith("word")
    held_out = task().held_out
    assert held_out.shape == (8, 20)


def test_the_values_of_held_out_rows_are_those_of_the_rows(tmp_path):
    _, results = everything(comparison(tmp_path, HALS_ENTRANT, seeds=1, tracks=("shared",)))
    cell = results.cells.iloc[0]
    W = results.components(cell["key"])
    held_out = task().held_out
    H = HALS()(held_out, None, W, 1000, 1e-9)
    assert cell["exact_codes_value"] == pytest.approx(float(Frobenius().total(held_out, Factorization(H, W))), rel=1e-6)


def test_finished_cells_are_never_run_again(tmp_path):
    everything(comparison(tmp_path))
    assert everything(comparison(tmp_path))[0] == []
    ran, results = everything(comparison(tmp_path, seeds=3))  # more seeds: only the new ones
    assert {cell.seed for cell in ran} == {2}
    assert len(results.cells) == 12


def test_finished_cells_are_taken_over_from_other_folders(tmp_path):
    _, first = everything(comparison(tmp_path / "one"))
    other = comparison(tmp_path / "two", cache=tmp_path)
    assert other.adopt() == 8
    ran, second = everything(other)
    assert ran == []
    assert first.records.equals(second.records)
    assert torch.equal(first.components(first.cells["key"][0]), second.components(second.cells["key"][0]))


def test_failures_are_not_taken_over_but_stay_where_they_are(tmp_path):
    everything(comparison(tmp_path / "one", entrant("broken", Broken()), HALS_ENTRANT))
    assert everything(comparison(tmp_path / "one", entrant("broken", Broken()), HALS_ENTRANT))[0] == []
    other = comparison(tmp_path / "two", entrant("broken", Broken()), HALS_ENTRANT, cache=tmp_path)
    assert other.adopt() == 4
    assert {cell.method for cell in everything(other)[0]} == {"broken"}


CHANGES = {
    "iterations": {"iterations": 31},
    "versions": {"torch": "another"},
    "data": {"tasks": [task(seed=1)]},
    "divergence": {"tasks": [task(divergence=KullbackLeibler())]},
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_an_outcome_depends_on_makes_another_cell(tmp_path, change):
    keys = set(comparison(tmp_path / "one").keys)
    assert not keys & set(comparison(tmp_path / "two", **CHANGES[change]).keys)


def test_a_method_that_is_configured_otherwise_makes_another_cell(tmp_path):
    one = comparison(tmp_path / "one", entrant("hals", HALS_ENTRANT.make(0), {"repeats": 1}))
    two = comparison(tmp_path / "two", entrant("hals", HALS_ENTRANT.make(0), {"repeats": 2}))
    assert not set(one.keys) & set(two.keys)


class Broken(Method):
    def refuse(self, problem, start):
        pass

    def run(self, problem, start, observe):
        raise ZeroDivisionError("nothing to divide by")


def test_a_crash_of_one_method_loses_nothing_of_the_others(tmp_path):
    _, results = everything(comparison(tmp_path, HALS_ENTRANT, entrant("broken", Broken()), MU_ENTRANT))
    by_method = results.cells.groupby("method")["status"].unique()
    assert list(by_method["broken"]) == ["failed"]
    assert list(by_method["hals"]) == ["budget"] == list(by_method["mu"])
    assert set(results.cells.query("method == 'broken'")["error"]) == {"ZeroDivisionError: nothing to divide by"}


def test_what_cannot_serve_is_recorded_as_such(tmp_path):
    _, results = everything(comparison(tmp_path, HALS_ENTRANT, tasks=[task(divergence=KullbackLeibler())], seeds=1))
    assert set(results.cells["status"]) == {"unsupported"}
    assert results.cells["error"].str.contains("does not minimise").all()
    assert results.records.empty


class Vandal(Method):
    def refuse(self, problem, start):
        pass

    def run(self, problem, start, observe):
        problem.X.values.mul_(2)
        observe(lambda: start, 1)


def test_a_method_that_changes_the_data_ends_the_comparison(tmp_path):
    with pytest.raises(Refusal, match="method vandal changed the data"):
        everything(comparison(tmp_path, entrant("vandal", Vandal()), tasks=[task()]))
    assert not (tmp_path / "cells").exists()


def test_disturbed_runs_are_repeated_and_the_quietest_is_kept(tmp_path, monkeypatch):
    counts = iter(range(10**9, 0, -(10**6)))
    monkeypatch.setattr(clock, "_usage", lambda: (0.0, 0.0, -next(counts)))
    protocol = Protocol(Budget(60, 5), 1, ("shared",), random, retries=2)
    one = comparison(tmp_path, HALS_ENTRANT, seeds=1, tracks=("shared",))
    one.protocol = protocol
    _, results = everything(one)
    assert results.cells["attempts"].tolist() == [3]
    assert results.cells["switches_per_second"][0] > protocol.disturbance


class Moody(Method):
    """Ends well at its first call and crashes at its second."""

    calls = 0

    def refuse(self, problem, start):
        pass

    def run(self, problem, start, observe):
        self.calls += 1
        if self.calls == 2:
            raise ValueError("no more")
        observe(lambda: start, 1)


def test_a_disturbed_run_that_ended_well_is_better_than_a_quiet_failure(tmp_path, monkeypatch):
    counts = iter(range(10**9, 0, -(10**6)))
    monkeypatch.setattr(clock, "_usage", lambda: (0.0, 0.0, -next(counts)))
    moody = Moody()
    moody.calls = -1  # the warm-up is a call too
    one = comparison(tmp_path, entrant("moody", moody), seeds=1, tracks=("shared",))
    one.protocol = Protocol(Budget(60, 5), 1, ("shared",), random, retries=2)
    _, results = everything(one)
    assert moody.calls == 2
    assert results.cells["attempts"].tolist() == [2]
    assert results.cells["status"].tolist() == ["converged"]


def test_json_lines_and_parquet_hold_the_same(tmp_path):
    _, results = everything(comparison(tmp_path))
    lines = [json.loads(line) for line in (tmp_path / "records.jsonl").read_text().splitlines()]
    assert len(lines) == len(results.records)
    assert [line["value"] for line in lines] == pytest.approx(results.records["value"].tolist())


def test_a_folder_with_another_comparison_is_not_written_into(tmp_path):
    folder = ResultFolder(tmp_path)
    folder.claim({"seeds": 1}, [])
    folder.claim({"seeds": 1}, [])
    with pytest.raises(Refusal, match="holds another comparison"):
        folder.claim({"seeds": 2}, [])


def test_folders_are_gathered_and_contradictions_refused(tmp_path):
    _, first = everything(comparison(tmp_path / "a", HALS_ENTRANT))
    _, second = everything(comparison(tmp_path / "b", MU_ENTRANT))
    both = Results.gathered([ResultFolder(tmp_path / "a"), ResultFolder(tmp_path / "b"), ResultFolder(tmp_path / "a")])
    assert len(both.cells) == len(first.cells) + len(second.cells)
    assert len(both.records) == len(first.records) + len(second.records)
    everything(comparison(tmp_path / "c", HALS_ENTRANT, iterations=5))
    with pytest.raises(Refusal, match="was run with different settings"):
        Results.gathered([ResultFolder(tmp_path / "a"), ResultFolder(tmp_path / "c")])
    everything(comparison(tmp_path / "d", HALS_ENTRANT, tasks=[task(seed=1)]))
    with pytest.raises(Refusal, match="means different problems"):
        Results.gathered([ResultFolder(tmp_path / "a"), ResultFolder(tmp_path / "d")])
    with pytest.raises(Refusal, match="is not a result folder"):
        Results.gathered([ResultFolder(tmp_path)])


PROTOCOLS = {
    "no seeds": ({"seeds": 0}, "seeds is 0"),
    "no tracks": ({"tracks": ()}, "tracks is empty"),
    "no iterations": ({"budget": Budget(1, 0)}, "iterations is 0, but must be a number of at least 1"),
    "fewer than no retries": ({"retries": -1}, "retries is -1"),
    "a track that is none": ({"tracks": ("best",)}, "tracks holds 'best'"),
    "no time": ({"budget": Budget(0)}, "seconds is 0"),
    "a shrinking grid": ({"growth": 0.9}, "growth is 0.9"),
}


@pytest.mark.parametrize("wrong", PROTOCOLS)
def test_a_protocol_that_makes_no_sense_is_refused(wrong):
    given, said = PROTOCOLS[wrong]
    with pytest.raises(Refusal, match=said):
        Protocol(**({"budget": Budget(1), "seeds": 1, "tracks": ("shared",), "init": random} | given))


@pytest.mark.untyped
def test_words_for_numbers_are_refused():
    with pytest.raises(Refusal, match="seeds is 'five'"):
        Protocol(Budget(1), "five", ("shared",), random)
    with pytest.raises(Refusal, match="tolerance is 'little'"):
        Protocol(Budget(1, 1, "little"), 1, ("shared",), random)


def test_fingerprints_know_numbers_and_shapes_but_no_dtype():
    whole = as_matrix(np.arange(12.0).reshape(3, 4))
    assert fingerprint(whole) == fingerprint(whole.to(torch.float32))
    assert fingerprint(whole) != fingerprint(whole.T)
    assert fingerprint(whole) != fingerprint(as_matrix(np.arange(12.0).reshape(4, 3)))
    changed = np.arange(12.0).reshape(3, 4)
    changed[2, 3] = np.nextafter(11, 12)
    assert fingerprint(whole) != fingerprint(as_matrix(changed))


# The best known value -------------------------------------------------------------------------------------------------


def test_what_is_best_known_only_improves(tmp_path):
    shipped = tmp_path / "shipped.json"
    shipped.write_text(json.dumps({"a": {"value": 2.0}}))
    best = BestKnown(tmp_path / "own.json", shipped)
    assert best.value("a") == 2.0
    assert best.value("b") is None
    assert not best.improve("a", 2.5, method="worse")
    assert best.improve("a", 1.5, method="better")
    assert best.improve("b", 7.0, method="first")
    assert BestKnown(tmp_path / "own.json", shipped).value("a") == 1.5
    assert json.loads((tmp_path / "own.json").read_text())["a"]["method"] == "better"
    assert json.loads(shipped.read_text()) == {"a": {"value": 2.0}}


def test_a_file_of_best_known_values_that_is_none_is_refused(tmp_path):
    (tmp_path / "own.json").write_text("{")
    with pytest.raises(Refusal, match=r"own\.json is not JSON"):
        BestKnown(tmp_path / "own.json").value("a")


def test_comparisons_side_by_side_lose_nothing_of_what_is_best_known(tmp_path):
    def improve(number):
        BestKnown(tmp_path / "own.json", tmp_path / "none.json").improve(f"problem {number}", 1.0)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(improve, range(24)))
    assert len(json.loads((tmp_path / "own.json").read_text())) == 24


def test_what_is_best_known_says_who_found_it(tmp_path):
    best = BestKnown(tmp_path / "own.json", tmp_path / "none.json")
    best.improve("a", 1.5, method="HALS", seed=3, iterations=7)
    assert best.origin("a").startswith("HALS, seed 3, iterations 7, 2")
    assert best.origin("b") is None


def test_a_search_finds_what_the_comparison_finds_or_better(tmp_path):
    one = comparison(tmp_path, iterations=100)
    one.best_known.search(one.contests[0].task, 0.2, 0.1)
    found = one.best_known.value(one.contests[0].task.identity)
    _, results = everything(one)
    assert found < results.records.query("iteration == 1")["value"].min()
    assert one.best_known.value(one.contests[0].task.identity) <= results.records["value"].min()
    assert results.tasks["best_known"][0] == one.best_known.value(one.contests[0].task.identity)


def test_a_task_states_its_yardsticks():
    facts = task(divergence=KullbackLeibler()).facts()
    assert facts["n_samples"] == 32
    assert facts["n_held_out"] == 8
    X = task().X.dense().numpy()
    left = np.linalg.svd(X, compute_uv=False)[3:]
    assert facts["svd_error"] == pytest.approx(np.linalg.norm(left) / np.linalg.norm(X))
    assert facts["independent_value"] == pytest.approx(kl_div(X, np.outer(X.sum(1), X.sum(0)) / X.sum()).sum())


def test_a_task_with_penalties_is_a_problem_of_its_own_for_those_who_heed_them(tmp_path):
    penalties = {"penalties_H": {"apart": partial(Orthogonality, 5.0)}, "penalties_W": {"small": partial(L2, 1.0)}}
    plain, penalised, stronger = task(), task(**penalties), task(penalties_H={"apart": partial(Orthogonality, 6.0)})
    assert len({plain.identity, penalised.identity, stronger.identity}) == 3
    assert penalised.facts()["divergence"] == "frobenius + orthogonality on H + l2 on W"
    entrants = (HALS_ENTRANT, MU_ENTRANT, entrant("scikit-learn", ScikitLearn("cd")))
    one = comparison(tmp_path, *entrants, tasks=[penalised], seeds=1, tracks=("shared",), iterations=100)
    _, results = everything(one)
    cells = results.cells.set_index("method")
    assert cells["status"].to_dict() == {"hals": "budget", "mu": "budget", "scikit-learn": "unsupported"}
    last = results.records.groupby("method")["value"].last()
    X = penalised.X
    for method in ("hals", "mu"):
        factors = one.folder.factors(cells.loc[method, "key"])
        assert last[method] == pytest.approx(float(penalised.criterion.total(X, factors)), rel=1e-12)
        assert last[method] > float(Frobenius().total(X, factors))
        assert cells.loc[method, "exact_codes_value"] > 0
    assert last["hals"] <= last["mu"] * (1 + 1e-2)

"""nmf-select on a file: what it leaves, that it goes on where it was, and what it refuses."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock
from matplotlib.image import imread
from safetensors.torch import load_file

from nmf_nets.judgements import Judgements
from nmf_nets.metrics.clustering import misplacements
from nmf_nets.refusal import Refusal
from nmf_nets.select import main, numbers_of
from nmf_nets.selection.consensus import Consensus


@pytest.fixture
def file(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(45) % 3
    X = np.eye(3)[labels] @ rng.random((3, 20)) ** 3 * rng.uniform(0.5, 2, (45, 1)) + 0.02 * rng.random((45, 20))
    np.savez(tmp_path / "X.npz", X=X, labels=np.array(["a", "b", "c"])[labels])
    return tmp_path / "X.npz"


def run(monkeypatch, file, *more, directory="run", selection="[consensus,stability]"):
    directory = file.parent / directory
    words = ["data=matrix", f"data.path={file}", "n_components=2-5", "seeds=6", f"directory={directory}", *more]
    words.append(f"selection={selection}")
    monkeypatch.setattr("sys.argv", ["nmf-select", *words])
    main()
    return directory


def test_it_finds_the_clusters_and_leaves_tables_a_figure_and_components(file, monkeypatch, capsys):
    directory = run(monkeypatch, file)
    said = capsys.readouterr().out
    about = json.loads((directory / "recommendation.json").read_text())
    assert about["n_components"] == 3
    assert about["sentence"] in said
    assert about["misplacements"]["3"] == 0
    assert set(about["choices"]) == {"consensus", "stability"}
    table = pd.read_csv(directory / "consensus.csv")
    assert table["n_components"].tolist() == [2, 3, 4, 5]
    assert table["misplaced"][1] == 0
    assert imread(directory / "selection.png").shape[2] == 4
    factors = load_file(directory / "factors.safetensors")
    X = np.load(file)["X"]
    assert np.linalg.norm(X - (factors["H"] @ factors["W"]).numpy()) < 0.1 * np.linalg.norm(X)


def test_the_same_command_goes_on_and_judges_nothing_twice(file, monkeypatch, capsys):
    judged, judge = [], Consensus.judge

    def interrupted(self, restarts, n_components, generator):
        if len(judged) == 2:
            raise KeyboardInterrupt
        judged.append(n_components)
        return judge(self, restarts, n_components, generator)

    with monkeypatch.context() as patched:
        patched.setattr(Consensus, "judge", interrupted)
        with pytest.raises(SystemExit) as stop:
            run(monkeypatch, file)
    assert stop.value.code == 130
    assert "goes on" in capsys.readouterr().err
    assert sorted(path.name for path in (file.parent / "run" / "judgements").glob("*.npz*")) == [
        f"{name}-{n}.npz" for name in ("consensus", "stability") for n in (2, 3)
    ]

    def counted(self, restarts, n_components, generator):
        judged.append(n_components)
        return judge(self, restarts, n_components, generator)

    monkeypatch.setattr(Consensus, "judge", counted)
    directory = run(monkeypatch, file)
    assert judged == [2, 3, 4, 5]
    assert "4 of 8 judgements are there already" in capsys.readouterr().err
    whole = run(monkeypatch, file, directory="whole")
    assert (directory / "recommendation.json").read_text() == (whole / "recommendation.json").read_text()
    judged.clear()
    run(monkeypatch, file, "n_components=3-6")
    assert judged == [6]


@pytest.mark.parametrize("judged_there", [True, False], ids=["judged", "died"])
def test_processes_share_the_numbers_and_each_ends_with_all(judged_there, file, monkeypatch, capsys):
    """Another process holds 4, and leaves it, judged or not, once this one has nothing else to do."""
    whole = run(monkeypatch, file, "together=false", directory="whole") / "judgements"
    theirs = file.parent / "run" / "judgements"
    theirs.mkdir(parents=True)
    held, judged, judge = FileLock(theirs / "4.lock"), [], Consensus.judge

    def leave(self):
        assert judged == [2, 3, 5]
        for path in whole.glob("*-4.npz") if judged_there else ():
            shutil.copy(path, theirs)
        held.release()

    def counted(self, restarts, n_components, generator):
        judged.append(n_components)
        return judge(self, restarts, n_components, generator)

    monkeypatch.setattr("nmf_nets.select._Bar.waits", leave)
    monkeypatch.setattr(Consensus, "judge", counted)
    held.acquire()
    capsys.readouterr()
    directory = run(monkeypatch, file, "together=false")
    assert judged == [2, 3, 5] + [4] * (not judged_there)
    assert (directory / "recommendation.json").read_text() == (whole.parent / "recommendation.json").read_text()


def test_what_is_fitted_together_is_claimed_together(tmp_path):
    one, two = Judgements(tmp_path, {}), Judgements(tmp_path, {})
    with one.claimed([2, 3, 4, 5], lambda n: (n, n + 1), pytest.fail) as first:
        with two.claimed([2, 3, 4, 5], lambda n: (n, n + 1), pytest.fail) as second:
            assert (first, second) == ([2, 3], [4, 5])
        with two.claimed([3, 4, 5], lambda n: (n, 3, 5), pytest.fail) as third:
            assert third == [4, 5]
    with two.claimed([2], lambda n: (n,), pytest.fail) as left:
        assert left == [2]


def test_judgements_of_other_settings_or_data_are_refused(file, monkeypatch, capsys):
    run(monkeypatch, file)
    for change in ("seeds=7", "divergence=kullback_leibler", "selection.consensus.most=20"):
        with pytest.raises(SystemExit) as stop:
            run(monkeypatch, file, change)
        assert stop.value.code == 2
        said = capsys.readouterr().err
        assert change.split("=")[0].removesuffix(".most") in said
        assert "directory=" in said
    np.savez(file, X=np.load(file)["X"] + 1)
    with pytest.raises(SystemExit):
        run(monkeypatch, file)
    assert "(data)" in capsys.readouterr().err
    (file.parent / "run" / "judgements" / "consensus-2.npz").write_bytes(b"nothing")
    with pytest.raises(SystemExit):
        run(monkeypatch, file)
    assert re.search(r"consensus-2.npz is no judgement of ours .*; delete it", capsys.readouterr().err)


def test_one_criterion_without_components_and_data_without_labels(file, monkeypatch, capsys):
    np.save(file.with_suffix(".npy"), np.load(file)["X"])
    directory = run(monkeypatch, file.with_suffix(".npy"), "n_components=[2,4]", selection="consensus")
    assert "misplaced" not in capsys.readouterr().out
    assert not (directory / "factors.safetensors").exists()
    assert not (directory / "stability.csv").exists()


@pytest.mark.parametrize(
    ("asked", "numbers"), [("2-5", (2, 3, 4, 5)), ([5, 2, 2], (2, 5)), (7, (7,)), ("3-3", (3,))], ids=str
)
def test_numbers_of_components(asked, numbers):
    assert numbers_of(asked) == numbers


@pytest.mark.parametrize("asked", ["2-", "5-2", "many", [], [0, 1], [2.5], None, True], ids=str)
def test_what_are_no_numbers_of_components_is_refused(asked):
    with pytest.raises(Refusal, match="2-10"):
        numbers_of(asked)


def test_classes_share_clusters_where_there_are_fewer_and_the_other_way_round():
    labels = np.array([0, 0, 0, 1, 1, 2, 2, 2])
    assert misplacements(labels, np.array([0, 0, 0, 1, 1, 1, 1, 1])) == 0
    assert misplacements(labels, np.array([0, 0, 1, 1, 1, 1, 1, 1])) == 1
    assert misplacements(labels, np.array([0, 0, 3, 1, 1, 2, 2, 4])) == 0
    assert misplacements(labels, np.array([2, 2, 2, 0, 0, 1, 1, 0])) == 1
    assert misplacements(labels, np.array([0, 0, 0, 0, 0, 0, 0, 1])) == 2, "every cluster holds a class"
    assert misplacements(np.array([0, 1]), np.array([0, 0])) == 0

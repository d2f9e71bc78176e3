import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from functools import partial
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch

import nmf_nets
from nmf_nets.benchmark import __main__ as program
from nmf_nets.benchmark.__main__ import main as benchmark_main
from nmf_nets.benchmark.methods.scikit_learn import ScikitLearn
from nmf_nets.benchmark.report.__main__ import main as report_main
from nmf_nets.program import CONFIGS

QUICK = (
    "task=synthetic",
    "method=[hals,mu,scikit_learn_cd,newton]",
    "seeds=2",
    "seconds=60",
    "iterations=20",
    "retries=0",
    "search=0.1",
)
TIMING = ["seconds", "cpu_seconds", "system_seconds", "switches", "peak_memory", "key"]


@pytest.fixture
def benchmark(command):
    return lambda *overrides: command(*QUICK, *overrides, main=benchmark_main)


def result_of(tmp_path):
    return sorted((tmp_path / "outputs" / "benchmark").glob("*/*"))[-1]


def test_a_comparison_leaves_records_tables_figures_and_a_page(benchmark, tmp_path):
    ran = benchmark("tracks=[shared,own]")
    assert ran.code == 0, ran.err
    found = result_of(tmp_path)
    records = pd.read_parquet(found / "records.parquet")
    assert set(records["method"]) == {"hals", "mu", "scikit_learn_cd"}
    assert set(records["track"]) == {"shared", "own"}
    assert set(records["seed"]) == {0, 1}
    for name in ("config.yaml", "environment.json", "tasks.json", "records.jsonl", "cells.parquet", "report.html"):
        assert (found / name).stat().st_size > 100, name
    assert {path.suffix for path in (found / "tables").iterdir()} == {".csv", ".md", ".tex"}
    assert {path.suffix for path in (found / "figures").iterdir()} == {".png", ".svg"}
    assert "scikit_learn_cd" in ran.out
    assert "does not minimise divergence Frobenius" in " ".join(ran.out.split())
    assert f"report: {found / 'report.html'}" in ran.out
    again = benchmark("tracks=[shared,own]")
    assert "16 of 16 runs are there already" in again.err


def test_the_report_of_a_folder_and_of_several(benchmark, tmp_path, monkeypatch, capsys):
    for method in ("hals", "mu"):
        assert benchmark(f"method={method}", f"hydra.run.dir={method}").code == 0
    monkeypatch.setattr(sys, "argv", ["report", "hals", "mu", "--to", "both"])
    report_main()
    table = pd.read_csv(tmp_path / "both" / "tables" / "final_synthetic_shared.csv")
    assert set(table["method"]) == {"hals", "mu"}
    assert (tmp_path / "both" / "report.html").is_file()
    for arguments, said in ((["hals", "mu"], "--to says where"), (["nowhere"], "is not a result folder")):
        monkeypatch.setattr(sys, "argv", ["report", *arguments])
        with pytest.raises(SystemExit) as stop:
            report_main()
        assert stop.value.code == 2
        assert said in capsys.readouterr().err


def test_any_file_is_a_task(benchmark, tmp_path):
    counts = np.random.default_rng(0).poisson(1.0, size=(40, 12))
    scipy.sparse.save_npz(tmp_path / "counts.npz", scipy.sparse.csr_array(counts))
    given = ("task=matrix", "data.path=counts.npz", "divergence=kullback_leibler", "n_components=3")
    ran = benchmark(*given, "method=[newton,mu,net_unrolled,hals]", "device=cpu", "hydra.run.dir=run")
    assert ran.code == 0, ran.err
    (task,) = json.loads((tmp_path / "run" / "tasks.json").read_text())
    assert (task["n_samples"], task["n_held_out"], task["n_components"]) == (36, 4, 3)
    assert task["sparse"]
    assert task["divergence"] == "kullback_leibler"
    assert set(pd.read_parquet(tmp_path / "run" / "records.parquet")["method"]) == {
        "newton",
        "mu",
        "net_unrolled",
    }


REFUSALS = {
    "a track that is none": (["tracks=[best]"], "tracks holds 'best'"),
    "a file that no task takes": (["data.path=x.npz"], "none of the tasks takes one; add task=matrix"),
    "no file for a task that takes one": (["task=orl_faces"], "needs a file: data.path=FILE"),
    "a file that is not there": (["task=matrix", "data.path=x.npz"], "there is no such file"),
    "no method": (["method=[]"], "nothing is left to compare"),
    "a plugin that is not installed": (["plugins=[other]"], "plugins names 'other', but installed packages bring none"),
    "no components": (["task.synthetic.n_components=0"], "n_components must be an integer of at least 1, but is 0"),
    "no threads": (["threads=0"], "threads is 0"),
    "no iterations": (["iterations=0"], "iterations is 0"),
    "a device that is not there": (["device=cuda:7"], "device is 'cuda:7', but torch cannot use it"),
    "a class that is not there": (
        ["+method.mine={_target_: mine.Mine}", "allow=[mine]"],
        "'mine.Mine' at method.mine._target_, which cannot be imported: No module named 'mine'",
    ),
    "a stranger's class": (["+method.mine={_target_: os.system}"], "which is not allowed"),
}


@pytest.mark.parametrize("wrong", REFUSALS)
def test_what_cannot_be_compared_is_refused_in_a_sentence(benchmark, wrong):
    overrides, said = REFUSALS[wrong]
    ran = benchmark(*overrides)
    assert ran.code == 2
    assert said in ran.sentence


def test_a_folder_that_holds_another_comparison_is_refused(benchmark):
    assert benchmark("method=hals", "hydra.run.dir=here").code == 0
    ran = benchmark("method=mu", "hydra.run.dir=here")
    assert ran.code == 2
    assert "holds another comparison" in ran.sentence


def test_what_is_not_installed_is_left_out_with_the_extra_that_brings_it(benchmark, monkeypatch, tmp_path):
    for module in {"torchnmf", "lda", *sys.modules}:
        if module.partition(".")[0] in ("torchnmf", "lda"):
            monkeypatch.setitem(sys.modules, module, None)
    ran = benchmark("task=[synthetic,reuters]", "method=[hals,torchnmf]")
    assert ran.code == 0, ran.err
    said = " ".join(ran.err.split())
    assert "method torchnmf is left out" in said
    assert "pip install 'nmf-nets[torchnmf]' brings it" in said
    assert "task reuters is left out: lda is not installed; pip install 'nmf-nets[reuters]'" in said
    assert set(pd.read_parquet(result_of(tmp_path) / "records.parquet")["method"]) == {"hals"}


ALL_METHODS = sorted(path.stem for path in (CONFIGS / "method").glob("*.yaml"))
OTHER_MODELS = {"nmfd", "semi", "semi_anls", "semi_hals", "symmetric"}
"""Rivals of their own kind in train.py, which no task here can compare with NMF."""


def test_every_method_that_ships_runs_or_says_why_not(command, tmp_path):
    given = ("task=[synthetic,digits_kullback_leibler]", f"method=[{','.join(ALL_METHODS)}]", "tracks=[own]")
    budget = ("seeds=1", "iterations=2", "seconds=60", "search=0.01", "retries=0", "hydra.run.dir=run")
    ran = command(*given, *budget, main=benchmark_main)
    assert ran.code == 0, ran.err
    cells = pd.read_parquet(tmp_path / "run" / "cells.parquet")
    assert set(cells["status"]) <= {"budget", "converged", "unsupported"}
    ended = cells[cells["status"] != "unsupported"]
    said = " ".join(ran.err.split())
    for method in set(ALL_METHODS) - OTHER_MODELS:
        assert method in set(ended["method"]) or f"method {method} is left out" in said, method
    assert cells.query("status == 'unsupported'")["error"].str.len().gt(20).all()


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes() + array.astype(np.uint8).tobytes()


def test_every_task_that_takes_a_file_runs(command, tmp_path):
    chance = np.random.default_rng(0)
    counts = scipy.sparse.csr_array(chance.poisson(0.5, size=(60, 40)))
    words = np.array([f"word {j}" for j in range(40)])
    parts = {"data": counts.data, "indices": counts.indices, "indptr": counts.indptr, "shape": counts.shape}
    np.savez(tmp_path / "news.npz", **parts, format=b"csr", labels=np.arange(60) % 3, vocabulary=words)
    images = chance.integers(0, 256, size=(50, 6, 6))
    np.savez(tmp_path / "faces.npz", X=images.reshape(50, 36), labels=np.arange(50) % 5, image_shape=np.array([6, 6]))
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(images))
    files = {
        "newsgroups20_tf_idf,newsgroups20_counts": "news.npz",
        "orl_faces": "faces.npz",
        "fashion_mnist": "train-images-idx3-ubyte",
    }
    for number, (tasks, file) in enumerate(files.items()):
        given = (f"task=[{tasks}]", f"data.path={file}", "method=[mu,hals,newton]", f"hydra.run.dir={number}")
        ran = command(*given, "seeds=1", "iterations=3", "seconds=60", "search=0.01", main=benchmark_main)
        assert ran.code == 0, ran.err
        cells = pd.read_parquet(tmp_path / str(number) / "cells.parquet")
        assert set(cells[cells["status"] == "budget"]["task"]) == set(tasks.split(","))
        if "news" in file:
            assert cells[cells["status"] == "budget"]["npmi"].notna().all()


def test_threads_tolerance_and_growth_do_what_they_say(benchmark, tmp_path):
    before = torch.get_num_threads()
    ran = benchmark("method=hals", "threads=1", "tolerance=0.5", "growth=1", "iterations=400", "hydra.run.dir=run")
    torch.set_num_threads(before)
    assert ran.code == 0, ran.err
    assert json.loads((tmp_path / "run" / "environment.json").read_text())["threads"] == 1
    records = pd.read_parquet(tmp_path / "run" / "records.parquet")
    for _, curve in records.groupby("key"):
        assert curve["iteration"].tolist() == list(range(1, len(curve) + 1))
        assert (curve["kkt_residual"] <= 0.5).tolist() == [False] * (len(curve) - 1) + [True]
    assert set(pd.read_parquet(tmp_path / "run" / "cells.parquet")["status"]) == {"converged"}


def test_a_package_whose_method_cannot_be_made_is_named(benchmark, monkeypatch):
    entry = EntryPoint("theirs", "their_package:Method", "nmf_nets.methods")
    monkeypatch.setattr(program, "entry_points", lambda group: [entry])
    ran = benchmark("method=hals")
    assert ran.code == 2
    assert "method 'theirs', which an installed package brings as their_package:Method, cannot be made" in ran.sentence
    assert "leave it out with plugins=[]" in ran.sentence


def brought():
    return ScikitLearn("cd")


def test_installed_packages_may_bring_methods(benchmark, monkeypatch, tmp_path):
    entry = EntryPoint("theirs", "their_package:brought", "nmf_nets.methods")
    monkeypatch.setattr(EntryPoint, "load", lambda self: brought)
    monkeypatch.setattr(program, "entry_points", lambda group: [entry])
    assert benchmark("method=hals").code == 0
    records = pd.read_parquet(result_of(tmp_path) / "records.parquet")
    assert set(records["method"]) == {"hals", "theirs"}
    assert benchmark("method=hals", "plugins=[]", "hydra.run.dir=without").code == 0
    assert set(pd.read_parquet(tmp_path / "without" / "records.parquet")["method"]) == {"hals"}


def test_trackers_get_tables_curves_and_figures(benchmark, tmp_path):
    ran = benchmark("method=[hals,mu]", "logger=[csv,tensorboard,wandb]", "hydra.run.dir=run")
    assert ran.code == 0, ran.err
    curves = pd.read_csv(tmp_path / "run" / "csv" / "metrics.csv")
    gaps = curves["synthetic/shared/hals/gap"].dropna()
    assert len(gaps) > 1
    assert gaps.iloc[-1] <= gaps.iloc[0]
    assert list((tmp_path / "run" / "tensorboard").glob("events*"))
    assert list((tmp_path / "run").glob("wandb/offline-run-*/run-*.wandb"))


def ended(process):
    """Its exit code, and what it said."""
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def started(tmp_path, *overrides):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "nmf_nets.benchmark", *QUICK, "iterations=3000", "seeds=4", "search=0", *overrides],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # background jobs of a shell ignore it
    )


def cells_in(folder: Path):
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("cells/*.json")}


def wait_for_cells(folder, count, process):
    end = time.monotonic() + 120
    while len(cells_in(folder)) < count:
        assert process.poll() is None, ended(process)
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.process
def test_a_killed_comparison_goes_on_and_ends_like_an_undisturbed_one(tmp_path):
    whole = started(tmp_path, "hydra.run.dir=whole", "cache=null", "tolerance=0", "best_known=whole.json")
    code, _, err = ended(whole)
    assert code == 0, err
    killed = started(tmp_path, "hydra.run.dir=killed", "cache=null", "tolerance=0", "best_known=killed.json")
    wait_for_cells(tmp_path / "killed", 3, killed)
    killed.send_signal(signal.SIGKILL)
    ended(killed)
    before = cells_in(tmp_path / "killed")
    assert 3 <= len(before) < len(cells_in(tmp_path / "whole"))
    again = started(tmp_path, "hydra.run.dir=killed", "cache=null", "tolerance=0", "best_known=killed.json")
    code, _, err = ended(again)
    assert code == 0, err
    assert f"{len(before)} of 16 runs are there already" in err
    after = cells_in(tmp_path / "killed")
    assert {name: after[name] for name in before} == before  # not run, not written again
    assert set(after) == set(cells_in(tmp_path / "whole"))
    one, two = (
        pd.read_parquet(tmp_path / name / "records.parquet").drop(columns=TIMING).query("iteration == 3000")
        for name in ("whole", "killed")
    )
    pd.testing.assert_frame_equal(one.reset_index(drop=True), two.reset_index(drop=True))
    (task,), (other,) = (json.loads((tmp_path / name / "tasks.json").read_text()) for name in ("whole", "killed"))
    # The same best value may be met at several iterations, and the clock decides which of them are evaluated.
    assert task.pop("best_known_by")
    assert other.pop("best_known_by")
    assert task.pop("best_known") == pytest.approx(other.pop("best_known"), rel=1e-6)
    assert task == other
    for table in ("final", "left_out"):
        one, two = (
            pd.read_csv(tmp_path / name / "tables" / f"{table}_synthetic_shared.csv") for name in ("whole", "killed")
        )
        untimed = [column for column in one if column not in ("seconds", "ms/iteration", "peak MiB")]
        pd.testing.assert_frame_equal(one[untimed], two[untimed], atol=1e-6)


@pytest.mark.process
def test_ctrl_c_shows_what_there_is_and_the_same_command_goes_on(tmp_path):
    process = started(tmp_path, "hydra.run.dir=run", "cache=null", "tolerance=0")  # not over before it is stopped
    wait_for_cells(tmp_path / "run", 2, process)
    process.send_signal(signal.SIGINT)
    code, out, err = ended(process)
    assert code == 130, err
    assert "the same command goes on where it was" in err
    assert "gap: to the best known value" in out
    assert (tmp_path / "run" / "report.html").is_file()
    again = started(tmp_path, "hydra.run.dir=run", "cache=null", "tolerance=0")
    code, _, err = ended(again)
    assert code == 0, err
    assert "of 16 runs are there already" in err


COMPARING = (Path(nmf_nets.__file__).parent.parent / "docs" / "how-to" / "comparing.md").read_text()


def test_a_method_of_ones_own_in_fifteen_lines(command, tmp_path, monkeypatch):
    found = re.search(r"```\{code-block\} python\n:caption: my_method\.py\n\n(.*?)```", COMPARING, re.DOTALL)
    assert found is not None
    source = found[1]
    assert len([line for line in source.splitlines() if line.strip()]) <= 15
    (tmp_path / "my_method.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    overrides = next(line for line in COMPARING.splitlines() if "+method.mine=" in line).split(" hydra.run.dir=")[0]
    ran = command(*QUICK, *shlex.split(overrides), main=benchmark_main)
    assert ran.code == 0, ran.err
    records = pd.read_parquet(result_of(tmp_path) / "records.parquet")
    values = records.query("method == 'mine' and seed == 0")["value"]
    assert values.is_monotonic_decreasing
    assert len(values) > 5

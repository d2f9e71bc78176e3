"""Jobs of a sweep in other processes: whole runs, the refusals of all, and what is left of a sweep that was stopped."""

import json
import subprocess
import sys

import pytest

from nmf_nets import program
from nmf_nets.benchmark.__main__ import main as benchmark_main

QUICK = ("logger=none", "trainer.max_epochs=3", "callbacks.component_pictures.growth=1e9")


@pytest.mark.process
@pytest.mark.parametrize(("launcher", "says"), [("joblib", 2), ("submitit_local", 1)])
def test_jobs_in_processes_leave_whole_runs_and_a_refusal_reaches_the_command(launcher, says, tmp_path):
    """A worker of joblib says it itself, too; the job of submitit into its log."""
    pytest.importorskip(f"hydra_plugins.hydra_{launcher.partition('_')[0]}_launcher")
    words = ["-m", f"hydra/launcher={launcher}", "threads=1", "n_components=3,0,4", "hydra.sweep.dir=sweep", *QUICK]
    if launcher == "joblib":
        words.append("hydra.launcher.n_jobs=2")
    ran = subprocess.run(
        [sys.executable, "-m", "nmf_nets.train", *words], cwd=tmp_path, capture_output=True, text=True, timeout=240
    )
    assert ran.returncode == 2, ran.stderr
    assert ran.stderr.count("job 1 refused: n_components must be an integer of at least 1, but is 0.") == says
    assert "Traceback" not in ran.stderr
    for job, n_components in ((0, 3), (2, 4)):
        run = tmp_path / "sweep" / str(job)
        assert json.loads((run / "summary.json").read_text())["n_components"] == n_components
        assert json.loads((run / "environment.json").read_text())["threads"] == 1
        assert (run / "report.html").exists()
    assert not (tmp_path / "sweep" / ".refusals").exists()


def test_a_sweep_goes_on_where_it_was(command, tmp_path):
    sweep = ("-m", *QUICK, "hydra.sweep.dir=sweep")
    assert command(*sweep, "n_components=3,4").code == 0
    whole = (tmp_path / "sweep" / "0" / "report.html").stat().st_mtime_ns
    for name in ("report.html", "summary.json"):
        (tmp_path / "sweep" / "1" / name).unlink()  # as if it had been killed in its verdict
    again = command(*sweep, "n_components=3,4")
    assert again.code == 2
    assert "job 1 refused" in again.err
    assert "resume=true" in again.err
    ran = command(*sweep, "resume=true", "n_components=3,4,5")
    assert ran.code == 0, ran.err
    assert (tmp_path / "sweep" / "0" / "report.html").stat().st_mtime_ns == whole
    assert ran.err.count("is done already") == 1
    for job in ("1", "2"):
        assert (tmp_path / "sweep" / job / "report.html").exists()
    other = command(*sweep, "resume=true", "n_components=3", "seed=7")
    assert other.code == 2
    assert "with other values of data, seed;" in other.sentence


@pytest.mark.parametrize("launcher", sorted(program.LAUNCHERS))
def test_a_launcher_that_is_not_installed_is_said_to_be_so(launcher, command, monkeypatch):
    monkeypatch.setattr(program, "version_of", lambda name: None)
    ran = command("-m", f"hydra/launcher={launcher}", "seed=0,1")
    assert ran.code == 2
    assert ran.sentence.startswith(f"refused: hydra/launcher={launcher} is not installed; pip install 'nmf-nets[")


@pytest.mark.parametrize(
    ("more", "why"),
    [((), "what they measure is time"), (("hydra.launcher.n_jobs=1",), "tracks is empty")],
    ids=["beside", "in turn"],
)
def test_comparisons_beside_each_other_are_refused(more, why, command, monkeypatch, tmp_path):
    """In turn they get as far as their tracks, of which there are none."""
    core = pytest.importorskip("hydra_plugins.hydra_joblib_launcher._core")
    monkeypatch.setattr(
        core, "Parallel", lambda **settings: lambda calls: [do(*given, **named) for do, given, named in calls]
    )
    words = ("-m", "hydra/launcher=joblib", "tracks=[]", "method=mu", "task=digits_frobenius", *more)
    ran = command(*words, f"hydra.sweep.dir={tmp_path / 'sweep'}", main=benchmark_main)
    assert ran.code == 2
    assert why in ran.sentence

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import safetensors.torch
from ranks import M, N, R, data

from nmf_nets.factorize_file import main

QUICK = (f"n_components={R}", "check_every=2", "tol=0", "start=random", "values=100")


@pytest.fixture
def factorize(command, tmp_path):
    """Of the data in X.npy, in this process."""
    np.save(tmp_path / "X.npy", data().values.numpy())

    def run(*overrides):
        return command(*overrides, main=main)

    return run


def torchrun(*overrides, cwd, **options):
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*words, "-m", "nmf_nets.factorize_file", *overrides], cwd=cwd, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
    )  # fmt: skip


def summary_of(directory):
    return json.loads((directory / "summary.json").read_text())


def test_it_leaves_factors_and_says_how_well_they_fit(factorize, tmp_path):
    ran = factorize("data.path=X.npy", *QUICK, "max_iter=6", "directory=run")
    assert ran.code == 0, ran.err
    X, H = data().values.numpy(), np.load(tmp_path / "run" / "codes.npy")
    W = np.load(tmp_path / "run" / "components.npy")
    summary = summary_of(tmp_path / "run")
    assert (H.shape, W.shape, summary["n_iter"], summary["reason"]) == ((N, R), (R, M), 6, "max_iter")
    assert summary["divergence_value"] == pytest.approx(0.5 * ((X - H @ W) ** 2).sum(), rel=1e-12)
    assert summary["relative_error"] == pytest.approx(np.linalg.norm(X - H @ W) / np.linalg.norm(X), rel=1e-12)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6]
    assert lines[-1]["loss"] >= summary["divergence_value"]
    factors = safetensors.torch.load_file(tmp_path / "run" / "factors.safetensors")
    np.testing.assert_array_equal(factors["H"].numpy(), H)
    assert not list((tmp_path / "run").glob("*.unfinished"))
    assert "hals, ended by max_iter" in ran.out
    assert "iteration 4: loss" in ran.err


def test_a_run_goes_on_to_the_bit_and_no_other_takes_its_place(factorize, tmp_path):
    factorize("data.path=X.npy", *QUICK, "max_iter=8", "directory=whole")
    factorize("data.path=X.npy", *QUICK, "max_iter=4", "directory=run", "codes=disk")
    again = factorize("data.path=X.npy", *QUICK, "max_iter=8", "directory=run")
    assert again.code == 2
    assert "holds a run already; resume=" in again.sentence
    assert factorize("resume=run", "max_iter=8").code == 0
    for name in ("components.npy", "codes.npy"):
        one, other = (np.load(tmp_path / where / name) for where in ("whole", "run"))
        np.testing.assert_array_equal(one, other)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6, 8]


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ((), "data.path is not given"),
        (("data.path=none.npy",), "none.npy"),
        (("data.path=X.npy", "data.dtype=int8"), "data.dtype is 'int8'"),
        (("data.path=X.npy", "n_components=0"), "n_components"),
        (("data.path=X.npy", "solver=als"), "solver is 'als'"),
        (("resume=nowhere",), "is not the directory of a run"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(factorize, overrides, sentence):
    ran = factorize(*overrides)
    assert ran.code == 2
    assert sentence in ran.sentence


def test_a_signal_ends_it_after_the_pass_with_its_state_saved(factorize, tmp_path, monkeypatch):
    from nmf_nets import factorize_file as program

    def stopping(source, n_components, *, callback, **choices):
        def told(moment):
            callback(moment)
            if moment.iteration == 4:
                os.kill(os.getpid(), signal.SIGTERM)

        return original(source, n_components, callback=told, **choices)

    original = program.factorize_rows
    monkeypatch.setattr(program, "factorize_rows", stopping)
    ran = factorize("data.path=X.npy", *QUICK, "max_iter=1000", "directory=run")
    assert ran.code == 143
    assert "resume=" in ran.err
    assert (tmp_path / "run" / "checkpoints" / "state.safetensors").exists()
    monkeypatch.setattr(program, "factorize_rows", original)
    assert factorize("resume=run", "max_iter=8").code == 0
    factorize("data.path=X.npy", *QUICK, "max_iter=8", "directory=whole")
    one, other = (np.load(tmp_path / where / "codes.npy") for where in ("whole", "run"))
    np.testing.assert_array_equal(one, other)


@pytest.mark.process
def test_two_ranks_leave_what_one_does(factorize, tmp_path):
    factorize("data.path=X.npy", *QUICK, "max_iter=6", "directory=alone")
    process = torchrun("data.path=X.npy", *QUICK, "max_iter=6", "directory=both", cwd=tmp_path)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    for name in ("components.npy", "codes.npy"):
        one, other = (np.load(tmp_path / where / name) for where in ("alone", "both"))
        np.testing.assert_allclose(other, one, rtol=1e-9, atol=1e-11)
    summary = summary_of(tmp_path / "both")
    assert (summary["ranks"], len(summary["peak_memory"])) == (2, 2)
    assert summary["sent"] == 8 * (R * R + R * M + 5)
    assert (out.count("run directory"), err.count("iteration 4")) == (1, 1)


@pytest.mark.process
def test_a_lost_rank_ends_the_others_and_the_run_goes_on(factorize, tmp_path):
    forever = ("max_iter=10000000", "save_seconds=0.01", "directory=run")
    process = torchrun("data.path=X.npy", *QUICK, *forever, cwd=tmp_path)
    state = tmp_path / "run" / "checkpoints" / "state.earlier.safetensors"
    until = time.monotonic() + 90
    while not state.exists() and time.monotonic() < until:
        time.sleep(0.1)
    children = [int(pid) for pid in _children(process.pid)]
    os.kill(children[1], signal.SIGKILL)
    began = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert process.returncode != 0
    assert time.monotonic() - began < 60
    assert "waited for the others in vain" in err
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    ran = factorize("resume=run", "max_iter=2")  # fewer than there were: the last codes alone
    assert ran.code == 0, ran.err
    assert summary_of(tmp_path / "run")["divergence_value"] < lines[0]["loss"]


def _children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return file.read().split()

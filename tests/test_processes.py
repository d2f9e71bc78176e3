"""A run of two processes, from the command line: it is that of one, also when it stops and goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from pytorch_lightning.strategies import DDPStrategy
from safetensors.torch import load_file

from nmf_nets.group import LostRank
from nmf_nets.heartbeat import LOST
from nmf_nets.strategy import Replicas

NET = ["encoder=table", "optimizer=adam", "data.batch_size=300", "data.dtype=float64", "n_components=4"]
QUICK = ["logger=none", "threads=1", "trainer.accelerator=cpu", "callbacks.gap_monitor.growth=9"]
TWO = ["trainer.devices=2", "trainer.strategy=ddp"]


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def start(directory: Path, *overrides: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "nmf_nets.train", *overrides]
    with (directory / "log").open("a") as log:
        return subprocess.Popen(command, cwd=directory, stdout=log, stderr=log, env=os.environ | {"COLUMNS": "200"})


def children_of(process: subprocess.Popen) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


@pytest.mark.process
def test_two_processes_leave_the_run_of_one_and_one_goes_on_with_it(command, one_thread, tmp_path):
    log = tmp_path / "log"
    assert start(tmp_path, *QUICK, *NET, *TWO, "hydra.run.dir=both", "trainer.max_epochs=3").wait(300) == 0, (
        log.read_text()
    )
    assert log.read_text().count("run directory:") == log.read_text().count("net, own codes") == 1
    steps = [json.loads(line)["step"] for line in (tmp_path / "both" / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)
    assert command("resume=both", "trainer.devices=1", "trainer.strategy=auto", "trainer.max_epochs=6").code == 0
    assert command(*QUICK, *NET, "hydra.run.dir=one", "trainer.max_epochs=6").code == 0
    one, both = (load_file(tmp_path / name / "factors.safetensors") for name in ("one", "both"))
    for name in ("H", "W"):
        assert float((one[name] - both[name]).abs().max() / one[name].abs().max()) < 1e-8


@pytest.mark.parametrize("name", ["barrier", "reduce", "broadcast", "all_gather"])
def test_whatever_lightning_waits_for_in_vain_says_that_a_rank_is_lost(name, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("Connection reset by peer")

    monkeypatch.setattr(DDPStrategy, name, broken)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 0)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    with pytest.raises(LostRank, match="rank 0 of 2 waited for the others in vain: Connection reset by peer"):
        getattr(Replicas, name)(object.__new__(Replicas), torch.zeros(1))


@pytest.mark.process
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is always full here")
def test_a_full_disk_ends_all_ranks_with_a_sentence(tmp_path):
    checkpoint, log = tmp_path / "run" / "checkpoints" / "last.ckpt", tmp_path / "log"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.with_name("last.ckpt.unfinished").symlink_to("/dev/full")
    run = start(tmp_path, *QUICK, *NET, *TWO, "trainer.max_epochs=-1", "hydra.run.dir=run")
    assert run.wait(180) == 2, log.read_text()
    assert "last.ckpt could not be saved (No space left" in log.read_text()


@pytest.mark.process
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="children are found in /proc")
def test_a_rank_that_is_killed_ends_the_others_and_sigterm_to_one_saves_for_all(tmp_path):
    endless = [*QUICK, *NET, *TWO, "trainer.max_epochs=-1", "hydra.run.dir=run", "callbacks.checkpoint.every_n_steps=9"]
    checkpoint, log = tmp_path / "run" / "checkpoints" / "last.ckpt", tmp_path / "log"
    run = start(tmp_path, *endless)
    until = time.monotonic() + 120
    while not checkpoint.exists():
        assert run.poll() is None, log.read_text()
        assert time.monotonic() < until
        time.sleep(0.1)
    (child,) = children_of(run)
    os.kill(child, signal.SIGKILL)
    assert run.wait(60) == LOST
    assert "lost: rank 0 of 2 waited for the others in vain" in log.read_text()
    saved = torch.load(checkpoint, weights_only=True)["global_step"]
    run = start(tmp_path, "resume=run")
    while torch.load(checkpoint, weights_only=True)["global_step"] == saved:
        assert run.poll() is None, log.read_text()
        assert time.monotonic() < until + 120
        time.sleep(0.1)
    (child,) = children_of(run)
    run.send_signal(signal.SIGTERM)
    assert run.wait(60) == 143, log.read_text()
    assert "stopped; resume=" in log.read_text()
    assert not Path(f"/proc/{child}/task").is_dir() or _ended(child)
    assert torch.load(checkpoint, weights_only=True)["global_step"] > saved


def _ended(child: int) -> bool:
    until = time.monotonic() + 30
    while Path(f"/proc/{child}").is_dir() and time.monotonic() < until:
        time.sleep(0.1)
    return not Path(f"/proc/{child}").is_dir()


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["trainer.strategy=ddp_spawn"], None),
        (["experiment=convolutive"], "convolutive needs all rows at once, but they would be spread over 2 processes"),
        (["experiment=underapproximation"], "needs all rows at once"),
        (["optimizer=online", "divergence=kullback_leibler"], "cannot spread NewtonSums over 2 processes"),
        (["trainer.num_nodes=2"], "give all of them the same hydra.run.dir=DIRECTORY"),
        (["-m", "seed=1,2"], "a sweep of runs of several processes"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_cannot_be_spread_over_processes_is_refused_before_others_are_started(overrides, sentence, command):
    ran = command(*overrides, "logger=none", "trainer.accelerator=cpu", "trainer.devices=2")
    assert ran.code == 2
    assert (sentence or "use trainer.strategy=ddp") in ran.sentence

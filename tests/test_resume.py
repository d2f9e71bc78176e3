"""A run that is killed and resumed ends with the bits of one that was not."""

import json
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

NETS = {
    "block, HALS": ["encoder=unrolled"],
    "block and Adam": ["encoder=mlp", "divergence=kullback_leibler"],
    "multiplicative": ["encoder=table", "optimizer=multiplicative"],
    "Adam": ["encoder=table", "optimizer=adam"],
}
COMMON = [
    "logger=none",
    "threads=1",
    "data.batch_size=300",
    "trainer.max_epochs=50",
    "callbacks.checkpoint.every_n_steps=7",
]


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def start(directory, *overrides):
    command = [sys.executable, "-m", "nmf_nets.train", *COMMON, *overrides, f"hydra.run.dir={directory}"]
    with (directory.parent / "log").open("w") as log:
        return subprocess.Popen(command, cwd=directory.parent, stdout=log, stderr=log)


def step_of(checkpoint):
    return torch.load(checkpoint, weights_only=True)["global_step"]


def kill_in_training(process, directory, sent, after=20):
    """Sends the signal once a checkpoint of at least so many steps is there; the exit code, and its step."""
    checkpoint = directory / "checkpoints" / "last.ckpt"
    until = time.monotonic() + 60
    while not checkpoint.exists() or step_of(checkpoint) < after:
        assert time.monotonic() < until, "no checkpoint"
        assert process.poll() is None, (directory.parent / "log").read_text()
        time.sleep(0.005)
    process.send_signal(sent)
    process.wait(60)
    return process.returncode, step_of(checkpoint)


def same_factors(left, right):
    a, b = load_file(left / "factors.safetensors"), load_file(right / "factors.safetensors")
    return all(torch.equal(a[name], b[name]) for name in ("H", "W", "rows"))


@pytest.mark.process
@pytest.mark.parametrize("net", NETS)
def test_sigkill_in_mid_epoch_then_resume_is_bitwise_an_uninterrupted_run(net, command, one_thread, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert command(*COMMON, *NETS[net], "hydra.run.dir=whole").code == 0
    code, step = kill_in_training(start(killed, *NETS[net]), killed, signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert step < 250, "it was over before it was killed"
    assert not (killed / "summary.json").exists()
    assert command("resume=killed").code == 0
    assert same_factors(whole, killed)
    steps = [json.loads(line)["step"] for line in (killed / "metrics.jsonl").read_text().splitlines()]
    whole_steps = [json.loads(line)["step"] for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert steps == whole_steps


@pytest.mark.process
def test_sigterm_leaves_a_checkpoint_of_the_last_step_and_exits_143(command, one_thread, tmp_path):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    seldom = "callbacks.checkpoint.every_n_steps=20"
    assert command(*COMMON, seldom, "hydra.run.dir=whole").code == 0
    process = start(stopped, seldom)
    code, step = kill_in_training(process, stopped, signal.SIGTERM)
    assert code == 143, (tmp_path / "log").read_text()
    assert 20 <= step < 250
    assert f"stopped; resume={stopped} goes on" in (tmp_path / "log").read_text()
    assert command("resume=stopped").code == 0
    assert same_factors(whole, stopped)


def test_a_directory_that_was_moved_resumes_and_single_values_may_change(train, command, tmp_path):
    assert train("trainer.max_epochs=5").code == 0
    (tmp_path / "run").rename(tmp_path / "moved")
    ran = command("resume=moved", "trainer.max_epochs=10")
    assert ran.code == 0, ran.err
    assert step_of(tmp_path / "moved" / "checkpoints" / "last.ckpt") == 10
    assert str(tmp_path / "moved") in ran.out


def test_what_cannot_be_resumed_is_refused(train, command, tmp_path):
    ran = command("resume=nowhere")
    assert ran.code == 2
    assert "nowhere is not the directory of a run" in ran.sentence
    assert train("trainer.max_epochs=2").code == 0
    ran = command("resume=run", "encoder=mlp")
    assert ran.code == 2
    assert "'encoder' cannot be changed" in ran.sentence


def test_metrics_that_were_cut_off_in_mid_line_are_mended(train, command, tmp_path):
    assert train("trainer.max_epochs=5").code == 0
    metrics = tmp_path / "run" / "metrics.jsonl"
    before = metrics.read_text()
    metrics.write_text(before + '{"step": 99, "train')
    assert command("resume=run", "trainer.max_epochs=6").code == 0
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    assert [line["step"] for line in lines][: len(before.splitlines())] == [
        json.loads(s)["step"] for s in before.splitlines()
    ]
    assert lines[-1]["step"] == 6


def test_a_directory_that_holds_a_run_is_not_written_over(train, tmp_path):
    assert train("trainer.max_epochs=2").code == 0
    before = (tmp_path / "run" / "summary.json").read_text()
    ran = train("trainer.max_epochs=3")
    assert ran.code == 2
    assert "holds a run already; resume=" in ran.sentence
    assert (tmp_path / "run" / "summary.json").read_text() == before

"""A run that is killed and resumed ends with the bits of one that was not."""

import json
import shutil
import signal
from pathlib import Path

import pytest
import torch

from nmf_nets import verdict
from nmf_nets.benchmark.survival import DAMAGE, EXITS, MOMENTS, Program, Run, killed
from nmf_nets.whole_file import fault

NETS = {
    "block, HALS": ["encoder=unrolled"],
    "block and Adam": ["encoder=mlp", "divergence=kullback_leibler"],
    "online": ["encoder=mlp", "optimizer=online"],
    "multiplicative": ["encoder=table", "optimizer=multiplicative"],
    "Adam": ["encoder=table", "optimizer=adam"],
}
KILLED = [
    ("block, HALS", "mid-epoch", signal.SIGKILL),
    ("block and Adam", "during a checkpoint's write", signal.SIGKILL),
    ("online", "mid-epoch", signal.SIGKILL),
    ("multiplicative", "end of epoch", signal.SIGKILL),
    ("Adam", "during a checkpoint's write", signal.SIGTERM),
    ("block, HALS", "mid-epoch", signal.SIGTERM),
]
COMMON = [
    "logger=none",
    "threads=1",
    "n_components=4",
    "data=synthetic",
    "data.n_samples=250",
    "data.n_features=30",
    "data.batch_size=40",
    "trainer.max_epochs=20",
    "callbacks.checkpoint.every_n_steps=7",
    "plain_rivals=false",
    "+method@rivals.mu=mu",
    "~callbacks.component_pictures",
]
PROGRAM = Program(("nmf_nets.train", *COMMON))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(verdict, "LEAST_SECONDS", 0.05)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def whole(command, tmp_path):
    """The run of a net that nothing befell."""

    def run(*overrides):
        ran = command(*COMMON, *overrides, "hydra.run.dir=whole")
        assert ran.code == 0, ran.err
        return Run(PROGRAM, tmp_path / "whole")

    return run


def steps_of(run):
    return [json.loads(line)["step"] for line in (run.directory / "metrics.jsonl").read_text().splitlines()]


def assert_same(run, other):
    assert run.same_as(other)
    assert steps_of(run) == steps_of(other)


@pytest.mark.process
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="whether a process has stopped is told by Linux")
@pytest.mark.parametrize(("net", "when", "sent"), KILLED)
def test_what_is_killed_and_resumed_is_bitwise_what_was_not(net, when, sent, whole, command, tmp_path):
    run = Run(PROGRAM, tmp_path / "killed")
    code = killed(run, MOMENTS[when], sent, *NETS[net])
    assert code == EXITS[sent], run.log.read_text()
    assert run.unfinished.exists() == (when == "during a checkpoint's write" and sent == signal.SIGKILL)
    assert 20 <= run.step < 100, "it was over before it was killed"
    if sent == signal.SIGTERM:
        assert f"stopped; resume={run.directory} goes on" in run.log.read_text()
    assert not (run.directory / "summary.json").exists()
    ran = command("resume=killed")
    assert ran.code == 0, ran.err
    assert_same(run, whole(*NETS[net]))


@pytest.fixture
def ended(command, tmp_path):
    """A run that ended after ten epochs, and saved itself after 49 steps and at their end."""
    assert command(*COMMON, "trainer.max_epochs=10", "hydra.run.dir=run").code == 0
    return Run(PROGRAM, tmp_path / "run")


def test_what_is_damaged_goes_on_from_the_one_before_and_says_so(ended, whole, command):
    expected = whole()
    for how, damage in DAMAGE.items():
        run = ended.copied("damaged")
        damage(run.saved.path)
        found = fault(run.saved.path)
        ran = command("resume=damaged", "trainer.max_epochs=20")
        assert ran.code == 0, (how, ran.err)
        assert f"{run.saved.path} {found}; the run goes on from {run.saved.earlier}" in ran.err
        assert_same(run, expected)
        shutil.rmtree(run.directory)


def test_where_all_are_damaged_nothing_is_done(ended, command):
    for path in (ended.saved.path, ended.saved.earlier):
        DAMAGE["a flipped bit"](path)
    before = {path: path.read_bytes() for path in ended.directory.rglob("*") if path.is_file()}
    ran = command("resume=run", "trainer.max_epochs=20")
    assert ran.code == 2
    assert "last.earlier.ckpt has other bytes than were saved" in ran.sentence
    assert "put a copy of one in its place, or move them away to begin anew" in ran.sentence
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is always full here")
@pytest.mark.parametrize("what", ["checkpoints/last.ckpt", "summary.json"])
def test_a_full_disk_ends_a_run_with_a_sentence_and_loses_nothing(what, ended, whole, command):
    path = ended.directory / what
    path.with_name(path.name + ".unfinished").symlink_to("/dev/full")
    ran = command("resume=run", "trainer.max_epochs=20")
    assert ran.code == 2
    assert f"{path} could not be saved (No space left on device)" in ran.sentence
    assert "MiB of its disk are free; make room there" in ran.sentence
    assert f"stopped; resume={ended.directory} goes on" in ran.err
    assert fault(ended.saved.path) is fault(ended.saved.earlier) is None
    assert command("resume=run", "trainer.max_epochs=20").code == 0
    assert_same(ended, whole())


def test_a_directory_that_was_moved_resumes_and_single_values_may_change(ended, command, tmp_path):
    ended.directory.rename(tmp_path / "moved")
    ran = command("resume=moved", "trainer.max_epochs=12")
    assert ran.code == 0, ran.err
    assert Run(PROGRAM, tmp_path / "moved").step == 60
    assert str(tmp_path / "moved") in ran.out


def test_what_cannot_be_resumed_is_refused(ended, command):
    ran = command("resume=nowhere")
    assert ran.code == 2
    assert "nowhere is not the directory of a run" in ran.sentence
    ran = command("resume=run", "encoder=mlp")
    assert ran.code == 2
    assert "'encoder' cannot be changed" in ran.sentence


def test_metrics_that_were_cut_off_in_mid_line_are_mended(ended, command):
    before = steps_of(ended)
    with (ended.directory / "metrics.jsonl").open("a") as file:
        file.write('{"step": 99, "train')
    assert command("resume=run", "trainer.max_epochs=11").code == 0
    assert steps_of(ended)[: len(before)] == before
    assert steps_of(ended)[-1] == 55


def test_a_directory_that_holds_a_run_is_not_written_over(ended, command):
    before = (ended.directory / "summary.json").read_text()
    ran = command(*COMMON, "hydra.run.dir=run")
    assert ran.code == 2
    assert "holds a run already; resume=" in ran.sentence
    assert (ended.directory / "summary.json").read_text() == before

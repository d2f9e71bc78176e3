"""Whether a run that was killed, or whose files were damaged, ends as one that was not:
`python -m nmf_nets.benchmark.survival [--only PROGRAM ...]`.
"""

import argparse
import importlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback
from rich.console import Console
from safetensors.torch import load_file

from nmf_nets.checkpoints import said_of_state
from nmf_nets.pages.table import Table
from nmf_nets.whole_file import SEAL, SealedFile, fault

SECONDS = 300
"""That a program may take."""

FEWEST = 20
"""Steps that a run has saved before it is killed."""

TRIES = 100
"""At a moment that may be shorter than a look takes."""

Is = Callable[["Run"], bool]

FORKED = multiprocessing.get_context("forkserver")
"""Each run is a process, forked from one that has imported what it runs: that takes longer than the runs here."""
FORKED.set_forkserver_preload(["nmf_nets.train"])


@dataclass(frozen=True)
class Program:
    """A command that leaves factors in a directory, and goes on with what was saved there.

    command: a module, of which `main` is run, and what it is given at the start, but not when it resumes.
    start, resume, every: what is added then, with the directory, or a number of steps, in the place of {}.
    epoch: steps of one; None of a solver, each step of which is a pass over all rows.
    steps: that a checkpoint was saved after.
    has_callbacks: whether one can be made to fail.
    """

    command: Sequence[str]
    start: str = "hydra.run.dir={}"
    resume: str = "resume={}"
    every: str = "callbacks.checkpoint.every_n_steps={}"
    checkpoint: str = "checkpoints/last.ckpt"
    factors: str = "factors.safetensors"
    epoch: int | None = 5
    steps: Callable[[Path], int] = lambda path: int(torch.load(path, weights_only=True)["global_step"])
    has_callbacks: bool = True


DATA = "X.npy"

TRAINING = (
    "nmf_nets.train",
    "n_components=4",
    "threads=1",
    "logger=none",
    "data=synthetic",
    "data.n_samples=250",
    "data.n_features=30",
    "data.batch_size=40",
    "trainer.max_epochs=30",
    "plain_rivals=false",
    "+method@rivals.mu=mu",
    "~callbacks.component_pictures",
)


def solver(*more: str) -> Program:
    """nmf-factorize on the data of DATA, with codes in a file."""
    command = (
        "nmf_nets.factorize_file",
        f"data.path=../{DATA}",
        "n_components=4",
        "threads=1",
        "values=2000",
        "codes=disk",
    )
    return Program(
        (*command, "start=random", "tol=0", "max_iter=200", *more),
        start="directory={}",
        every="save_every={}",
        checkpoint="checkpoints/state.safetensors",
        epoch=None,
        steps=lambda path: said_of_state(path)["iteration"],
        has_callbacks=False,
    )


PROGRAMS = {
    "table": Program((*TRAINING, "encoder=table", "optimizer=adam")),
    "unrolled": Program((*TRAINING, "encoder=unrolled", "optimizer=online")),
    "mlp": Program((*TRAINING, "encoder=mlp", "divergence=kullback_leibler", "optimizer=online")),
    "HALS": solver(),
    "KL": solver("divergence=kullback_leibler"),
}
"""What is killed."""


@dataclass
class Run:
    """One of a program, in a directory of its own; what it says goes to `log` beside it."""

    program: Program
    directory: Path

    @property
    def saved(self) -> SealedFile:
        return SealedFile(self.directory / self.program.checkpoint)

    @property
    def unfinished(self) -> Path:
        return self.saved.path.with_name(self.saved.path.name + ".unfinished")

    @property
    def log(self) -> Path:
        return self.directory.with_suffix(".log")

    @property
    def step(self) -> int:
        """After which it was saved last; 0 if it never was."""
        while (saved := self.saved.newest_whole()) is not None:
            with suppress(FileNotFoundError):  # a run that goes on has replaced it just now
                return self.program.steps(saved)
        return 0

    def begun(self, *more: str) -> BaseProcess:
        return self._process(*self.program.command, self.program.start.format(self.directory), *more)

    def resumed(self, *more: str) -> int | None:
        """The exit code."""
        return exit_code(self._process(self.program.command[0], self.program.resume.format(self.directory), *more))

    def same_as(self, other: "Run") -> bool:
        """Whether all that both found has the same bits."""
        left, right = (load_file(run.directory / run.program.factors) for run in (self, other))
        return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)

    def copied(self, name: str) -> "Run":
        copy = Run(self.program, self.directory.with_name(name))
        shutil.copytree(self.directory, copy.directory)
        return copy

    def _process(self, *command: str) -> BaseProcess:
        process = FORKED.Process(target=_main_of, args=(command, self.directory.parent, self.log), daemon=True)
        process.start()
        return process


def _main_of(command: Sequence[str], where: Path, log: Path) -> None:
    os.chdir(where)
    said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(said, stream.fileno())
    sys.argv = list(command)
    importlib.import_module(command[0]).main()


def exit_code(process: BaseProcess) -> int | None:
    """When it has ended, as it should soon."""
    process.join(SECONDS)
    return process.exitcode


@dataclass(frozen=True)
class Moment:
    """When a run is killed: `every` how many steps it saves, what `is_now` of it then, and whether the state that it
    goes on from must be that of the end of an epoch, or must not."""

    every: int
    is_now: Is
    ends_epoch: bool | None = None


def _saved_alone(run: Run) -> bool:
    return run.step >= FEWEST and not run.unfinished.exists()


MOMENTS = {
    "mid-epoch": Moment(7, _saved_alone, ends_epoch=False),
    "end of epoch": Moment(5, _saved_alone, ends_epoch=True),
    "during a checkpoint's write": Moment(7, lambda run: run.unfinished.exists() and run.step >= FEWEST),
}
SIGNALS = (signal.SIGKILL, signal.SIGTERM)
EXITS = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 143}


def killed(run: Run, moment: Moment, sent: signal.Signals, *more: str) -> int | None:
    """The exit code of a run that got the signal in this moment: it is frozen, looked at, and let go on if it passed.

    A run goes on until the end of a step with SIGTERM; one that saved itself elsewhere in an epoch is begun anew, and
    so is one that ended before it was seen in the moment.
    """
    for _ in range(TRIES):
        shutil.rmtree(run.directory, ignore_errors=True)
        process = run.begun(*more, run.program.every.format(moment.every))
        assert process.pid is not None
        if not frozen(process.pid, run, moment.is_now):
            if exit_code(process) != 0:
                break
            continue
        os.kill(process.pid, sent)
        os.kill(process.pid, signal.SIGCONT)
        code = exit_code(process)
        epoch = run.program.epoch
        if epoch is None or moment.ends_epoch is None or (run.step % epoch == 0) == moment.ends_epoch:
            return code
    raise RuntimeError(f"{run.directory} did not come to where it was to be killed:\n{run.log.read_text()}")


def frozen(pid: int, run: Run, is_now: Is) -> bool:
    """Whether a process was stopped where something is true of its run, and still is when it has stopped; it may have
    ended before. Linux only."""
    until = time.monotonic() + SECONDS
    while _state(pid) not in ("Z", "") and time.monotonic() < until:
        if is_now(run):
            os.kill(pid, signal.SIGSTOP)
            while _state(pid) not in ("T", "Z", ""):
                time.sleep(1e-4)
            if is_now(run) and _state(pid) == "T":
                return True
            os.kill(pid, signal.SIGCONT)
        time.sleep(2e-4)
    return False


def _state(pid: int) -> str:
    """T of one that is stopped, Z of one that has ended and was not asked for its exit code, none of one that was."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def flipped(path: Path) -> None:
    """One bit in the middle."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncated(path: Path) -> None:
    """By as much as the seal has, so that all but the seal is there."""
    os.truncate(path, path.stat().st_size - SEAL.size)


def empty(path: Path) -> None:
    path.write_bytes(b"")


DAMAGE: dict[str, Callable[[Path], None]] = {
    "a flipped bit": flipped,
    "cut off": truncated,
    "empty": empty,
    "gone": Path.unlink,
}


class Failing(Callback):
    """Raises an exception after so many steps, as long as a file is there."""

    def __init__(self, step: int, file: str):
        self.step, self.file = step, Path(file)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if trainer.global_step == self.step and self.file.exists():
            raise ArithmeticError("a callback that fails")


@contextmanager
def small_disk(path: Path, size: str = "64m") -> Iterator[bool]:
    """A file system of its own, if this user may make one."""
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)]
    made = shutil.which("mount") is not None and subprocess.run(mount, capture_output=True).returncode == 0
    try:
        yield made
    finally:
        if made:
            subprocess.run(["umount", "--lazy", str(path)], check=True)


def survival(programs: dict[str, Program], place: Path) -> Table:
    """Each program at each moment with each signal, then with each damage, and how it ended after it was resumed."""
    lines, console = [], Console(stderr=True)
    rng = np.random.default_rng(0)
    np.save(place / DATA, rng.poisson(rng.gamma(0.5, size=(250, 4)) @ rng.gamma(0.5, size=(4, 30)) + 0.5))
    for name, program in programs.items():
        for line in _of(program, place / name):
            lines.append({"program": name, **line})
            console.print(*lines[-1].values())
    title = "Runs that were killed or damaged, and resumed"
    note = "step: of the state that it went on from. same bits: of all factors, as those of a run that nothing befell."
    return Table("survival", title, pd.DataFrame(lines), caption=note)


def _of(program: Program, place: Path) -> Iterator[dict[str, object]]:
    place.mkdir(parents=True)
    whole = Run(program, place / "whole")
    if exit_code(whole.begun()) != 0:
        raise RuntimeError(whole.log.read_text())

    def ended(run: Run, what: str, how: str, code: int | None, *more: str) -> dict[str, object]:
        step = run.step
        same = run.resumed(*more) == 0 and run.same_as(whole)
        return {"what": what, "how": how, "exit code": code, "step": step, "same bits": "yes" if same else "NO"}

    run = Run(program, place / "killed")
    for what, moment in MOMENTS.items():
        for sent in SIGNALS:
            code = killed(run, moment, sent)
            yield ended(run, what, sent.name, code)

    killed(run, MOMENTS["mid-epoch"], signal.SIGKILL)
    for how, damage in DAMAGE.items():
        damaged = run.copied("damaged")
        damage(damaged.saved.path)
        yield ended(damaged, "the newest checkpoint", how, -signal.SIGKILL)
        shutil.rmtree(damaged.directory)
    for path in (run.saved.path, run.saved.earlier):
        flipped(path)
    code, step = run.resumed(), "none"
    refused = f"{run.saved.earlier} has other bytes" in run.log.read_text()
    yield {
        "what": "both checkpoints",
        "how": "a flipped bit",
        "exit code": code,
        "step": step,
        "same bits": "refused" if refused and fault(run.saved.path) else "NO",
    }

    shutil.rmtree(run.directory)
    if program.has_callbacks:
        cause = place / "cause"
        cause.touch()
        failing = ("+callbacks.failing._target_=nmf_nets.benchmark.survival.Failing", "+callbacks.failing.step=33")
        failing += (f"+callbacks.failing.file={cause}",)
        allowed = "allow=[nmf_nets.benchmark.survival]"
        code = exit_code(run.begun(*failing, allowed, program.every.format(7)))
        cause.unlink()
        yield ended(run, "a callback", "raises", code, allowed)

    with small_disk(place / "small") as made:
        if not made:
            return
        run = Run(program, place / "small")
        process = run.begun(program.every.format(7))
        assert process.pid is not None
        assert frozen(process.pid, run, _saved_alone), run.log.read_text()
        full = place / "small" / "full"
        with full.open("wb") as file:
            _fill(file.fileno())
        os.kill(process.pid, signal.SIGCONT)
        code = exit_code(process)
        full.unlink()
        yield ended(run, "the disk", "full", code)


def _fill(file: int) -> None:
    """Until there is no room for another byte."""
    for size in (2**16, 2**10, 1):
        try:
            while os.write(file, bytes(size)):
                pass
        except OSError:
            continue


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m nmf_nets.benchmark.survival", description=survival.__doc__)
    parser.add_argument("--only", nargs="+", choices=PROGRAMS, default=list(PROGRAMS))
    chosen = parser.parse_args().only
    with tempfile.TemporaryDirectory() as place:
        table = survival({name: PROGRAMS[name] for name in chosen}, Path(place))
    print(table.markdown())  # noqa: T201 - it is a program


if __name__ == "__main__":
    main()

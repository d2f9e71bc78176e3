"""How a command starts and ends: its configuration, its refusals, its exit code."""

import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, QuotedString, Sweep
from hydra.errors import InstantiationException, OverrideParseException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pytorch_lightning.utilities.exceptions import SIGTERMException
from threadpoolctl import threadpool_limits

from nmf_nets.extras import Missing
from nmf_nets.kinds import refuse_kinds
from nmf_nets.refusal import Refusal, first_line
from nmf_nets.run_directory import version_of, write
from nmf_nets.targets import refuse_foreign_targets

PACKAGED = Path(__file__).parent / "configs"
CONFIGS = PACKAGED if PACKAGED.is_dir() else Path(__file__).parent.parent / "configs"
"""Inside the package in a wheel, beside it in a checkout."""

REFUSED, INTERRUPTED, STOPPED = 2, 130, 143

LAUNCHERS = {"joblib": "joblib", "slurm": "submitit", "submitit_local": "submitit", "submitit_slurm": "submitit"}
"""Choices of hydra/launcher and the extras that bring them, which are named as the packages hydra-…-launcher are."""

DIRECTORIES = ("directory", "hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir")

OmegaConf.register_new_resolver(
    "either", lambda value, other: other if value is None or isinstance(value, bool) else value, replace=True
)


def parameters(overrides: Sequence[str]) -> dict[str, str]:
    """What an override sets, to what it says: +penalty@penalties_H.sparse=l1 sets penalties_H.sparse to l1.

    What only says where a run goes, or who is told of it, is left out; what ~ takes away is none.
    """
    found = {}
    for override in overrides:
        key, _, value = override.lstrip("+~").partition("=")
        place = key.rpartition("@")[2]
        if place.partition(".")[0] not in ("logger", "directory", "resume", "allow", "metric"):
            found[place] = "none" if override.startswith("~") else value
    return found


OmegaConf.register_new_resolver("parameters", parameters, replace=True)


@contextmanager
def pinned_threads(threads: int | None) -> Iterator[None]:
    """So many threads for torch, numba, which follows it, and BLAS; None leaves them as they are."""
    if threads is not None:
        if not isinstance(threads, int) or isinstance(threads, bool) or threads < 1:
            raise Refusal(f"threads is {threads!r}, but must be an integer of at least 1, or null for all there are.")
        torch.set_num_threads(threads)
    with threadpool_limits(threads):
        yield


class KnownSweep(Callback):
    """Lets the process that starts a sweep see where it lies, as each of its jobs can."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        HydraConfig.instance().set_config(config)


def run_program(config_name: str, job: Callable[[DictConfig], Any]) -> None:
    """Composes the configuration from the command line and runs the job, or all jobs of a sweep, here or elsewhere.

    A Refusal is one sentence on the standard error and exit code 2, and so is what a part of the configuration raises
    while it is made of its values; in a sweep the other jobs go on first, and what those in other processes were
    refused for is said here again. SIGTERM in training ends with 143.
    """
    refused, here, sweep = False, _this_process(), uuid4().hex

    @hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=config_name)
    def composed(config: DictConfig) -> Any:
        nonlocal refused
        try:
            refuse_foreign_targets(config, config.allow)
            refuse_kinds(config)
            return job(config)
        except (Refusal, InstantiationException, OmegaConfBaseException) as error:
            refusal = _refusal_of(error)
            about = HydraConfig.get()
            number = about.job.num if about.mode == RunMode.MULTIRUN else None
            sentence = f"{'refused' if number is None else f'job {number} refused'}: {refusal}"
            if os.environ.get("RANK", "0") == "0":  # which says it for all
                print(sentence, file=sys.stderr)  # noqa: T201
            if _this_process() == here:
                refused = True
            else:  # a launcher's: nothing of it but files comes back
                write(_refusals(sweep) / f"{number:09}", sentence.encode())
            return float("nan")
        except SIGTERMException:
            sys.exit(STOPPED)

    try:
        _refuse_missing_launcher(sys.argv[1:])
        _refuse_overrides(sys.argv[1:])
        composed()
    except (Missing, Refusal) as refusal:
        print(f"refused: {refusal}", file=sys.stderr)  # noqa: T201
        refused = True
    finally:
        elsewhere = _collected(sweep)
        for sentence in elsewhere:
            print(sentence, file=sys.stderr)  # noqa: T201
    if refused or elsewhere:
        sys.exit(REFUSED)


def _refusal_of(error: Refusal | InstantiationException | OmegaConfBaseException) -> Refusal:
    """Raises the error where the whole of it was asked for, as Hydra does."""
    cause = error.__cause__
    if isinstance(error, Refusal):
        return error
    if isinstance(cause, Refusal):
        return cause
    if os.environ.get("HYDRA_FULL_ERROR", "0") != "0":
        raise error
    if isinstance(error, OmegaConfBaseException):
        return Refusal(
            f"the configuration lacks what it needs, or holds what it cannot: {first_line(error)}. Look for a group "
            "that is empty or was taken away; with HYDRA_FULL_ERROR=1 the whole traceback is shown."
        )
    if cause is None:
        raise error
    where = str(error).rpartition("full_key: ")[2].splitlines()[0] if "full_key: " in str(error) else "a part"
    return Refusal(
        f"{where} cannot be made of its values: {type(cause).__name__}: {first_line(cause)}. Look at them; with "
        "HYDRA_FULL_ERROR=1 the whole traceback is shown."
    )


def _this_process() -> tuple[str, int]:
    return socket.gethostname(), os.getpid()


def _refusals(sweep: str) -> Path:
    """Where jobs that run elsewhere leave why they were refused, for the command that started them."""
    about = HydraConfig.get()
    return Path(about.runtime.cwd, about.sweep.dir, ".refusals", sweep)


def _collected(sweep: str) -> list[str]:
    """What jobs elsewhere were refused for, by their numbers; their files are taken away."""
    if not HydraConfig.initialized():
        return []
    place = _refusals(sweep)
    sentences = [path.read_text() for path in sorted(place.glob("*"))]
    if sentences:
        shutil.rmtree(place)
        if not any(place.parent.iterdir()):
            place.parent.rmdir()
    return sentences


def _refuse_overrides(overrides: Sequence[str]) -> None:
    """Raises Refusal for what is no name where one stands for a file, or no text where a directory is named: of these
    Hydra shows a traceback.
    """
    try:
        parsed = OverridesParser.create().parse_overrides([word for word in overrides if not word.startswith("-")])
    except OverrideParseException:
        return  # Hydra says why
    for override in parsed:
        if override.is_delete():
            continue
        group, name = CONFIGS / override.key_or_group, override.input_line
        given = override.value()
        if isinstance(given, Glob | Sweep) and not isinstance(given, ChoiceSweep):
            continue  # names that Hydra looks up, or a range of numbers
        for value in given.list if isinstance(given, ChoiceSweep) else [given]:
            names = value if isinstance(value, list) else [value]
            if group.is_dir() and not all(isinstance(each, str | QuotedString) for each in names):
                known = ", ".join(sorted(path.stem for path in group.glob("*.yaml")))
                raise Refusal(f"{name} must name files of configs/{override.key_or_group}: {known}.")
            if override.key_or_group in DIRECTORIES and (value is None or isinstance(value, list | dict)):
                raise Refusal(f"{name} must name a directory.")


def _refuse_missing_launcher(overrides: Sequence[str]) -> None:
    """Hydra would say only that it does not know the name."""
    for override in overrides:
        group, _, name = override.lstrip("+").partition("=")
        extra = LAUNCHERS.get(name) if group == "hydra/launcher" else None
        if extra is not None and version_of(f"hydra-{extra}-launcher") is None:
            raise Missing(f"hydra/launcher={name} is not installed; pip install 'nmf-nets[{extra}]' brings it.")

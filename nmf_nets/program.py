"""How a command starts and ends: its configuration, its refusals, its exit code."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities.exceptions import SIGTERMException
from threadpoolctl import threadpool_limits

from nmf_nets.refusal import Refusal
from nmf_nets.targets import refuse_foreign_targets

PACKAGED = Path(__file__).parent / "configs"
CONFIGS = PACKAGED if PACKAGED.is_dir() else Path(__file__).parent.parent / "configs"
"""Inside the package in a wheel, beside it in a checkout."""

REFUSED, INTERRUPTED, STOPPED = 2, 130, 143

OmegaConf.register_new_resolver("either", lambda value, other: other if value is None else value, replace=True)


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
        if not isinstance(threads, int) or threads < 1:
            raise Refusal(f"threads is {threads!r}, but must be an integer of at least 1, or null for all there are.")
        torch.set_num_threads(threads)
    with threadpool_limits(threads):
        yield


def run_program(config_name: str, job: Callable[[DictConfig], Any]) -> None:
    """Composes the configuration from the command line and runs the job, or all jobs of a sweep.

    A Refusal is one sentence on the standard error and exit code 2; in a sweep the other jobs go on first. SIGTERM in
    training ends with 143.
    """
    refused = False

    @hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=config_name)
    def composed(config: DictConfig) -> Any:
        nonlocal refused
        try:
            refuse_foreign_targets(config, config.allow)
            return job(config)
        except (Refusal, InstantiationException) as error:
            refusal = error if isinstance(error, Refusal) else error.__cause__
            if not isinstance(refusal, Refusal):
                raise
            refused = True
            if os.environ.get("RANK", "0") != "0":  # rank 0 says it
                return float("nan")
            number = HydraConfig.get().job.num if HydraConfig.get().mode == RunMode.MULTIRUN else None
            print(f"{'refused' if number is None else f'job {number} refused'}: {refusal}", file=sys.stderr)  # noqa: T201
            return float("nan")
        except SIGTERMException:
            sys.exit(STOPPED)

    composed()
    if refused:
        sys.exit(REFUSED)

"""The program for data past one memory or one process: `python -m nmf_nets.factorize`, `nmf-factorize`, `torchrun`."""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.distributed as dist
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from nmf_nets.codes.on_disk import OnDisk
from nmf_nets.distributed import RowsResult, factorize_rows
from nmf_nets.factorization import Factorization
from nmf_nets.fit import Moment
from nmf_nets.group import Group, LostRank, joined
from nmf_nets.pages.table import Table
from nmf_nets.part import part_name
from nmf_nets.program import INTERRUPTED, STOPPED, pinned_threads, run_program
from nmf_nets.refusal import Refusal
from nmf_nets.run_directory import MetricsFile, RunDirectory, peak_memory
from nmf_nets.sources.base import Source
from nmf_nets.sources.npy import Npy
from nmf_nets.whole_file import replacing

LOST = 1

SMALL = 2**24
"""Numbers of both factors, up to which factors.safetensors holds them too."""

CHOICES = (
    "solver", "init", "l1_H", "l1_W", "l2_H", "l2_W", "repeats", "max_iter", "tol", "max_seconds", "check_every",
    "seed", "values", "codes", "save_every", "save_seconds",
)  # fmt: skip
"""Of the configuration that are those of factorize_rows."""


def main() -> None:
    """Factorizes what the configuration says, on the ranks that torchrun started, or on its own."""
    run_program("factorize", factorize)


def factorize(config: DictConfig) -> None:
    """Leaves components.npy, codes.npy and summary.json in the run directory, and checkpoints until then."""
    began = time.perf_counter()
    group = joined(config.patience)
    try:
        with pinned_threads(config.threads):
            _run(config, group, began)
    except LostRank as lost:
        print(f"lost: {lost}. The last checkpoint is whole: resume goes on from it.", file=sys.stderr, flush=True)  # noqa: T201
        os._exit(LOST)  # no collective can end any more, and exiting would wait for them
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _run(config: DictConfig, group: Group, began: float) -> None:
    run = RunDirectory(group.from_first(str(config.directory)))
    with group.agreeing():
        if config.resume is not None:
            config = run.resumed(config, HydraConfig.get().overrides.task)
        elif group.from_first(run.config.exists()):
            raise Refusal(f"{run.path} holds a run already; resume={run.path} goes on with it.")
        source = _source(config.data)
        if group.rank == 0:
            config.directory = str(run.path)
            run.save_config(config)
            run.save_environment()
    stderr = Console(stderr=True, quiet=group.rank > 0)
    divergence = instantiate(config.divergence)
    with _watched(stderr, run, config.max_iter, group) as watch, replacing_codes(run, source, config, group) as codes:
        result = factorize_rows(
            source,
            config.n_components,
            divergence=divergence,
            callback=watch,
            group=group,
            device=_device(config.device),
            directory=run.path / "checkpoints",
            last_codes=codes,
            **{name: config[name] for name in CHOICES},
        )

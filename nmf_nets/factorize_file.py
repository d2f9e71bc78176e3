"""The program for data past one memory or one process: `nmf-factorize`, `torchrun -m nmf_nets.factorize_file`."""

import os
import signal
import sys
import time
import warnings

import numpy as np
import pandas as pd
import torch
import torch.distributed as dist
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig
from rich.console import Console

from nmf_nets.codes.on_disk import OnDisk
from nmf_nets.distributed import factorize_rows
from nmf_nets.factorization import Factorization
from nmf_nets.group import Group, LostRank, joined
from nmf_nets.heartbeat import beating, end_lost
from nmf_nets.inits.base import refuse_n_components
from nmf_nets.kinds import refuse_arguments
from nmf_nets.pages.table import Table
from nmf_nets.part import part_name
from nmf_nets.program import INTERRUPTED, STOPPED, pinned_threads, run_program
from nmf_nets.refusal import Refusal, first_line
from nmf_nets.row_run import RowsResult
from nmf_nets.run_directory import MetricsFile, RunDirectory, peak_memory
from nmf_nets.sources.base import Source
from nmf_nets.sources.open import source_of
from nmf_nets.sources.weighted import Weighted
from nmf_nets.watch import Moment
from nmf_nets.whole_file import replacing

SMALL = 2**24
"""Numbers of both factors, up to which factors.safetensors holds them too."""

CHOICES = (
    "solver", "l1_H", "l1_W", "l2_H", "l2_W", "repeats", "max_iter", "tol", "max_seconds", "check_every", "seed",
    "values", "codes", "save_every", "save_seconds",
)  # fmt: skip
"""Of the configuration that are those of factorize_rows."""


def main() -> None:
    """Factorizes what the configuration says, on the ranks that torchrun started, or on its own."""
    run_program("factorize_file", factorize)


def factorize(config: DictConfig) -> None:
    """Leaves components.npy, codes.npy and summary.json in the run directory, and until then checkpoints."""
    began = time.perf_counter()
    group = joined(config.patience)
    try:
        with beating(group), pinned_threads(config.threads):
            run = RunDirectory(group.from_first(str(config.directory)))
            config = _configuration(config, run, group)
            result = _fit(config, run, group)
            if result.reason == "interrupted":
                if group.rank == 0:
                    print(f"stopped; resume={run.path} goes on", file=sys.stderr)  # noqa: T201
                sys.exit(STOPPED if result.signal == signal.SIGTERM else INTERRUPTED)
            _report(result, config, run, group, time.perf_counter() - began)
        if dist.is_initialized():
            dist.destroy_process_group()
    except LostRank as lost:
        end_lost(str(lost))


def _configuration(config: DictConfig, run: RunDirectory, group: Group) -> DictConfig:
    with group.agreeing():
        if config.resume is not None:
            return run.resumed(config, HydraConfig.get().overrides.task)
        if group.from_first(run.config.exists()):
            raise Refusal(f"{run.path} holds a run already; resume={run.path} goes on, or choose another directory.")
        if config.data.path is None:
            raise Refusal("data.path is not given; it must be a file that is read by rows: data.path=X.npy, say.")
    config.directory = str(run.path)
    if group.rank == 0:
        run.save_config(config)
        run.save_environment()
    return config


def _fit(config: DictConfig, run: RunDirectory, group: Group) -> RowsResult:
    with group.agreeing():
        given = {name: config[name] for name in (*CHOICES, "n_components", "device")}
        refuse_arguments(factorize_rows, given)
        refuse_n_components(config.n_components)
        source = _source(config)
        unfinished = run.path / "codes.npy.unfinished"
        codes = OnDisk(unfinished, source.shape[0], config.n_components, source.dtype)
        if group.rank == 0:
            codes.make()
    metrics, known = MetricsFile(run.metrics), [True]
    stderr = Console(stderr=True, highlight=False, soft_wrap=True)

    def show(moment: Moment) -> None:
        if group.rank > 0:
            return
        if known:  # by the state before, perhaps, which this run goes on from
            run.forget_after(moment.iteration - 1)
            known.clear()
        metrics.log_metrics({"loss": moment.loss, "seconds": moment.seconds}, moment.iteration)
        stderr.print(f"iteration {moment.iteration}: loss {moment.loss:.8g}, {moment.seconds:.1f} s", markup=False)

    try:
        device = torch.device(config.device)
    except RuntimeError as error:
        raise Refusal(f"device is {config.device!r}, but torch cannot use it: {first_line(error)}.") from error
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    with warnings.catch_warnings(record=False):
        warnings.showwarning = lambda message, *_: stderr.print(f"warning: {message}", markup=False)
        result = factorize_rows(
            source,
            config.n_components,
            divergence=instantiate(config.divergence),
            init=config.start,  # `init` is a group of configurations
            callback=show,
            group=group,
            device=device,
            directory=run.path / "checkpoints",
            last_codes=codes,
            **{name: config[name] for name in CHOICES},
        )
    codes.sync()
    group.wait()
    if group.rank == 0:
        if result.reason == "interrupted":
            unfinished.unlink()
        else:
            os.replace(unfinished, run.path / "codes.npy")
            with replacing(run.path / "components.npy") as path, path.open("wb") as file:
                np.save(file, result.W.cpu().numpy())
    group.wait()
    return result


def _source(config: DictConfig) -> Source:
    data = config.data
    if data.dtype not in (None, "float32", "float64"):
        raise Refusal(f"data.dtype is {data.dtype!r}, but must be float32, float64, or null for that of the file.")
    refuse_arguments(source_of, {"path": data.path, "key": data.key}, "data")
    if not isinstance(data.weights, str | None):
        raise Refusal(f"data.weights is {data.weights!r}, but must be a file, or null where every entry counts once.")
    dtype = None if data.dtype is None else getattr(torch, data.dtype)
    source = source_of(data.path, data.key, dtype)
    return source if data.weights is None else Weighted(source, source_of(data.weights, None, source.dtype))


def _report(result: RowsResult, config: DictConfig, run: RunDirectory, group: Group, seconds: float) -> None:
    """summary.json, a table, and small factors as other programs of this package read them."""
    peaks = group.at_first(peak_memory())
    if group.rank > 0:
        return
    codes = np.load(run.path / "codes.npy", mmap_mode="r")
    divergence = instantiate(config.divergence)
    summary = {
        "divergence": part_name(divergence),
        "solver": result.solver,
        "n_samples": len(codes),
        "n_features": result.W.shape[1],
        "n_components": len(result.W),
        "n_iter": result.n_iter,
        "reason": result.reason,
        "divergence_value": result.divergence_value,
        "relative_error": result.relative_error,
        "seconds": seconds,
        "ranks": group.size,
        "sent": result.sent,
        "peak_memory": peaks,
    }
    run.save_summary(summary)
    if codes.size + result.W.numel() <= SMALL:
        H = torch.from_numpy(np.array(codes))
        factors = Factorization(H, result.W.cpu())
        run.save_factors(factors, torch.arange(len(H)), divergence=part_name(divergence))
    said = {
        "solver": f"{result.solver}, ended by {result.reason}",
        "iterations": str(result.n_iter),
        part_name(divergence): f"{result.divergence_value:.8g}",
        "relative error": f"{result.relative_error:.6f}",
        "seconds": f"{seconds:.1f}",
        "ranks": str(group.size),
        "sent by a rank in an iteration": f"{result.sent:,} B",
        "most memory of each rank": ", ".join("?" if peak is None else f"{peak / 2**20:.0f} MiB" for peak in peaks),
    }
    title = f"{len(codes):,} × {result.W.shape[1]:,}, {len(result.W)} components"
    console = Console(highlight=False)
    frame = pd.DataFrame(said.items(), columns=pd.Index(["", "value"]))
    console.print(Table("factorize", title, frame).rich())
    console.print(f"run directory: {run.path}", soft_wrap=True, markup=False)


if __name__ == "__main__":
    main()

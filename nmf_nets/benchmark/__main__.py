"""The program that compares: `python -m nmf_nets.benchmark`, `nmf-benchmark`."""

import logging
import math
from dataclasses import asdict, dataclass

import pandas as pd
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from threadpoolctl import threadpool_limits

from nmf_nets.benchmark import report
from nmf_nets.benchmark.base import Method
from nmf_nets.benchmark.recorder import Budget, Record, Recorder
from nmf_nets.divergences.base import Divergence
from nmf_nets.matrix import Matrix
from nmf_nets.part import part_name
from nmf_nets.program import run_program
from nmf_nets.refusal import Refusal
from nmf_nets.run_directory import RunDirectory, write

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Contest:
    """Methods that minimise one divergence."""

    divergence: Divergence
    methods: dict[str, Method]

    def able(self, X: Matrix) -> list[str]:
        """The methods that can serve; the others are left out with a sentence."""
        able = []
        for name, method in self.methods.items():
            try:
                method.refuse(X, self.divergence)
                able.append(name)
            except Refusal as refusal:
                log.warning(f"{name} is left out: {refusal}")
        return able


def main() -> None:
    """Compares what the configuration says."""
    run_program("benchmark", benchmark)


def benchmark(config: DictConfig) -> None:
    """Runs every method from the same starts, prints a table, leaves records and a picture in the run directory."""
    run = RunDirectory(HydraConfig.get().runtime.output_dir)
    run.save_config(config)
    run.save_environment()
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    console = Console(width=max(Console().width, 132))
    with threadpool_limits(config.threads):
        records = _compare(config)
    for table in report.tables(records):
        console.print(table)
    path = run.path / "records.parquet"
    write(path, pd.DataFrame([asdict(record) for record in records]).to_parquet())
    report.draw(records).savefig(run.path / "benchmark.png", dpi=130)
    console.print(f"result directory: {run.path}", soft_wrap=True)


def _compare(config: DictConfig) -> list[Record]:
    data = instantiate(config.data, _convert_="all")
    data.setup("fit")
    X: Matrix = data.training
    init = instantiate(config.init)
    contests = {name: Contest(**instantiate(node, _convert_="all")) for name, node in config.contests.items()}
    cells = [(contest, name) for contest in contests.values() for name in contest.able(X)]
    records: list[Record] = []
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
    with progress:
        task = progress.add_task("", total=len(cells) * config.seeds)
        for seed in range(config.seeds):  # methods interleaved over seeds
            start = init(X, config.n_components, torch.Generator().manual_seed(seed))
            for contest, name in cells:
                method = contest.methods[name]
                progress.update(task, description=f"{part_name(contest.divergence)}, seed {seed}, {name}")
                if seed == 0:  # once unrecorded, which compiles its kernels
                    Recorder(X, contest.divergence, Budget(0.0)).record(name, method, start, seed)
                recorder = Recorder(
                    X, contest.divergence, Budget(config.seconds, config.iterations or math.inf), config.growth
                )
                records += recorder.record(name, method, start, seed)[0]
                progress.advance(task)
    return records


if __name__ == "__main__":
    main()

"""The program that compares: `python -m nmf_nets.benchmark`, `nmf-benchmark`."""

import math
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import torch
import wandb
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from nmf_nets.benchmark import identity
from nmf_nets.benchmark.base import Method
from nmf_nets.benchmark.best_known import BestKnown
from nmf_nets.benchmark.comparison import Comparison, Contest, Entrant, Protocol
from nmf_nets.benchmark.progress import watched
from nmf_nets.benchmark.recorder import Budget
from nmf_nets.benchmark.report.report import Report
from nmf_nets.benchmark.results import ResultFolder
from nmf_nets.benchmark.task import Task
from nmf_nets.extras import Missing
from nmf_nets.program import INTERRUPTED, pinned_threads, run_program
from nmf_nets.refusal import Refusal, refuse_names

TOGETHER = ("JoblibLauncher", "LocalLauncher", "RayLauncher")
"""Launchers that run several jobs of a sweep on one machine at once."""

PLUGINS = "nmf_nets.methods"
"""The group of entry points under which installed packages offer methods: factories that take no argument."""


def main() -> None:
    """Compares what the configuration says."""
    run_program("benchmark", benchmark)


def benchmark(config: DictConfig) -> None:
    """Fills every cell that no earlier result holds; leaves records, tables, figures and a page."""
    _refuse_company()
    stderr = Console(stderr=True)
    with pinned_threads(torch.get_num_threads() if config.threads is None else config.threads):
        folder = ResultFolder(HydraConfig.get().runtime.output_dir)
        with stderr.status("the data are read"):
            contests = _contests(config, stderr)
            facts = [contest.task.facts() for contest in contests]
        comparison = _comparison(config, contests, folder)
        folder.claim(config, facts)
        if found := comparison.adopt():
            stderr.print(f"{found} of {len(comparison.keys)} runs are there already, from earlier results")
        finished = watched(comparison, config.search, stderr)
    report = Report(folder.save_tables(comparison.keys, comparison.best_known))
    with stderr.status("the report is made"):
        report.save(folder.path)
    report.show(folder.path)
    _log(report, config, folder)
    if not finished:
        stderr.print("stopped; the same command goes on where it was", soft_wrap=True)
        sys.exit(INTERRUPTED)


def _refuse_company() -> None:
    """Raises Refusal where other jobs of a sweep run beside this one: all would be slower than they are."""
    about = HydraConfig.get()
    name = about.launcher["_target_"].rpartition(".")[2]
    if about.mode == RunMode.MULTIRUN and name in TOGETHER and about.launcher.get("n_jobs") != 1:
        raise Refusal(
            f"hydra/launcher={about.runtime.choices['hydra/launcher']} runs comparisons beside each other on one "
            "machine, and what they measure is time; leave it out, or use hydra/launcher=slurm on nodes of their own."
        )


def _log(report: Report, config: DictConfig, folder: ResultFolder) -> None:
    try:
        report.log([instantiate(node, _convert_="all") for node in config.logger.values()], folder.path)
    finally:
        if wandb.run is not None:
            wandb.finish()


def _comparison(config: DictConfig, contests: list[Contest], folder: ResultFolder) -> Comparison:
    refuse_names("tracks", config.tracks)
    most = math.inf if config.iterations is None else config.iterations
    budget = Budget(config.seconds, most, config.tolerance)
    protocol = Protocol(
        budget,
        config.seeds,
        tuple(config.tracks),
        instantiate(config.init, _convert_="all"),
        config.growth,
        config.retries,
        config.disturbance,
    )
    about = {**identity.of_the_machine(), "init": OmegaConf.to_container(config.init, resolve=True)}
    cache = None if config.cache is None else Path(config.cache)
    return Comparison(contests, protocol, folder, BestKnown(Path(config.best_known)), about, cache)


def _contests(config: DictConfig, stderr: Console) -> list[Contest]:
    contests, left_out = [], {}
    path = config.data.get("path")
    if path is not None and all(OmegaConf.select(node, "data.path") != path for node in config.task.values()):
        raise Refusal("data.path names a file, but none of the tasks takes one; add task=matrix.")
    for name in config.task:
        scene = _scene(config, name)
        try:
            task: Task = _made(scene.task[name])
        except Missing as missing:
            left_out[f"task {name}"] = missing
            continue
        entrants = []
        for entrant, make in [*_configured(scene), *_plugged_in(config)]:
            try:
                entrants.append(Entrant(entrant, make, identity.of_a_method(make(0), _identity(scene, entrant))))
            except Missing as missing:
                left_out[f"method {entrant}"] = missing
        contests.append(Contest(task, entrants))
    for what, why in left_out.items():
        stderr.print(f"{what} is left out: {why}", soft_wrap=True, markup=False)
    if not any(contest.entrants for contest in contests):
        raise Refusal("nothing is left to compare; name at least one task and one method that can be run here.")
    return contests


def _scene(config: DictConfig, name: str) -> DictConfig:
    """The configuration with the parts of that task at its root, where methods find them."""
    scene = config.copy()
    for part in ("divergence", "update", "n_components"):
        scene[part] = OmegaConf.to_container(scene.task[name], resolve=True)[part]  # pyright: ignore
    return scene


def _configured(scene: DictConfig) -> Iterator[tuple[str, Any]]:
    def make(name: str, seed: int) -> Method:
        scene.seed = seed
        return _made(scene.method[name])

    for name in scene.method:
        yield str(name), lambda seed, name=name: make(name, seed)


def _plugged_in(config: DictConfig) -> Iterator[tuple[str, Any]]:
    if config.plugins is not None:
        refuse_names("plugins", config.plugins)
    installed: dict[str, EntryPoint] = {entry.name: entry for entry in entry_points(group=PLUGINS)}
    for name in installed if config.plugins is None else config.plugins:
        if name not in installed:
            raise Refusal(f"plugins names {name!r}, but installed packages bring {', '.join(installed) or 'none'}.")
        if name in config.method:
            raise Refusal(
                f"method {name!r} is both configured and brought by a package; leave one out with plugins=[]."
            )
        yield name, lambda seed, entry=installed[name]: _loaded(entry)


def _loaded(entry: EntryPoint) -> Method:
    try:
        return entry.load()()
    except Missing:
        raise
    except Exception as error:
        raise Refusal(
            f"method {entry.name!r}, which an installed package brings as {entry.value}, cannot be made "
            f"({type(error).__name__}: {error}); mend that package, or leave it out with plugins=[]."
        ) from error


def _identity(scene: DictConfig, entrant: str) -> Any:
    return OmegaConf.to_container(scene.method[entrant], resolve=True) if entrant in scene.method else entrant


def _made(node: DictConfig) -> Any:
    """Hydra's instantiate, but a refusal comes as what it is."""
    try:
        return instantiate(node, _convert_="all")
    except InstantiationException as error:
        if isinstance(error.__cause__, Refusal):
            raise error.__cause__ from None
        raise


if __name__ == "__main__":
    main()

"""The program that says how many components, and how sure it is: `python -m nmf_nets.select`, `nmf-select`."""

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
import torch
from filelock import FileLock
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from nmf_nets.data.base import MatrixDataModule
from nmf_nets.divergences.base import Divergence
from nmf_nets.factorization import Factorization
from nmf_nets.fit import factorize
from nmf_nets.judgements import Judgements, fingerprint
from nmf_nets.matrix import Matrix
from nmf_nets.metrics.clustering import misplacements
from nmf_nets.pages.table import Table
from nmf_nets.part import part_name
from nmf_nets.plots.selection import Panel, draw_selection
from nmf_nets.program import INTERRUPTED, pinned_threads, run_program
from nmf_nets.recommendation import Recommendation
from nmf_nets.refusal import Refusal, refuse_count, refuse_number, refuse_seed
from nmf_nets.restarts import Restarts
from nmf_nets.run_directory import RunDirectory
from nmf_nets.selection.base import Choice, Judgement, Selector
from nmf_nets.whole_file import replacing, write

Found = dict[str, dict[int, Judgement]]
"""Of each criterion, by its name, the judgements of the numbers of components, rising."""


def main() -> None:
    """Judges what the configuration says."""
    run_program("select", select)


def select(config: DictConfig) -> None:
    """Makes every judgement that the run directory does not hold; leaves them, a table, a figure, a recommendation.

    Several processes with the same directory share the numbers of components among them, and all end with everything.
    """
    run, stderr = RunDirectory(HydraConfig.get().runtime.output_dir), Console(stderr=True)
    numbers = numbers_of(config.n_components)
    for name in ("seeds", "max_iter"):
        refuse_count(name, config[name])
    refuse_number("tol", config.tol)
    refuse_seed(config.seed)
    if config.together not in (None, True, False):
        raise Refusal(f"together is {config.together!r}, but must be true, false, or null for where it is faster.")
    selectors: dict[str, Selector] = {str(name): _part(node) for name, node in config.selection.items()}
    if not selectors:
        raise Refusal("selection names no criterion; selection=[consensus,stability], say.")
    with pinned_threads(config.threads):
        with stderr.status("the data are read"):
            data: MatrixDataModule = _part(config.data)
            data.setup("fit")
        divergence: Divergence = _part(config.divergence)
        judgements = Judgements(run.path / "judgements", _identities(config, data.training))
        alone = FileLock(run.path / "outcome.lock")  # as the same command may run several times at once
        with alone:
            run.save_config(config)
            run.save_environment()
        try:
            found = _judge(config, data.training, divergence, selectors, numbers, judgements, stderr)
        except KeyboardInterrupt:
            stderr.print(f"stopped; the same command with directory={run.path} goes on", soft_wrap=True, markup=False)
            sys.exit(INTERRUPTED)
        choices = {name: selectors[name].choose(each) for name, each in found.items()}
        outcome = Outcome(found, selectors, Recommendation(choices, numbers), _misplaced(found, data))
        with alone:
            outcome.save(run)
            saved = _save_components(run, outcome, data, divergence)
    console = Console(width=max(Console().width, 92), highlight=False)
    outcome.show(console)
    console.print(
        f"components: {run.factors}" if saved else "", soft_wrap=True, markup=False, end="\n" if saved else ""
    )
    console.print(f"run directory: {run.path}", soft_wrap=True, markup=False)


def numbers_of(asked: Any) -> tuple[int, ...]:
    """Rising, from one number, a list of them, or "2-10". Raises Refusal for anything else."""
    span = re.fullmatch(r"(\d+)-(\d+)", asked) if isinstance(asked, str) else None
    numbers = range(int(span[1]), int(span[2]) + 1) if span else [asked] if isinstance(asked, int) else asked
    listed = isinstance(numbers, Sequence) and not isinstance(numbers, str)
    if not listed or not numbers or not all(type(n) is int and n >= 1 for n in numbers):
        raise Refusal(
            f"n_components is {asked!r}, but must be numbers of at least 1: a range such as 2-10, or a list such as "
            "[2,3,5,8]."
        )
    return tuple(sorted(set(numbers)))


def _part(node: Any) -> Any:
    return instantiate(node, _convert_="all")


def _identities(config: DictConfig, X: Matrix) -> dict[str, dict[str, Any]]:
    shared = {
        "data": fingerprint(X),
        "divergence": OmegaConf.to_container(config.divergence, resolve=True),
        **{name: config[name] for name in ("seeds", "max_iter", "tol", "together", "seed")},
    }
    return {
        str(name): {**shared, f"selection.{name}": OmegaConf.to_container(node, resolve=True)}
        for name, node in config.selection.items()
    }


# What is judged ------------------------------------------------------------------------------------------------------


def _judge(
    config: DictConfig,
    X: Matrix,
    divergence: Divergence,
    selectors: Mapping[str, Selector],
    numbers: tuple[int, ...],
    judgements: Judgements,
    stderr: Console,
) -> Found:
    """One number after the other, by all criteria, as they share its fits; those that no other process works on."""
    asked = {name: numbers[-1:] if selector.once else numbers for name, selector in selectors.items()}
    known = {(name, n): judgements.get(name, n) for name, own in asked.items() for n in own}
    missing = [(n, name) for (name, n), judgement in known.items() if judgement is None]
    if len(missing) < len(known):
        stderr.print(f"{len(known) - len(missing)} of {len(known)} judgements are there already")
    waiting = sorted({n for n, name in missing})
    with _bar(stderr, len(missing)) as bar:
        while waiting:
            restarts = Restarts(
                X,
                divergence,
                waiting,
                config.seeds,
                config.max_iter,
                config.tol,
                config.seed,
                config.together,
                bar.fitted,
            )
            with judgements.claimed(waiting, restarts.beside, bar.waits) as claimed:
                of_claimed = [(n, name) for n, name in missing if n in claimed]
                known |= {(name, n): judgements.get(name, n) for n, name in of_claimed}  # others may have judged since
                to_do = [(n, name) for n, name in of_claimed if known[name, n] is None]
                bar.judged(len(of_claimed) - len(to_do))
                for n in set(waiting) - {n for n, name in to_do}:
                    restarts.forget(n)
                for n in claimed:
                    for name in [name for number, name in to_do if number == n]:
                        bar.says(f"{name}, {n} components")
                        # the name is in it, so that criteria do not draw alike
                        generator = torch.Generator().manual_seed(config.seed + crc32(name.encode()))
                        known[name, n] = judgement = selectors[name].judge(restarts, n, generator)
                        judgements.save(name, n, judgement)
                        bar.judged()
                    restarts.forget(n)
                    waiting.remove(n)
    return {
        name: {n: judgement for n in own if (judgement := known[name, n]) is not None} for name, own in asked.items()
    }


@dataclass(frozen=True)
class _Bar:
    """What a person sees meanwhile."""

    progress: Progress
    task: TaskID
    starts: list[int]

    def says(self, what: str) -> None:
        self.progress.update(self.task, description=what)

    def waits(self) -> None:
        self.says("other processes judge the rest")

    def judged(self, count: int = 1) -> None:
        self.progress.advance(self.task, count)

    def fitted(self, count: int) -> None:
        self.starts[0] += count
        self.progress.update(self.task, starts=f"{self.starts[0]} fits")


@contextmanager
def _bar(console: Console, total: int) -> Iterator[_Bar]:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[starts]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield _Bar(progress, progress.add_task("", total=total, starts=""), [0])


def _misplaced(found: Found, data: MatrixDataModule) -> dict[int, int]:
    """Of each number, the samples that the consensus puts beside another class; none without labels."""
    labels = data.training_labels
    if labels is None:
        return {}
    return {
        n: misplacements(labels.numpy()[arrays["rows"]], arrays["clusters"])
        for each in found.values()
        for n, judgement in each.items()
        if "clusters" in (arrays := judgement.arrays)
    }


# What is left --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """All judgements, and what they amount to. misplaced: samples beside another class, by number of components."""

    found: Found
    selectors: Mapping[str, Selector]
    recommendation: Recommendation
    misplaced: Mapping[int, int]

    @property
    def choices(self) -> Mapping[str, Choice]:
        return self.recommendation.choices

    def tables(self) -> Iterator[Table]:
        """Of each criterion, its score and figures by number of components, or by component if it judges once."""
        for name, each in self.found.items():
            score = self.selectors[name].score
            if self.selectors[name].once:
                (judgement,) = each.values()
                frame = pd.DataFrame({"component": range(1, len(judgement.values) + 1), score: judgement.values})
            else:
                frame = pd.DataFrame(
                    [
                        {"n_components": n, score: judgement.score, "spread": judgement.spread, **judgement.figures}
                        for n, judgement in each.items()
                    ]
                )
                if self.misplaced and any("clusters" in judgement.arrays for judgement in each.values()):
                    frame["misplaced"] = [self.misplaced[n] for n in each]
            formats = {c: "{:.4g}" for c in frame.columns if pd.api.types.is_float_dtype(frame[c])}
            yield Table(name, name, frame, {**formats, score: "{:.6g}"})

    def panels(self) -> list[Panel]:
        panels = []
        for name, each in self.found.items():
            selector, chosen = self.selectors[name], self.choices[name].n_components
            scores = {n: judgement.score for n, judgement in each.items()}
            spreads = {n: judgement.spread for n, judgement in each.items()}
            if selector.once:
                (judgement,) = each.values()
                scores = {place: float(value) for place, value in enumerate(judgement.values, 1)}
                spreads = dict.fromkeys(scores, 0.0)
            panels.append(Panel(name, selector.score, scores, spreads, chosen, selector.once))
        return panels

    def matrices(self) -> dict[int, np.ndarray]:
        return {
            n: arrays["consensus"][np.ix_(arrays["order"], arrays["order"])]
            for each in self.found.values()
            for n, judgement in each.items()
            if "consensus" in (arrays := judgement.arrays)
        }

    def save(self, run: RunDirectory) -> None:
        """recommendation.json, a CSV of each criterion, selection.png."""
        about = {
            "n_components": self.recommendation.n_components,
            "support": self.recommendation.support,
            "supports": self.recommendation.supports,
            "sentence": self.recommendation.sentence,
            "choices": {name: asdict(choice) for name, choice in self.choices.items()},
            "misplacements": self.misplaced,
        }
        write(run.path / "recommendation.json", json.dumps(about, indent=2).encode())
        for table in [*self.tables(), self.recommendation.table()]:
            write(run.path / f"{table.name}.csv", table.csv().encode())
        figure = draw_selection(self.panels(), self.matrices(), self.recommendation.n_components)
        with replacing(run.path / "selection.png") as unfinished:
            figure.savefig(unfinished, dpi=100, format="png")

    def show(self, console: Console) -> None:
        for table in self.tables():
            console.print(table.rich())
        console.print(self.recommendation.table().rich())
        console.print(self.recommendation.sentence, soft_wrap=True, markup=False)


def _save_components(run: RunDirectory, outcome: Outcome, data: MatrixDataModule, divergence: Divergence) -> bool:
    """The medians of matched components at the recommended number, and the codes that fit them best."""
    n = outcome.recommendation.n_components
    medians = [arrays["components"] for each in outcome.found.values() if n in each for arrays in [each[n].arrays]
               if "components" in arrays]  # fmt: skip
    if not medians:
        return False
    X = data.training
    W = torch.from_numpy(medians[0]).to(X.dtype)
    result = factorize(X, len(W), divergence=divergence, start=(None, W), frozen_W=True, kkt_tol=None)
    run.save_factors(Factorization(result.H, result.W), data.training_rows, divergence=part_name(divergence))
    return True


if __name__ == "__main__":
    main()

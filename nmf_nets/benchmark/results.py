"""What a comparison leaves on disk."""

import json
import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from omegaconf import DictConfig, OmegaConf
from safetensors.torch import load_file, save

from nmf_nets.benchmark.best_known import BestKnown
from nmf_nets.benchmark.recorder import Run
from nmf_nets.factorization import Factorization
from nmf_nets.pages.table import Frame
from nmf_nets.refusal import Refusal
from nmf_nets.run_directory import environment
from nmf_nets.whole_file import write

PROTOCOL = ("seeds", "seconds", "iterations", "tolerance", "tracks", "growth", "retries", "disturbance", "device")
"""Entries of the configuration that a report shows."""


@dataclass(frozen=True)
class Cell:
    """One run of the comparison, and all that its outcome depends on: nothing with one identity is run twice."""

    task: str
    track: str
    method: str
    seed: int
    identity: dict[str, Any]

    @property
    def key(self) -> str:
        text = json.dumps([self.task, self.track, self.method, self.seed, self.identity], sort_keys=True, default=str)
        return blake2b(text.encode(), digest_size=12).hexdigest()


class ResultFolder:
    """config.yaml, environment.json, tasks.json, and under cells/ a JSON file and factors for every finished cell.

    Files appear whole or not at all and are never changed, so that a comparison that was killed goes on where it was.
    The tables made of them, records.parquet, records.jsonl and cells.parquet, can be made again.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path).absolute()
        self.config, self.environment = self.path / "config.yaml", self.path / "environment.json"
        self.tasks, self.records = self.path / "tasks.json", self.path / "records.parquet"

    def claim(self, config: DictConfig | dict[str, Any], facts: Sequence[dict[str, Any]]) -> None:
        """Writes down what is compared; raises Refusal where another comparison lies."""
        text = OmegaConf.to_yaml(config, resolve=True)
        if self.config.is_file() and self.config.read_text() != text:
            raise Refusal(
                f"{self.path} holds another comparison; hydra.run.dir=… names a new folder, into which its finished "
                "runs are taken over if `cache` is a folder above it."
            )
        write(self.config, text.encode())
        protocol = {name: config[name] for name in PROTOCOL if name in config}
        write(self.environment, json.dumps({**environment(), "protocol": protocol}, indent=2, default=list).encode())
        write(self.tasks, json.dumps(list(facts), indent=2).encode())

    def has(self, key: str) -> bool:
        return self._cell(key).is_file()

    def status(self, key: str) -> str:
        """How that run ended."""
        return json.loads(self._cell(key).read_text())["cell"]["status"]

    def save(self, cell: Cell, outcome: dict[str, Any], run: Run) -> None:
        """Factors first: a cell that is there is complete."""
        if run.factors is not None:
            tensors = {"H": run.factors.H, "W": run.factors.W}
            tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
            write(self._factors(cell.key), save(tensors))
        about = {"task": cell.task, "track": cell.track, "method": cell.method, "seed": cell.seed, "key": cell.key}
        outcome = {**about, "status": run.status.value, "error": run.error, **outcome}
        records = [{"iteration": e.iteration, **asdict(e.spent), **asdict(e.measured)} for e in run.curve]
        content = {"cell": outcome, "records": records, "identity": cell.identity}
        write(self._cell(cell.key), json.dumps(content, default=str).encode())

    def adopt(self, key: str, other: "ResultFolder") -> None:
        """Takes a finished cell over from another folder."""
        for source, target in (
            (other._factors(key), self._factors(key)),
            (other._cell(key), self._cell(key)),
        ):
            if source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                unfinished = target.with_name(target.name + ".unfinished")
                shutil.copyfile(source, unfinished)
                unfinished.replace(target)

    def save_tables(self, keys: Sequence[str], best_known: BestKnown) -> "Results":
        """records.parquet and records.jsonl (one row an evaluation), cells.parquet (one row a run) of these cells.

        best_known: what is known now is written into tasks.json.
        """
        results = Results.of(self, keys).knowing(best_known)
        write(self.tasks, json.dumps(results.tasks.to_dict("records"), indent=2).encode())
        write(self.records, results.records.to_parquet())
        write(self.path / "records.jsonl", results.records.to_json(orient="records", lines=True).encode())
        write(self.path / "cells.parquet", results.cells.drop(columns="top_features", errors="ignore").to_parquet())
        return results

    def contents(self) -> Iterator[dict[str, Any]]:
        for path in sorted((self.path / "cells").glob("*.json")):
            yield json.loads(path.read_text())

    def factors(self, key: str) -> Factorization:
        tensors = load_file(self._factors(key))
        return Factorization(tensors["H"], tensors["W"])

    def _cell(self, key: str) -> Path:
        return self.path / "cells" / f"{key}.json"

    def _factors(self, key: str) -> Path:
        return self.path / "cells" / f"{key}.safetensors"


@dataclass(frozen=True)
class Results:
    """What reports are made from.

    cells: one row a run (task, track, method, seed, status, error, …), `records`: one row an evaluation, with the same
    first columns; tasks: one row a task; environment: of the comparison, the last where there are several.
    """

    cells: Frame
    records: Frame
    tasks: Frame
    environment: dict[str, Any]
    folders: dict[str, ResultFolder]

    @classmethod
    def of(cls, folder: ResultFolder, keys: Sequence[str] | None = None) -> "Results":
        """The cells of one folder: all, or those of these keys."""
        if not folder.tasks.is_file():
            raise Refusal(f"{folder.path} is not a result folder: it has no {folder.tasks.name}.")
        wanted = None if keys is None else set(keys)
        contents = [c for c in folder.contents() if wanted is None or c["cell"]["key"] in wanted]
        who = ("task", "track", "method", "seed", "key")
        records = [
            {**{name: content["cell"][name] for name in who}, **record}
            for content in contents
            for record in content["records"]
        ]
        cells = [content["cell"] for content in contents]
        return cls(
            pd.DataFrame(cells).sort_values(list(who), ignore_index=True)
            if cells
            else pd.DataFrame(columns=pd.Index(who)),
            pd.DataFrame(records).sort_values([*who, "iteration"], ignore_index=True, kind="stable")
            if records
            else pd.DataFrame(columns=pd.Index([*who, "iteration", "seconds", "value"])),
            pd.DataFrame(json.loads(folder.tasks.read_text())),
            json.loads(folder.environment.read_text()) if folder.environment.is_file() else {},
            {cell["key"]: folder for cell in cells},
        )

    @classmethod
    def gathered(cls, folders: Sequence[ResultFolder]) -> "Results":
        """Several folders as one; a cell that stands in more than one counts once."""
        parts = [cls.of(folder) for folder in folders]
        tasks: Frame = pd.concat([part.tasks for part in parts], ignore_index=True)
        clash = tasks.drop_duplicates(["task", "identity"]).groupby("task").size()
        for name in clash.index[clash > 1]:
            raise Refusal(f"task {name!r} means different problems in these folders; report them one by one.")
        cells: Frame = pd.concat([part.cells for part in parts], ignore_index=True).drop_duplicates(
            "key", ignore_index=True
        )
        twice = cells[cells.duplicated(["task", "track", "method", "seed"])]
        if len(twice):
            run = twice.iloc[0]
            raise Refusal(
                f"task {run.task}, method {run.method}, seed {run.seed} was run with different settings in these "
                "folders; report them one by one."
            )
        return cls(
            cells,
            pd.concat([part.records for part in parts], ignore_index=True).drop_duplicates(
                ["key", "iteration"], ignore_index=True
            ),
            tasks.drop_duplicates("task", ignore_index=True),
            parts[-1].environment,
            {key: folder for part in parts for key, folder in part.folders.items()},
        )

    def knowing(self, best_known: BestKnown) -> "Results":
        """With the best known value of each task and who found it, if it is better than what the folder says."""
        tasks = self.tasks.to_dict("records")
        for task in tasks:
            value = best_known.value(task["identity"])
            if value is not None and not task.get("best_known", math.inf) <= value:
                task |= {"best_known": value, "best_known_by": best_known.origin(task["identity"])}
        return replace(self, tasks=pd.DataFrame(tasks))

    def components(self, key: str) -> torch.Tensor:
        """W where that run ended."""
        return self.folders[key].factors(key).W

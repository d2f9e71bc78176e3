"""A run, as its directory tells it."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from safetensors import SafetensorError, safe_open
from yaml import YAMLError

from nmf_nets.loggers.base import SWEEP
from nmf_nets.refusal import Refusal
from nmf_nets.run_directory import RunDirectory

CONFIG, ENVIRONMENT, VERDICT, TOPICS = "config.yaml", "environment.json", "verdict.json", "topics.csv"
PICTURE, REPORT = "components.png", "report.html"

FIGURES = ("divergence_value", "classical_value", "sklearn_value", "gap", "seconds")
"""Entries of summary.json that every run has."""

BROKEN = (OSError, ValueError, TypeError, KeyError, AttributeError, YAMLError, OmegaConfBaseException, SafetensorError)
"""What files raise that hold something else than a run leaves in them."""


class Unreadable(Refusal):
    """What should be the directory of a run is none, or broken."""


@dataclass(frozen=True)
class Run:
    """What the directory of a run holds; of one that has not ended, or broke off, what there is so far.

    measured: the lines of metrics.jsonl with a divergence. reseeded: how many components started again.
    summary, verdict: empty before the end.
    shape: training rows, features and components that H and W have, None before the end.
    """

    path: Path
    config: Mapping[str, Any]
    environment: Mapping[str, Any]
    measured: Sequence[Mapping[str, Any]]
    reseeded: int
    summary: Mapping[str, Any]
    verdict: Mapping[str, Any]
    topics: list[list[tuple[str, float]]]
    shape: tuple[int, int, int] | None

    @classmethod
    def read(cls, path: Path) -> "Run":
        """Raises Unreadable, with the file, where one is missing that every run has, or holds something else."""
        path = Path(path).absolute()
        if not (path / CONFIG).is_file():
            raise Unreadable(f"{path} is not the directory of a run: it has no {CONFIG}.")
        run = RunDirectory(path)
        try:
            config: Any = OmegaConf.to_container(OmegaConf.load(path / CONFIG))
            lines = [{key: float(value) for key, value in line.items()} for line in run.measurements()]
            measured = [line | {"step": int(line["step"])} for line in lines if "training/divergence" in line]
            reseeded = int(sum(line.get("reseeded", 0.0) for line in lines))
            topics = _topics(path / TOPICS)
            shape = _shape(run.factors)
        except BROKEN as error:
            raise Unreadable(f"{path} is broken: {_first_line(error)}") from error
        if not isinstance(config, dict) or not isinstance(config.get("encoder"), dict):
            raise Unreadable(f"{path / CONFIG} is not the configuration of a run: it has no encoder.")
        summary, verdict = _object(run.summary, *FIGURES), _object(path / VERDICT, "headings", "lines", "note")
        return cls(path, config, _object(path / ENVIRONMENT), measured, reseeded, summary, verdict, topics, shape)

    @property
    def began(self) -> datetime | None:
        """When it was first looked at."""
        seconds = self.measured[0].get("time") if self.measured else None
        return None if seconds is None else datetime.fromtimestamp(seconds)

    @property
    def ended(self) -> bool:
        return bool(self.summary)

    @property
    def sweep(self) -> Path | None:
        """The directory of the sweep that it is a job of."""
        return self.path.parent if (self.path.parent / SWEEP).exists() else None

    @property
    def parameters(self) -> dict[str, str]:
        """What the command line chose."""
        found = self.config.get("parameters")
        return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}

    def choice(self, place: str) -> str:
        """What the configuration says there: a value, the name of a part, which is its option, or nothing."""
        node: Any = self.config
        for name in place.split("."):
            if not isinstance(node, Mapping) or name not in node:
                return self.parameters.get(place, "")
            node = node[name]
        if isinstance(node, dict):
            target = str(node.get("_target_", "")).split(".")
            return target[-2] if target[0] == "nmf_nets" and len(target) > 2 else target[-1]
        return json.dumps(node) if isinstance(node, bool | list) or node is None else str(node)

    @cached_property
    def axes(self) -> dict[str, list[float | None]]:
        """Of each measurement its epoch, or step where it is not known how many make one, and seconds of training."""
        steps = [line["step"] for line in self.measured]
        batch = self.choice("data.batch_size")
        if batch in ("", "null"):
            first = {"epochs": steps}
        elif self.shape is not None and batch.isdecimal():
            first = {"epochs": [step / math.ceil(self.shape[0] / int(batch)) for step in steps]}
        else:
            first = {"steps": steps}
        return {**first, "seconds": self.values("seconds")}

    def values(self, name: str) -> list[float | None]:
        """Of each measurement; None where there is none, or no finite one."""
        found = [line.get(name) for line in self.measured]
        return [None if value is None or not math.isfinite(value) else value for value in found]

    def has(self, name: str) -> bool:
        return any(value is not None for value in self.values(name))


def _object(path: Path, *needed: str) -> dict[str, Any]:
    """Of a JSON file, with what is needed of it; empty if there is none."""
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise Unreadable(f"{path} is not JSON: {_first_line(error)}") from error
    if not isinstance(found, dict) or (found and not found.keys() >= set(needed)):
        raise Unreadable(f"{path} is no JSON object{' with ' * bool(needed)}{', '.join(needed)}.")
    return found


def _topics(path: Path) -> list[list[tuple[str, float]]]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        lines = [(int(line["component"]), line["feature"], float(line["share"])) for line in csv.DictReader(file)]
    count = max((k for k, _, _ in lines), default=-1) + 1
    return [[(name, share) for k, name, share in lines if k == component] for component in range(count)]


def _shape(path: Path) -> tuple[int, int, int] | None:
    if not path.exists():
        return None
    with safe_open(path, framework="numpy") as file:
        (rows, components), (_, features) = (file.get_slice(name).get_shape() for name in "HW")
    return rows, features, components


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]

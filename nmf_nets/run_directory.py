"""What a run leaves on disk: the truth that every tracker mirrors."""

import json
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger
from safetensors.torch import save

from nmf_nets.factorization import Factorization
from nmf_nets.refusal import Refusal, first_line
from nmf_nets.targets import refuse_foreign_targets, refuse_references
from nmf_nets.whole_file import SealedFile, refusing_a_full_disk, write

try:
    import resource
except ImportError:
    resource = None

SCHEMA = "1"
MODEL, TENSORS = "model.json", "model.safetensors"
PACKAGES = ("torch", "pytorch-lightning", "hydra-core", "wandb", "numpy", "scipy", "scikit-learn", "numba", "nmf-nets")
PEERS = ("torchnmf", "tensorly", "gensim", "nn-fac")


class RunDirectory:
    """config.yaml, environment.json, metrics.jsonl, checkpoints/last.ckpt and last.earlier.ckpt, model.json,
    model.safetensors, factors.safetensors, summary.json, pictures.

    Whole files appear at once or not at all; metrics are appended and flushed line by line.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path).absolute()
        self.path.mkdir(parents=True, exist_ok=True)
        self.config = self.path / "config.yaml"
        self.metrics = self.path / "metrics.jsonl"
        self.checkpoint = SealedFile(self.path / "checkpoints" / "last.ckpt")
        self.summary = self.path / "summary.json"
        self.factors = self.path / "factors.safetensors"
        self.model = self.path / MODEL
        self.tensors = self.path / TENSORS
        self.curves = self.path / "curves.png"

    def save_config(self, config: DictConfig) -> None:
        write(self.config, OmegaConf.to_yaml(config, resolve=True).encode())

    def saved_config(self) -> DictConfig:
        """As plain data, which refer to nothing. Raises Refusal where there are none."""
        if not self.config.is_file():
            raise Refusal(f"resume={self.path} is not the directory of a run: it has no {self.config.name}.")
        try:
            text = self.config.read_text()
            read: Any = OmegaConf.create(text)
            saved = OmegaConf.create(text.replace(read["directory"], str(self.path)))  # wherever it lies now
        except Exception as error:  # of a parser that is given anything at all
            raise Refusal(f"{self.config} is not the configuration of a run: {first_line(error)}.") from error
        assert isinstance(saved, DictConfig)
        refuse_references(OmegaConf.to_container(saved, resolve=False))
        return saved

    def resumed(self, composed: DictConfig, overrides: Sequence[str]) -> DictConfig:
        """The saved configuration, wherever the directory lies now, with the values that the command line changes.

        Whom to trust the command line alone says: `allow` in a file that came with the directory would be its own
        witness.
        """
        saved = self.saved_config()
        for key in composed:
            if key not in saved:
                raise Refusal(
                    f"{self.config} has no {key!r}: it is that of another version of nmf_nets, which can resume it."
                )
        for override in overrides:
            key, _, value = override.partition("=")
            if key in ("resume", "allow"):
                continue
            if OmegaConf.is_config(OmegaConf.select(saved, key, default=saved)):
                raise Refusal(
                    f"resume goes on with the configuration in {self.config}; of it {key!r} cannot be changed, only "
                    "single values such as trainer.max_epochs."
                )
            OmegaConf.update(saved, key, OmegaConf.create(f"value: {value}").value)
        saved.allow = composed.allow
        refuse_foreign_targets(saved, saved.allow)
        return saved

    def save_environment(self) -> None:
        write(self.path / "environment.json", json.dumps(environment(), indent=2).encode())

    def save_summary(self, summary: Mapping[str, Any]) -> None:
        write(self.summary, json.dumps(summary, indent=2).encode())

    def saved_step(self, checkpoint: Path | None) -> int:
        """Of this checkpoint, -1 for none; only tensors and numbers are read, nothing in the file is run.

        Raises Refusal for a file that is no checkpoint.
        """
        if checkpoint is None:
            return -1
        try:
            return int(torch.load(checkpoint, map_location="cpu", weights_only=True)["global_step"])
        except Exception as error:  # torch fails in many ways on what it did not write
            raise Refusal(
                f"{checkpoint} is no checkpoint of ours ({first_line(error)}); move it away to go on without it."
            ) from error

    def save_model(self, about: Mapping[str, Any], tensors: bytes) -> None:
        write(self.tensors, tensors)
        write(self.model, json.dumps(about, indent=2).encode())

    def save_factors(
        self, factors: Factorization, rows: torch.Tensor, parts: Mapping[str, torch.Tensor] | None = None, **about: str
    ) -> None:
        """H and W as tensors, with the rows of the data that H belongs to, and how many copies components have.

        parts: what W is made of, by name.
        """
        tensors = {"H": factors.H, "W": factors.W, "rows": rows, **(parts or {})}
        tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
        counts = {"n_components": str(factors.n_components // factors.copies), "copies": str(factors.copies)}
        write(self.factors, save(tensors, {"schema": SCHEMA, **counts, **about}))

    def measurements(self) -> list[dict[str, Any]]:
        """The whole lines of metrics.jsonl; a last line that was cut off is left out.

        Raises Refusal for a line that is no object of JSON with a step.
        """
        if not self.metrics.exists():
            return []
        found = []
        for number, line in enumerate(self.metrics.read_bytes().split(b"\n")[:-1], 1):
            try:
                found.append(json.loads(line))
                found[-1]["step"]
            except (ValueError, RecursionError, TypeError, LookupError) as error:
                raise Refusal(
                    f"line {number} of {self.metrics} is no measurement ({first_line(error)}); the file is damaged, "
                    "take the line out."
                ) from error
        return found

    def forget_after(self, step: int) -> None:
        """Drops the measurements that a run resumed from this step will make again."""
        kept = [json.dumps(line) + "\n" for line in self.measurements() if line["step"] <= step]
        write(self.metrics, "".join(kept).encode())


class MetricsFile(Logger):
    """Appends what is logged to metrics.jsonl."""

    def __init__(self, path: Path):
        super().__init__()
        self.path = path

    @property
    def name(self) -> str:
        return "metrics"

    @property
    def version(self) -> str:
        return self.path.parent.name

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """The configuration stands in config.yaml."""

    def log_metrics(self, metrics: Mapping[str, float | torch.Tensor], step: int | None = None) -> None:
        line = {"step": step, "time": time.time(), **{key: float(value) for key, value in metrics.items()}}
        with refusing_a_full_disk(self.path), self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")


def environment() -> dict[str, Any]:
    """Enough to run it again: versions, machine, threads, revision, command."""
    return {
        "day": date.today().isoformat(),
        "python": platform.python_version(),
        "packages": {name: version_of(name) for name in (*PACKAGES, *PEERS)},
        "platform": platform.platform(),
        "processor": _processor(),
        "cuda": torch.version.cuda if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
        "git": _revision(),
        "command": sys.argv,
    }


def peak_memory() -> int | None:
    """The most memory that this process has held so far, in bytes; None where the system does not tell (Windows)."""
    if resource is None:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def version_of(name: str) -> str | None:
    """Of the installed package; None where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def _revision() -> dict[str, Any] | None:
    """The commit of the checkout that the code runs from, and whether it was changed since."""

    def git(*command: str) -> str:
        here = Path(__file__).parent
        return subprocess.run(
            ["git", "-C", str(here), *command], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "changed": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return None

"""The command lines, in this process: they end with 0, with 2 and one sentence, or with what Hydra says of options."""

import io
import os
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numpy as np
from hostile.doors import DOORS, door
from hypothesis import strategies as st

from nmf_nets.benchmark.__main__ import main as benchmark
from nmf_nets.dashboard.__main__ import main as dashboard
from nmf_nets.factorize_file import main as factorize_file
from nmf_nets.select import main as select
from nmf_nets.train import main as train
from nmf_nets.transform import main as transform

QUICK = (
    "data=synthetic", "data.n_samples=12", "data.n_features=4", "n_components=2", "logger=none", "trainer.max_epochs=1",
    "hydra.run.dir=run", "callbacks.component_pictures.growth=1e9",
)  # fmt: skip
VALUES = (
    "null", "-1", "0", "1", "2.5", "1e400", "nan", "inf", "[]", "[1,2]", "{}", "{a:1}", "''", "nope", "\u03b5\u03bb",
    "true", "../..", "'a b'", "1e-320", "[nan]",
)  # fmt: skip
KEYS = (
    "n_components", "seed", "threads", "metric", "resume", "plain_rivals", "constraint", "encoder", "optimizer",
    "divergence", "update", "trainer", "trainer.max_epochs", "trainer.devices", "data.n_features", "data.density",
    "data.validation", "data.batch_size", "optimizer.repeats", "optimizer.lr", "encoder.steps",
)  # fmt: skip
SELECTS = (
    "n_components", "seeds", "max_iter", "tol", "together", "seed", "threads", "data.n_samples", "selection",
    "directory", "divergence", "init",
)  # fmt: skip
FACTORIZES = (
    "data.path", "data.key", "data.weights", "data.dtype", "n_components", "solver", "start", "repeats", "l1_H", "l1_W",
    "l2_H", "l2_W", "max_iter", "tol", "max_seconds", "check_every", "values", "codes", "save_every", "save_seconds",
    "patience", "device", "seed", "threads", "resume", "allow", "directory", "divergence",
)  # fmt: skip
DASHBOARDS = ("path", "to", "allow")  # without a file to write, it serves for ever
BENCHMARKS = (
    "seeds", "seconds", "iterations", "tolerance", "tracks", "method", "task", "n_components", "threads", "allow",
    "plugins",
)  # fmt: skip
TRANSFORMS = ("run", "data", "output", "codes", "batch_size", "device")
SERVING = {("to", "null")}
ENDLESS = {("trainer.max_epochs", "-1"), ("trainer.max_epochs", "null")}


def ended(program, *words: str) -> tuple[int, str]:
    """Its exit code and what it said on the standard error, in an empty directory."""
    said = io.StringIO()
    environment = {"HOME": os.getcwd(), "WANDB_MODE": "disabled"}
    with (
        patch.object(sys, "argv", ["program", *words]),
        patch.dict(os.environ, environment),
        redirect_stdout(io.StringIO()),
        redirect_stderr(said),
        patch("hydra._internal.utils.is_under_debugger", return_value=False),  # it takes hypothesis for one
    ):
        try:
            program()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
    return code, said.getvalue()


def assert_ended(program, *words: str) -> None:
    with TemporaryDirectory() as directory, chdir(directory):
        np.save("x.npy", np.ones((3, 2)))
        code, said = ended(program, *words)
        assert code in (0, 1, 2), (code, said)
        assert "Traceback" not in said, said[-2000:]
        if code == 2 and "refused" in said:
            refused = [line for line in said.splitlines() if "refused" in line]
            assert len(refused[-1]) > 20, said


PAIRS = {
    "train": [(key, value) for key, value in product(KEYS, VALUES) if (key, value) not in ENDLESS],
    "select": list(product(SELECTS, VALUES)),
    "transform": list(product(TRANSFORMS, VALUES)),
    "factorize": list(product(FACTORIZES, VALUES)),
    "dashboard": [pair for pair in product(DASHBOARDS, VALUES) if pair not in SERVING],
    "benchmark": list(product(BENCHMARKS, VALUES)),
}
"""Few enough that all can be tried."""


@door(st.sampled_from(PAIRS["train"]), examples=8)
def options_of_train(inputs: tuple[str, str]) -> None:
    key, value = inputs
    kept = [word for word in QUICK if not word.startswith(f"{key}=")]
    assert_ended(train, *kept, f"{key}={value}")


@door(st.sampled_from(PAIRS["select"]), examples=4)
def options_of_select(inputs: tuple[str, str]) -> None:
    key, value = inputs
    given = {
        "data": "synthetic",
        "data.n_samples": "12",
        "data.n_features": "4",
        "n_components": "2",
        "seeds": "2",
        "max_iter": "2",
        "selection": "[consensus]",
    }
    assert_ended(select, *(f"{name}={text}" for name, text in (given | {key: value}).items()))


@door(st.sampled_from(PAIRS["transform"]), examples=6)
def options_of_transform(inputs: tuple[str, str]) -> None:
    from hostile.models import saved

    key, value = inputs
    with TemporaryDirectory() as directory:
        for name, data in saved().items():
            (Path(directory) / name).write_bytes(data)
        given = {"run": directory, "data": "x.npy", "output": "codes.csv"}
        assert_ended(transform, *(f"{name}={text}" for name, text in (given | {key: value}).items()))


@door(st.sampled_from(PAIRS["factorize"]), examples=6)
def options_of_factorize(inputs: tuple[str, str]) -> None:
    key, value = inputs
    given = {"data.path": "x.npy", "n_components": "1", "max_iter": "3", "directory": "run"}
    assert_ended(factorize_file, *(f"{name}={text}" for name, text in (given | {key: value}).items()))


@door(st.sampled_from(PAIRS["dashboard"]), examples=4)
def options_of_dashboard(inputs: tuple[str, str]) -> None:
    key, value = inputs
    given = {"path": "[run]", "to": "page.html"}
    assert_ended(dashboard, *(f"{name}={text}" for name, text in (given | {key: value}).items()))


@door(st.sampled_from(PAIRS["benchmark"]), examples=3)
def options_of_benchmark(inputs: tuple[str, str]) -> None:
    key, value = inputs
    given = {"task": "synthetic", "method": "[hals]", "seeds": "1", "seconds": "0.01", "tracks": "[shared]"}
    given |= {"hydra.run.dir": "run"}
    assert_ended(benchmark, *(f"{name}={text}" for name, text in (given | {key: value}).items()))


def main() -> None:
    """Every pair of an option and a value, once."""
    failed = 0
    for program, pairs in PAIRS.items():
        for pair in pairs:
            try:
                DOORS[f"options_of_{program}"].law(pair)
            except Exception as error:
                failed += 1
                sys.stdout.write(f"FAILED {program} {'='.join(pair)}: {str(error)[-600:]}\n")
        sys.stdout.write(f"{program}: {len(pairs)} pairs\n")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

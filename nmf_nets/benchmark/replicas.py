"""What several processes change in a net: `python -m nmf_nets.benchmark.replicas [FILE] [PROCESSES] [EPOCHS]`.

Every net is trained by nmf-train twice, by one process and by several, on the digits and on the matrix in the file.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from nmf_nets.pages.table import Table

BATCHES = ("data.batch_size=256",)
NETS: dict[str, tuple[str, ...]] = {
    "unrolled, block": (),
    "unrolled, online": ("optimizer=online", *BATCHES),
    "table, multiplicative": ("encoder=table", "optimizer=multiplicative"),
    "mlp, block": ("encoder=mlp",),
    "lista, adam": ("encoder=lista", "optimizer=adam", *BATCHES),
    "unrolled, block, KL": ("divergence=kullback_leibler",),
    "table, multiplicative, KL": ("encoder=table", "optimizer=multiplicative", "divergence=kullback_leibler"),
    "mlp, online, KL": (
        *("encoder=mlp", "optimizer=online", "update=multiplicative", "divergence=kullback_leibler"),
        *BATCHES,
    ),
}


def summary(directory: Path, processes: int, epochs: int, overrides: Sequence[str]) -> dict[str, Any]:
    """The final figures of a run of so many processes."""
    several = () if processes == 1 else (f"trainer.devices={processes}", "trainer.strategy=ddp")
    quiet = (
        "logger=none",
        "~callbacks.component_pictures",
        "~callbacks.epoch_progress",
        "callbacks.gap_monitor.growth=9",
    )
    command = [sys.executable, "-m", "nmf_nets.train", f"hydra.run.dir={directory}", "trainer.accelerator=cpu"]
    command += [f"trainer.max_epochs={epochs}", "threads=1", *several, *quiet, *overrides]
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{ran.stderr}")
    return json.loads((directory / "summary.json").read_text())


def replicas(
    data: Sequence[str], nets: Mapping[str, Sequence[str]], processes: int = 2, epochs: int = 30, title: str = "digits"
) -> Table:
    """The divergence by one process and by several, and the seconds of training."""
    lines = []
    for name, overrides in nets.items():
        with TemporaryDirectory() as directory:
            one, several = (
                summary(Path(directory) / str(count), count, epochs, (*data, *overrides)) for count in (1, processes)
            )
        found = [run["divergence_value"] for run in (one, several)]
        lines.append((name, *found, found[1] / found[0] - 1, one["seconds"], several["seconds"]))
    by = f"by {processes}"
    columns = ["net", "by one", by, "difference", "seconds", f"seconds {by}"]
    formats = {
        "by one": "{:.8g}",
        by: "{:.8g}",
        "difference": "{:+.1e}",
        "seconds": "{:.2f}",
        f"seconds {by}": "{:.2f}",
    }
    note = f"{epochs} epochs from the same start; processes of one thread each."
    return Table("replicas", title, pd.DataFrame(lines, columns=columns), formats, note)


def main() -> None:
    files = [word for word in sys.argv[1:] if not word.isdigit()]
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
    print(replicas(("data=digits",), NETS, *numbers).markdown())  # noqa: T201 - it is a program
    for file in files:
        data = ("data=matrix", f"data.path={Path(file).absolute()}")
        print(replicas(data, NETS, *numbers, title=Path(file).stem).markdown())  # noqa: T201


if __name__ == "__main__":
    main()

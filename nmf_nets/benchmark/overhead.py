"""What Lightning costs: `python -m nmf_nets.benchmark.overhead FILE`, an epoch of a run against a loop by hand."""

import logging
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise

import pandas as pd
import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from nmf_nets.callbacks.epoch_progress import EpochProgress
from nmf_nets.callbacks.stopwatch import Stopwatch
from nmf_nets.constraints.projected import Projected
from nmf_nets.data.matrix import MatrixFile
from nmf_nets.decoders.linear import Linear
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.encoders.mlp import MLP
from nmf_nets.encoders.unrolled import Unrolled
from nmf_nets.factorization import Factorization
from nmf_nets.inits.random import random
from nmf_nets.kernels.hals import hals_sweeps
from nmf_nets.loader import ResidentLoader
from nmf_nets.matrix import DenseMatrix
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder
from nmf_nets.optimizers.online import Online
from nmf_nets.pages.table import Table
from nmf_nets.preprocessing.divided import Divided
from nmf_nets.updates.hals import HALS

SWEEPS = 2
"""Over W after each batch."""


class EpochTimes(Callback):
    """When each epoch ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.ends.append(time.perf_counter())


def by_lightning(name: str, X: DenseMatrix, start: Factorization, batch_size: int, epochs: int) -> tuple[float, Tensor]:
    """Seconds of an epoch, the median after the first, and W."""
    encoder = Unrolled(start, HALS(), warm=1) if name == "unrolled" else MLP(start, Frobenius())
    optimizer = partial(Online, update=HALS(), repeats=SWEEPS, memory=1.0)
    net = NonNegativeAutoencoder(encoder, Linear(start, Projected()), Frobenius(), optimizer)
    times = EpochTimes()
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        callbacks=[Stopwatch(), EpochProgress(), times],
        enable_checkpointing=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
    )
    trainer.fit(net, ResidentLoader(X, batch_size))
    return _median(times.ends), net.decoder.W.detach()


def by_hand(name: str, X: DenseMatrix, start: Factorization, batch_size: int, epochs: int) -> tuple[float, Tensor]:
    """The same steps written out: codes, the sums of all rows with the part of the batch replaced, sweeps on W."""
    n, (r, m) = len(start.H), start.W.shape
    W, unit = start.W.clone(), start.W.mean()
    kept, old, C, G = start.H.clone(), torch.zeros(n, r), torch.zeros(m, r), torch.zeros(r, r)
    mlp = MLP(start, Frobenius())
    adam = torch.optim.Adam(mlp.parameters(), lr=1e-2, eps=1e-12)
    ends, step = [], 0
    for order in _orders(n, epochs):
        for rows in order.split(batch_size):
            x = X.values[rows]
            if name == "unrolled":
                h = kept[rows] = hals_sweeps(kept[rows], x @ W.T, W @ W.T, 1, 0.0)
            else:
                codes = mlp(DenseMatrix(x), W)
                h = codes.detach()
                adam.zero_grad()
                codes.backward((h @ (W @ W.T) - x @ W.T) / (x.numel() * x.mean() ** 2))
                adam.param_groups[0]["lr"] = 1e-2 / (1 + step / 400)
                adam.step()
                step += 1
            before = old[rows]
            C += x.T @ (h - before)
            G += h.T @ h - before.T @ before
            old[rows] = h
            W = unit * (hals_sweeps(W.T.contiguous(), C, G, SWEEPS, 0.0).T / unit)
        ends.append(time.perf_counter())
    return _median(ends), W


def overhead(X: DenseMatrix, n_components: int, batch_size: int = 256, epochs: int = 5, repeats: int = 3) -> Table:
    """Both in turn, on the same rows in the same order; the least of the repeats."""
    start = random(X, n_components, torch.Generator().manual_seed(0))
    ways: dict[str, Callable[..., tuple[float, Tensor]]] = {"hand": by_hand, "Lightning": by_lightning}
    rows = []
    for name in ("unrolled", "mlp"):
        runs = [{way: ways[way](name, X, start, batch_size, epochs) for way in ways} for _ in range(repeats)]
        hand, lightning = (min(run[way][0] for run in runs) for way in ways)
        W, other = (runs[0][way][1] for way in ways)
        apart = float((W - other).abs().max() / W.max())
        rows.append({"encoder": name, "hand": hand, "Lightning": lightning, "ratio": lightning / hand, "apart": apart})
    n, m = X.shape
    note = "Seconds of an epoch: median of those after the first, least of the repeats. apart: W of both at the end."
    formats = {"hand": "{:.3f}", "Lightning": "{:.3f}", "ratio": "{:.2f}", "apart": "{:.0e}"}
    title = f"{n:,} × {m:,}, {n_components} components, batches of {batch_size}"
    return Table("overhead", title, pd.DataFrame(rows), formats, note)


def _median(ends: list[float]) -> float:
    return statistics.median(after - before for before, after in pairwise(ends))


def _orders(n: int, epochs: int) -> Iterator[Tensor]:
    """Those of ResidentLoader."""
    for epoch in range(epochs):
        yield torch.randperm(n, generator=torch.Generator().manual_seed(epoch))


def main() -> None:
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    data = MatrixFile(sys.argv[1], validation=0.0, test=0.2, preprocessing=Divided(255))
    data.setup()
    assert isinstance(data.training, DenseMatrix)
    print(overhead(data.training, 40).markdown())  # noqa: T201 - it is a program


if __name__ == "__main__":
    main()

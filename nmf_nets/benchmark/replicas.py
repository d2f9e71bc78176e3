"""What several processes change in a net: `torchrun --nproc-per-node 2 -m nmf_nets.benchmark.replicas [FILE …]`.

Every net is trained by all ranks and by the first alone, on the digits and on the matrix in each file.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pandas as pd
import torch

from nmf_nets.constraints.projected import Projected
from nmf_nets.data.base import MatrixDataModule
from nmf_nets.data.digits import Digits
from nmf_nets.data.matrix import MatrixFile
from nmf_nets.decoders.linear import Linear
from nmf_nets.divergences.base import Divergence
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.divergences.kullback_leibler import KullbackLeibler
from nmf_nets.encoders.base import Encoder
from nmf_nets.encoders.lista import LISTA
from nmf_nets.encoders.mlp import MLP
from nmf_nets.encoders.table import Table as TableOfCodes
from nmf_nets.encoders.unrolled import Unrolled
from nmf_nets.factorization import Factorization
from nmf_nets.group import ALONE, Group, joined
from nmf_nets.inits.random import random
from nmf_nets.loader import ResidentLoader
from nmf_nets.matrix import Matrix
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder
from nmf_nets.optimizers.adam import ProjectedAdam
from nmf_nets.optimizers.base import MakeOptimizer
from nmf_nets.optimizers.block import Block
from nmf_nets.optimizers.multiplicative import Multiplicative
from nmf_nets.optimizers.online import Online
from nmf_nets.pages.table import Table
from nmf_nets.updates.hals import HALS
from nmf_nets.updates.multiplicative import Multiplicative as MultiplicativeUpdate
from nmf_nets.updates.scalar_newton import ScalarNewton

COMPONENTS, EPOCHS, BATCH = 16, 30, 256
F, KL = Frobenius(), KullbackLeibler()


@dataclass(frozen=True)
class Net:
    """A way to train W."""

    divergence: Divergence
    encoder: Callable[[Factorization], Encoder]
    optimizer: MakeOptimizer
    batch_size: int | None = None


def nets() -> dict[str, Net]:
    adam = partial(ProjectedAdam, lr=0.03, net_lr=3e-3)
    free = partial(TableOfCodes, constraint=Projected())
    return {
        "unrolled, block": Net(F, partial(Unrolled, update=HALS()), partial(Block, update=HALS())),
        "unrolled, online": Net(F, partial(Unrolled, update=HALS()), partial(Online, update=HALS()), BATCH),
        "table, multiplicative": Net(F, free, Multiplicative),
        "table, adam": Net(F, free, adam, BATCH),
        "mlp, block": Net(F, partial(MLP, divergence=F), partial(Block, update=HALS())),
        "unrolled, block, KL": Net(KL, partial(Unrolled, update=ScalarNewton()), partial(Block, update=ScalarNewton())),
        "table, multiplicative, KL": Net(KL, free, Multiplicative),
        "lista, adam, KL": Net(KL, partial(LISTA, divergence=KL), adam, BATCH),
        "mlp, online, KL": Net(
            KL, partial(MLP, divergence=KL), partial(Online, update=MultiplicativeUpdate(KL)), BATCH
        ),
    }


def trained(net: Net, X: Matrix, group: Group) -> tuple[float, torch.Tensor, float]:
    """The divergence of the net's own codes, its W, and the seconds of an epoch."""
    start = random(X, COMPONENTS, torch.Generator().manual_seed(0))
    made = NonNegativeAutoencoder(net.encoder(start), Linear(start, Projected()), net.divergence, net.optimizer)
    optimizer, loader = made.configure_optimizers(), ResidentLoader(X, net.batch_size, group=group)
    began = time.perf_counter()
    for epoch in range(EPOCHS):
        loader.sampler.set_epoch(epoch)
        for batch in loader:
            optimizer.step(closure=partial(made.objective, batch))  # pyright: ignore
    seconds = (time.perf_counter() - began) / EPOCHS
    group.gather_(*made.encoder.of_rows)
    factors = made.own_factors(X)
    return float(net.divergence.total(X, factors)), factors.W, seconds


def replicas(X: Matrix, group: Group, title: str) -> Table:
    """The divergence by the first rank alone, how far that by all is from it, and whether these are replicas."""
    lines = []
    for name, net in nets().items():
        line: dict[str, str | float] = {"net": name}
        for dtype in (torch.float64, torch.float32):
            of = str(dtype).removeprefix("torch.")
            value, W, seconds = trained(net, X.to(dtype), group)
            first = W.clone()
            group.from_first_(first)
            apart = (first - W).abs().max()
            group.max_(apart)
            alone, _, alone_seconds = trained(net, X.to(dtype), ALONE) if group.rank == 0 else (value, W, 0.0)
            line |= {f"loss, {of}": alone, f"difference, {of}": value / alone - 1}
        line |= {"replicas differ by": float(apart), "ms an epoch": 1e3 * alone_seconds, "by all": 1e3 * seconds}  # pyright: ignore[reportPossiblyUnboundVariable]
        lines.append(line)
    frame = pd.DataFrame(lines).drop(columns="loss, float32")
    formats = {"loss, float64": "{:.8g}", "difference, float64": "{:+.0e}", "difference, float32": "{:+.0e}"}
    formats |= {"replicas differ by": "{:.0f}", "ms an epoch": "{:.1f}", "by all": "{:.1f}"}
    n, m = X.shape
    note = f"{n:,} × {m:,}, {COMPONENTS} components, {EPOCHS} epochs, {group.size} processes of one thread each. "
    note += f"Adam and online steps are on batches of {BATCH}, the others on all rows."
    return Table("replicas", title, frame, formats, note)


def main() -> None:
    torch.set_num_threads(1)
    group = joined(seconds=1800)
    sources: list[MatrixDataModule] = [Digits(validation=0.0, test=0.0)]
    sources += [MatrixFile(path, validation=0.0, test=0.0) for path in sys.argv[1:]]
    for data in sources:
        data.setup()
        title = data.path.stem if isinstance(data, MatrixFile) else "digits"
        table = replicas(data.training, group, title)
        if group.rank == 0:
            print(table.markdown())  # noqa: T201 - it is a program


if __name__ == "__main__":
    main()

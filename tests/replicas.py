"""Nets that are trained by several ranks, and by one: a table of them, and what a rank does."""

import os
import sys
from functools import partial
from pathlib import Path

import numpy as np
import scipy.sparse
import torch
import torch.distributed as dist
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from nmf_nets.group import Group
from nmf_nets.loader import ResidentLoader
from nmf_nets.optimizers.base import memory_of_rows
from nmf_nets.program import CONFIGS
from nmf_nets.train import make_net, part

RANKS, SAMPLES, FEATURES, STEPS = 2, 41, 30, 12
"""Of 41 rows the ranks have 20 and 21, and of a batch of one row one of them has none."""

KL = "divergence=kullback_leibler"
BATCHES, TINY = "data.batch_size=16", "data.batch_size=1"
OF_RUNS = ("hydra", "directory", "parameters", "callbacks", "logger", "trainer", "rivals")
SPARSE, HOLES = "data.path=sparse.npz", ("data.path=sparse.npz", "data.missing=unstored")
MULTIPLICATIVE = ("optimizer=multiplicative", "encoder=table")
MU = "update=multiplicative"

CASES: dict[str, tuple[str, ...]] = {
    "block": (),
    "block, KL": (KL,),
    "block, sparse": (SPARSE,),
    "block, sparse, KL": (SPARSE, KL),
    "block, table": ("encoder=table",),
    "block, table, KL": ("encoder=table", KL),
    "block, exact, pivoting": ("encoder=exact", "update=pivoting", "encoder.ramp=0"),
    "block, multiplicative": (MU,),
    "block, multiplicative, Itakura–Saito": ("divergence=itakura_saito", "data.path=positive.npz"),
    "block, mlp, KL": ("encoder=mlp", KL),
    "block, refined": ("encoder=refined", "encoder@encoder.inner=lista", "encoder.ramp=1", "encoder.distillation=0.1"),
    "block, batches": (BATCHES,),
    "block, batches, KL": (BATCHES, KL),
    "block, holes": (*HOLES,),
    "block, holes, imputed": (*HOLES, "update=pivoting"),
    "block, holes, KL": (*HOLES, KL),
    "block, penalties": (
        *("+penalty@penalties_H.sparse=l1", "penalties_H.sparse.strength=0.1"),
        *("+penalty@penalties_W.small=l2", "penalties_W.small.strength=0.5"),
        *("+penalty@penalties_W.apart=orthogonality", "penalties_W.apart.strength=0.1"),
    ),
    "block, semi": ("update=semi_multiplicative",),
    "adam, table, batches": ("optimizer=adam", "encoder=table", BATCHES),
    "adam, mlp, tiny batches": ("optimizer=adam", "encoder=mlp", TINY),
    "adam, lista, sparse, KL": ("optimizer=adam", "encoder=lista", SPARSE, KL, BATCHES),
    "adam, implicit": ("optimizer=adam", "encoder=exact", "encoder.implicit=true", "encoder.ramp=0"),
    "adam, head": ("optimizer=adam", "encoder=mlp", "head=classifier", BATCHES),
    "adam, penalties": (
        *("optimizer=adam", "encoder=table", BATCHES),
        *("+penalty@penalties_H.apart=orthogonality", "penalties_H.apart.strength=0.1"),
        *("+penalty@penalties_W.small=l2", "penalties_W.small.strength=0.5"),
    ),
    "multiplicative": MULTIPLICATIVE,
    "multiplicative, sparse, KL": (*MULTIPLICATIVE, SPARSE, KL),
    "multiplicative, linear": ("optimizer=multiplicative", "encoder=linear"),
    "multiplicative, projective, KL": ("optimizer=multiplicative", "encoder=projective", KL),
    "multiplicative, convex": (*MULTIPLICATIVE, "decoder=convex"),
    "multiplicative, tri-factor": (
        *(*MULTIPLICATIVE, "decoder=tri_factor", "+penalty@decoder.penalties.V.small=l2"),
        "decoder.penalties.V.small.strength=0.5",
    ),
    "multiplicative, tiny batches": (*MULTIPLICATIVE, TINY),
    "online": ("optimizer=online", BATCHES),
    "online, tiny batches": ("optimizer=online", TINY),
    "online, mlp, sparse": ("optimizer=online", "encoder=mlp", SPARSE, BATCHES),
    "online, head": ("optimizer=online", "encoder=mlp", "head=classifier", BATCHES),
    "online, penalties": (
        *("optimizer=online", BATCHES, "+penalty@penalties_W.small=l2", "penalties_W.small.strength=0.5"),
        *("+penalty@penalties_W.sparse=l1", "penalties_W.sparse.strength=0.1"),
    ),
    "online, KL": ("optimizer=online", KL, MU, BATCHES),
    "online, tiny batches, sparse, KL": ("optimizer=online", KL, MU, SPARSE, TINY),
}


def write_data(directory: Path) -> None:
    draw = np.random.default_rng(0)
    X = draw.random((SAMPLES, 5)) @ draw.random((5, FEATURES)) * (0.5 + draw.random((SAMPLES, FEATURES)))
    holes = np.where(draw.random(X.shape) < 0.6, X, 0)
    np.savez(directory / "positive.npz", X=X)
    np.savez(directory / "dense.npz", X=np.where(draw.random(X.shape) < 0.8, X, 0), labels=np.arange(SAMPLES) % 3)
    scipy.sparse.save_npz(directory / "sparse.npz", scipy.sparse.csr_array(holes))


def write_cases(directory: Path) -> None:
    every = ("n_components=4", "data=matrix", "data.path=dense.npz", "data.dtype=float64", "data.test=0")
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        for name, overrides in CASES.items():
            config = compose("train", [*every, "data.validation=0", *overrides])
            chosen = {key: config[key] for key in config if key not in OF_RUNS}
            OmegaConf.save(OmegaConf.create(chosen), directory / f"{name}.yaml", resolve=True)


def trained(name: str, group: Group) -> dict[str, torch.Tensor]:
    """Everything that the net and its step hold in the end, and the value of its own factors."""
    config = OmegaConf.load(f"{name}.yaml")
    data = part(config.data)
    data.setup()
    net, _ = make_net(config, data)
    loader = ResidentLoader(data.training, data.batch_size, 0, data.training_labels, group)
    optimizer, left = net.configure_optimizers(), STEPS
    for epoch in range(STEPS):
        loader.sampler.set_epoch(epoch)
        for batch in loader:
            if left > 0:
                left -= 1
                last = optimizer.step(closure=partial(net.objective, batch))
    value = last.value()
    group.gather_(*net.encoder.of_rows, *memory_of_rows(optimizer, net.encoder))
    factors = net.own_factors(data.training)
    found = {name: tensor for name, tensor in net.state_dict().items() if isinstance(tensor, torch.Tensor)}
    remembered = memory_of_rows(optimizer, net.encoder)
    found |= {f"remembered {i}": tensor for i, tensor in enumerate(remembered)}
    return found | {"value": value, "H": factors.H, "W": factors.W}


def main(rank: int, directory: Path) -> None:
    os.chdir(directory)
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{directory}/store", rank=rank, world_size=RANKS)
    torch.save({name: trained(name, Group()) for name in CASES}, directory / f"{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))

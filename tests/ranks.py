"""What the ranks of a test do, in processes of their own, and the data that they do it with."""

import os
import shutil
import signal
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import scipy.sparse
import torch
import torch.distributed as dist

from nmf_nets.as_matrix import as_matrix
from nmf_nets.distributed import factorize_rows
from nmf_nets.group import Group
from nmf_nets.heartbeat import beating
from nmf_nets.refusal import Refusal
from nmf_nets.row_run import refuse_different
from nmf_nets.sources.open import source_of
from nmf_nets.sources.resident import Resident

N, M, R = 41, 17, 4


def data(kind="dense", n=N):
    generator = np.random.default_rng(0)
    X = generator.gamma(0.5, size=(N, R)) @ generator.gamma(0.5, size=(R, M)) * (0.5 + generator.random((N, M)))
    X = np.where(generator.random((N, M)) < 0.4, 0, X)[:n]
    V = (generator.random((N, M)) < 0.7) * (0.5 + generator.random((N, M)))
    if kind == "sparse":
        return as_matrix(scipy.sparse.csr_array(X))
    return as_matrix(X, weights=V[:n] if kind == "weighted" else None)


def run(kind="dense", n=N, **choices):
    return factorize_rows(
        Resident(data(kind, n)), R, **{"max_iter": 8, "tol": 0.0, "check_every": 4, "values": 60, **choices}
    )


CASES = {
    "hals": {"solver": "hals", "l1_H": 0.01, "l2_W": 0.02},
    "hals sparse": {"kind": "sparse"},
    "hals weighted": {"kind": "weighted", "init": "random"},
    "newton": {"divergence": "kullback_leibler", "init": "random"},
    "newton sparse": {"kind": "sparse", "divergence": "kullback_leibler"},
    "newton weighted": {"kind": "weighted", "divergence": "kullback_leibler"},
    "mu": {"solver": "mu"},
    "mu sparse": {"kind": "sparse", "divergence": "kullback_leibler", "solver": "mu", "l1_W": 0.1},
    "mu 1.5": {"divergence": 1.5, "init": "random"},
    "two rows": {"n": 2, "init": "random"},
    "two rows sampled": {"n": 2, "divergence": "kullback_leibler"},
}


def work(rank, directory):
    """Three ranks, then two of them."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    for size in (3, 2):
        if rank < size:
            dist.init_process_group(
                "gloo", init_method=f"file://{directory}/meet-{size}", rank=rank, world_size=size,
                timeout=timedelta(seconds=60),
            )  # fmt: skip
            torch.save(found(Path(directory), size), Path(directory) / f"{size}-{rank}.pt")
            dist.destroy_process_group()


def found(directory, size):
    group = Group()
    results = {name: run(**case, group=group) for name, case in CASES.items()}
    kept = {
        name: {"W": r.W, "H": r.H, "start": r.start, "sent": r.sent, "value": r.divergence_value}
        | {"losses": [moment.loss for moment in r.history]}
        for name, r in results.items()
    }
    for where in ("memory", "disk"):
        place = directory / where
        choices = {"kind": "sparse", "init": "random", "group": group, "directory": place, "codes": where}
        if size == 3:
            run(**choices, max_iter=2, save_every=1)
            group.wait()
            if group.rank == 0:
                for fewer in (2, 1):
                    shutil.copytree(place, directory / f"{where}-{fewer}")
            group.wait()
            kept[where] = {"W": run(**choices).W}
            kept[f"{where}, undisturbed"] = {"W": run(kind="sparse", init="random", group=group).W}
        else:
            kept[where] = {"W": run(**choices | {"directory": directory / f"{where}-2"}).W}
    refusals = {}
    for name, attempt in {
        "nan": lambda: factorize_rows(source_of(directory / "nan.npy"), R, group=group, values=40),
        "different": lambda: refuse_different(torch.full((2, 2), float(group.rank)), group),
    }.items():
        try:
            attempt()
        except Refusal as refusal:
            refusals[name] = str(refusal)
    return kept, refusals


def live(rank, port, freezes):
    """Two ranks that show signs of life, of which the second freezes, or leaves in order, long before the first."""
    os.environ |= {"GLOO_SOCKET_IFNAME": "lo", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=2)
    with beating(Group(), every=0.1, silence=1.0):
        time.sleep(0.5)
        if rank == 1 and freezes:
            os.kill(os.getpid(), signal.SIGSTOP)
        if rank == 0:
            time.sleep(3)

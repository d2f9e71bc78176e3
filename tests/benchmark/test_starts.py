import torch

from nmf_nets.as_matrix import as_matrix
from nmf_nets.benchmark.starts import INITS, starts
from nmf_nets.divergences.frobenius import Frobenius


def test_every_init_is_followed_to_the_last_mark_and_losses_fall():
    generator = torch.Generator().manual_seed(0)
    X = as_matrix(torch.rand(60, 4, generator=generator) ** 3 @ torch.rand(4, 20, generator=generator) ** 3)
    for solver in ("hals", "mu"):
        table = starts(X, Frobenius(), solver, 4, seeds=2)
        assert list(table.frame["init"]) == list(INITS)
        losses = table.frame[["at the start", "after 10", "after 200"]].to_numpy()
        assert (losses[:, 0] >= losses[:, 1]).all()
        assert (losses[:, 1] >= losses[:, 2]).all()
        assert losses.min() == 0

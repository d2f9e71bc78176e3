import torch

from nmf_nets.benchmark.overhead import overhead
from nmf_nets.matrix import DenseMatrix


def test_the_loop_by_hand_does_what_the_run_does():
    X = torch.rand(60, 20, generator=torch.Generator().manual_seed(0))
    frame = overhead(DenseMatrix(X), 3, batch_size=16, epochs=3, repeats=1).frame
    assert list(frame["encoder"]) == ["unrolled", "mlp"]
    assert (frame["apart"] < 1e-3).all()
    assert (frame[["hand", "Lightning", "ratio"]] > 0).all(axis=None)

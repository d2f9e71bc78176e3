import torch

from nmf_nets.as_matrix import as_matrix
from nmf_nets.benchmark import replicas
from nmf_nets.group import Group


def test_a_group_of_one_is_one_process(monkeypatch):
    monkeypatch.setattr(replicas, "EPOCHS", 2)
    monkeypatch.setattr(replicas, "COMPONENTS", 3)
    X = as_matrix(torch.rand(30, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    table = replicas.replicas(X, Group(), "small").frame.set_index("net")
    assert set(table.index) == set(replicas.nets())
    for column in ("difference, float64", "difference, float32", "replicas differ by"):
        assert (table[column] == 0).all()
    assert (table["loss, float64"] > 0).all()
    # more steps are better: what is compared was trained
    monkeypatch.setattr(replicas, "EPOCHS", 20)
    longer = replicas.replicas(X, Group(), "small").frame.set_index("net")
    assert (longer["loss, float64"] < table["loss, float64"]).all()

"""Several ranks take the steps of one process."""

import subprocess
import sys

import pytest
import replicas
import torch
from replicas import CASES, RANKS

from nmf_nets.group import ALONE


@pytest.fixture(scope="module")
def by_ranks(tmp_path_factory):
    """What each rank had of every case in the end, and the directory of the cases."""
    directory = tmp_path_factory.mktemp("ranks")
    replicas.write_data(directory)
    replicas.write_cases(directory)
    commands = [[sys.executable, replicas.__file__, str(rank), str(directory)] for rank in range(RANKS)]
    started = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for command in commands]
    said = [process.communicate(timeout=300)[1] for process in started]
    assert [process.returncode for process in started] == [0] * RANKS, "\n".join(said)
    return [torch.load(directory / f"{rank}.pt") for rank in range(RANKS)], directory


@pytest.mark.process
@pytest.mark.parametrize("name", CASES)
def test_ranks_end_where_one_process_does_and_are_replicas(name, by_ranks, monkeypatch):
    found, directory = by_ranks
    monkeypatch.chdir(directory)
    alone = replicas.trained(name, ALONE)
    for key, expected in alone.items():
        first, *others = (rank[name][key] for rank in found)
        assert all(torch.equal(first, other) for other in others), f"{key} differs between ranks"
        scale = expected.abs().max().clamp(min=1e-12) if expected.numel() else 1.0
        assert float((first - expected).abs().max() / scale) < 1e-8, key

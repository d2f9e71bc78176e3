import json
import os
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from nmf_nets.factorization import Factorization
from nmf_nets.run_directory import MetricsFile, RunDirectory, environment, peak_memory
from nmf_nets.whole_file import FullDisk, write


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "file"
    write(path, b"before")
    monkeypatch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError("No space left on device")))
    with pytest.raises(OSError, match="No space"):
        write(path, b"after")
    assert path.read_bytes() == b"before"


def test_factors_keep_their_bits_and_say_what_they_are(tmp_path):
    run = RunDirectory(tmp_path)
    factors = Factorization(torch.rand(5, 2), torch.rand(7, 2).T)
    run.save_factors(factors, torch.arange(5), divergence="frobenius")
    with safe_open(run.factors, "pt") as file:
        assert torch.equal(file.get_tensor("W"), factors.W)
        assert torch.equal(file.get_tensor("H"), factors.H)
        assert file.metadata() == {"schema": "1", "n_components": "2", "copies": "1", "divergence": "frobenius"}


def test_what_w_is_made_of_is_saved_by_name(tmp_path):
    run = RunDirectory(tmp_path)
    S, V = torch.rand(2, 3), torch.rand(3, 7)
    run.save_factors(Factorization(torch.rand(5, 2), S @ V), torch.arange(5), {"decoder.S": S, "decoder.V": V})
    with safe_open(run.factors, "pt") as file:
        assert torch.equal(file.get_tensor("decoder.S") @ file.get_tensor("decoder.V"), file.get_tensor("W"))


def test_measurements_are_appended_and_forgotten_from_a_step_on(tmp_path):
    run = RunDirectory(tmp_path)
    logger = MetricsFile(run.metrics)
    for step in range(4):
        logger.log_metrics({"loss": torch.tensor(2.0) / (step + 1)}, step)
    with run.metrics.open("a") as file:
        file.write('{"step": 4, "lo')
    assert [line["step"] for line in run.measurements()] == [0, 1, 2, 3]
    run.forget_after(1)
    assert [line["loss"] for line in run.measurements()] == [2.0, 1.0]
    assert len(run.metrics.read_text().splitlines()) == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is always full here")
def test_a_full_disk_is_refused_by_name(tmp_path):
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(FullDisk, match=r"metrics\.jsonl could not be saved"):
        MetricsFile(tmp_path / "metrics.jsonl").log_metrics({"gap": 0.0}, 0)


def test_values_that_are_not_numbers_in_json_stay_readable(tmp_path):
    run = RunDirectory(tmp_path)
    MetricsFile(run.metrics).log_metrics({"gap": float("inf")}, 0)
    assert run.measurements()[0]["gap"] == float("inf")


def test_the_environment_tells_versions_threads_and_revision():
    told = json.loads(json.dumps(environment()))
    assert told["packages"]["torch"].startswith(torch.__version__.split("+")[0])
    assert told["threads"] == torch.get_num_threads()
    assert set(told) >= {"python", "platform", "processor", "git", "command"}


def test_peak_memory_is_in_bytes():
    assert 50 * 2**20 < peak_memory() < 64 * 2**30

import json
import os

import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nmf_nets.loggers.wandb import Wandb


@pytest.fixture
def quiet_environment(monkeypatch, tmp_path):
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_SILENT"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("HOME", str(tmp_path))
    return monkeypatch


def test_wandb_is_offline_without_a_key_and_stays_in_its_directory(quiet_environment, tmp_path):
    assert Wandb(str(tmp_path / "run"), "p")._offline
    for name in ("WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        assert os.environ[name].startswith(str(tmp_path / "run"))


@pytest.mark.parametrize("source", ["variable", "netrc"])
def test_wandb_is_online_with_a_key(quiet_environment, tmp_path, source):
    if source == "variable":
        quiet_environment.setenv("WANDB_API_KEY", "0" * 40)
    else:
        (tmp_path / ".netrc").write_text("machine api.wandb.ai login user password " + "0" * 40)
        (tmp_path / ".netrc").chmod(0o600)
    assert not Wandb(str(tmp_path / "run"), "p")._offline


def test_wandb_obeys_what_was_said(quiet_environment, tmp_path):
    quiet_environment.setenv("WANDB_API_KEY", "0" * 40)
    assert Wandb(str(tmp_path / "run"), "p", offline=True)._offline
    quiet_environment.setenv("WANDB_MODE", "offline")
    assert Wandb(str(tmp_path / "run"), "p")._offline


def test_several_trackers_at_once_mirror_the_run_directory(train, tmp_path):
    ran = train("logger=[tensorboard,csv]", "trainer.max_epochs=3")
    assert ran.code == 0, ran.err
    run = tmp_path / "run"
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    values = [line["training/divergence"] for line in lines if "training/divergence" in line]
    table = pd.read_csv(run / "csv" / "metrics.csv")
    assert table["training/divergence"].dropna().tolist() == pytest.approx(values)
    events = EventAccumulator(str(run / "tensorboard"), {"images": 0})
    events.Reload()
    assert [event.value for event in events.Scalars("training/divergence")] == pytest.approx(values)
    assert [event.step for event in events.Scalars("training/divergence")] == [0, 1, 2, 3]
    assert {"components", "curves"} <= set(events.Tags()["images"])
    assert any("verdict" in tag for tag in events.Tags()["tensors"])


def test_no_tracker_leaves_no_tracker(train, tmp_path):
    assert train("trainer.max_epochs=1").code == 0
    assert not (tmp_path / "run" / "wandb").exists()

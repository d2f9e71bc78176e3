import json
import os
import re
import sys
from pathlib import Path

import pandas as pd
import pytest
from pytorch_lightning.loggers import CSVLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nmf_nets.loggers.base import Tracker, label, sweep_of, trackers
from nmf_nets.loggers.mlflow import MLflow
from nmf_nets.loggers.tensorboard import TensorBoard
from nmf_nets.loggers.trackio import Trackio
from nmf_nets.loggers.wandb import Wandb
from nmf_nets.refusal import Refusal


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
    assert {"verdict/text_summary", "summary/text_summary"} <= set(events.Tags()["tensors"])


def test_no_tracker_leaves_no_tracker(train, tmp_path):
    assert train("trainer.max_epochs=1").code == 0
    assert not (tmp_path / "run" / "wandb").exists()


# All runs in one place ------------------------------------------------------------------------------------------------

NAMES = {"outputs/single": None, "multirun/sweep/0": "multirun/sweep", "multirun/sweep/1": "multirun/sweep"}
"""Of the past runs, and the sweeps that they are of."""


def measured(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line["training/divergence"] for line in lines if "training/divergence" in line]


def numbers(run):
    summary = json.loads((run / "summary.json").read_text())
    return {f"summary/{name}": value for name, value in summary.items() if isinstance(value, int | float)}


@pytest.fixture
def client(past_runs):
    mlflow = pytest.importorskip("mlflow")
    return mlflow.MlflowClient(f"sqlite:///{past_runs / 'outputs' / 'mlflow' / 'mlflow.db'}")


def test_mlflow_has_every_run_with_all_that_it_showed(client, past_runs, tmp_path):
    (experiment,) = (found for found in client.search_experiments() if found.name == "nmf_nets")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert {name: run.data.tags.get("sweep") for name, run in runs.items()} == NAMES
    for name, run in runs.items():
        there = past_runs / name
        assert run.info.status == "FINISHED"
        assert run.data.tags["directory"] == str(there)
        curve = client.get_metric_history(run.info.run_id, "training/divergence")
        assert [(point.step, point.value) for point in curve] == list(enumerate(measured(there)))
        assert numbers(there).items() <= run.data.metrics.items()
        assert {"kkt_residual", "sparseness", "dead_components", "training/code_gap"} <= set(run.data.metrics)
        table = pd.read_csv(client.download_artifacts(run.info.run_id, "verdict/step_3.csv", tmp_path))
        assert table["who"][0] == "net, own codes"
        images = {
            re.split("[+%]", Path(found.path).name)[0] for found in client.list_artifacts(run.info.run_id, "images")
        }
        assert {"components", "curves"} <= images


def test_mlflow_finds_runs_by_what_was_chosen_for_them(client):
    (experiment,) = (found for found in client.search_experiments() if found.name == "nmf_nets")
    found = client.search_runs([experiment.experiment_id], "params.`parameters/encoder` = 'mlp'")
    assert [run.info.run_name for run in found] == ["multirun/sweep/1"]
    found = client.search_runs([experiment.experiment_id], "tags.sweep = 'multirun/sweep'")
    assert len(found) == 2


def test_trackio_has_every_run_with_all_that_it_showed(past_runs):
    storage = pytest.importorskip("trackio.sqlite_storage").SQLiteStorage
    assert Path(storage.get_project_db_path("nmf_nets")).parent == past_runs / "outputs" / "trackio"
    for name, sweep in NAMES.items():
        config = storage.get_run_config("nmf_nets", name)
        assert config["_Group"] == sweep
        assert config["n_components"] == "4", "a parameter, to group by"
        assert config["configuration"]["n_components"] == 4
        logs = storage.get_logs("nmf_nets", name)
        curve = [line["training/divergence"] for line in logs if "training/divergence" in line]
        assert curve == pytest.approx(measured(past_runs / name))
        last = {key: value for line in logs for key, value in line.items()}
        assert numbers(past_runs / name).items() <= last.items()
        for key in ("components", "curves"):
            picture = past_runs / "outputs" / "trackio" / "media" / last[key]["file_path"]
            assert picture.read_bytes() == (past_runs / name / f"{key}.png").read_bytes()
        assert last["verdict"]["_value"][0]["who"] == "net, own codes"


def test_trackio_has_one_directory_in_a_process(past_runs, tmp_path):
    pytest.importorskip("trackio")
    with pytest.raises(Refusal, match="trackio already writes to"):
        Trackio(str(tmp_path / "other"), "nmf_nets", str(tmp_path))


@pytest.mark.parametrize(("make", "extra"), [(MLflow, "mlflow"), (Trackio, "trackio")])
def test_a_tracker_that_is_not_installed_is_refused_with_its_extra(make, extra, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, extra, None)
    with pytest.raises(Refusal, match=f"pip install 'nmf-nets\\[{extra}\\]'"):
        make(str(tmp_path / "all"), "nmf_nets", str(tmp_path))


def test_runs_are_named_by_their_path_and_never_from_the_root(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert label("outputs/a") == label(tmp_path / "outputs" / "a") == "outputs/a"
    assert label("/somewhere/else") == "somewhere/else"
    (tmp_path / "sweep" / "0").mkdir(parents=True)
    assert sweep_of("sweep/0") is None
    (tmp_path / "sweep" / "multirun.yaml").touch()
    assert sweep_of("sweep/0") == "sweep"


def test_loggers_without_pictures_are_passed_over(tmp_path):
    csv, board = CSVLogger(tmp_path), TensorBoard(tmp_path)
    assert trackers([csv, board]) == [board]
    assert isinstance(board, Tracker)

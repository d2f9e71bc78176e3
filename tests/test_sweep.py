"""Six jobs leave six run directories and six offline wandb runs, each whole."""

import json
import struct

import pytest
from wandb.proto import wandb_internal_pb2 as pb

ENCODERS, DIVERGENCES = ("mlp", "unrolled", "exact"), ("frobenius", "kullback_leibler")


def records(path):
    """The records of a .wandb file: a LevelDB log after a header of 7 bytes, blocks of (crc, length, type, chunk)."""
    data, at, whole = path.read_bytes(), 7, b""
    assert data[:4] == b":W&B"
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        chunk = data[at + 7 : at + 7 + length]
        at += 7 + length
        if (kind, length) == (0, 0) or len(chunk) < length:
            return
        whole = chunk if kind in (1, 2) else whole + chunk
        if kind in (1, 4):
            record = pb.Record()
            record.ParseFromString(whole)
            yield record


def items(of):
    return {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in of}


@pytest.fixture
def sweep(command, tmp_path):
    ran = command(
        "-m",
        f"encoder={','.join(ENCODERS)}",
        f"divergence={','.join(DIVERGENCES)}",
        "trainer.max_epochs=3",
        "hydra.sweep.dir=sweep",
    )
    assert ran.code == 0, ran.err
    return tmp_path / "sweep"


def test_every_job_has_its_run_directory_and_its_offline_wandb_run(sweep):
    runs = sorted(path for path in sweep.iterdir() if path.is_dir())
    assert len(runs) == 6
    seen, groups = set(), set()
    for run in runs:
        summary = json.loads((run / "summary.json").read_text())
        seen.add((summary["encoder"], summary["divergence"]))
        files = list(run.glob("wandb/offline-run-*/*.wandb"))
        assert len(files) == 1, "one tracker run a job"
        config, history, final, exits, run_ids = {}, [], {}, 0, set()
        for record in records(files[0]):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                run_ids.add(record.run.run_id)
                groups.add(record.run.run_group)
                config |= items(record.run.config.update)
            elif kind == "config":
                config |= items(record.config.update)
            elif kind == "history":
                history.append(items(record.history.item))
            elif kind == "summary":
                final |= items(record.summary.update)
            elif kind == "exit":
                exits += 1
        assert (len(run_ids), exits) == (1, 1)
        assert config["n_components"] == 16
        chosen = config["parameters"]
        assert (chosen["encoder"], chosen["divergence"]) == (summary["encoder"], summary["divergence"])
        assert config["encoder"]["_target_"].split(".")[2] == summary["encoder"]
        curve = [line["training/divergence"] for line in history if "training/divergence" in line]
        assert len(curve) == 4, "before training and after three epochs"
        assert final["gap"] == pytest.approx(summary["gap"])
        keys = set().union(*history)
        assert {"verdict", "components", "curves", "training/code_gap", "validation/code_gap"} <= {
            key.split("/_")[0] for key in keys
        } | keys
        media = {path.name.split("_")[0] for path in files[0].parent.rglob("media/**/*") if path.is_file()}
        assert {"components", "curves", "verdict"} <= media
    assert seen == {(encoder, divergence) for encoder in ENCODERS for divergence in DIVERGENCES}
    assert groups == {"sweep"}, "where they can be told from other sweeps"

"""Data that are not in memory: what is held of them, what is trained on, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from safetensors.torch import load_file

import nmf_nets
from nmf_nets.data.base import MatrixDataModule
from nmf_nets.data.on_disk import OnDisk
from nmf_nets.data.stream import Stream
from nmf_nets.preprocessing.tf_idf import TfIdf
from nmf_nets.program import REFUSED
from nmf_nets.refusal import Refusal
from nmf_nets.sources.base import Source
from nmf_nets.sources.csr import CsrWriter
from nmf_nets.transform import main as transform_main

N, M = 200, 6
X = np.random.default_rng(0).poisson(1.0, (N, M)).astype(np.float64)
X[:, 0] = np.arange(1, N + 1)


def on_disk(folder, kind="npy", **options) -> OnDisk:
    path = folder / f"X.{kind}"
    if kind == "npy":
        np.save(path, X)
    else:
        with CsrWriter(path, M, np.float64) as file:
            file.append(scipy.sparse.csr_array(X))
    options = {"sample_rows": 30, "batch_size": 16, "dtype": "float64", **options}
    data = OnDisk(path, **options)
    data.setup("fit")
    return data


def rows_of(matrix) -> list[int]:
    return (matrix.dense()[:, 0].long() - 1).tolist()


def trained_on(data: MatrixDataModule) -> list[int]:
    return [row for batch in data.train_dataloader() for row in rows_of(batch.X)]


@pytest.mark.parametrize("kind", ["npy", "csr"])
def test_the_parts_are_rows_of_the_file_and_no_row_is_in_two(kind, tmp_path):
    data = on_disk(tmp_path, kind)
    parts = {name: rows_of(getattr(data, name)) for name in ("training", "validation", "test")}
    assert {name: len(part) for name, part in parts.items()} == {"training": 30, "validation": 20, "test": 20}
    for name, part in parts.items():
        assert np.array_equal(getattr(data, name).dense().numpy(), X[part])
    held_out = {*parts["validation"], *parts["test"]}
    assert len(held_out) == 40
    assert sorted(trained_on(data)) == sorted(set(range(N)) - held_out)
    assert set(parts["training"]) <= set(range(N)) - held_out
    assert data.rows_of_training.tolist() == parts["training"]
    assert parts["training"] != list(range(30))


def test_no_more_is_held_out_than_is_held(tmp_path):
    data = on_disk(tmp_path, validation=0.3, test=0.0, sample_rows=10)
    assert data.validation is not None
    assert data.validation.shape[0] == 10
    assert data.test is None
    assert len(trained_on(data)) == N - 10


def test_the_sample_is_that_of_the_seed(tmp_path):
    first, again, other = (on_disk(tmp_path, seed=seed).rows_of_training for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_what_the_sample_taught_prepares_every_batch(tmp_path):
    data = on_disk(tmp_path, preprocessing=TfIdf())
    (batch, *_) = data.train_dataloader()
    assert torch.allclose(batch.X.dense().square().sum(1), torch.ones(batch.X.shape[0], dtype=torch.float64))
    assert torch.allclose(data.training.dense().square().sum(1), torch.ones(30, dtype=torch.float64))


def test_weights_lie_in_a_second_file(tmp_path):
    V = np.random.default_rng(1).integers(0, 2, (N, M))
    np.save(tmp_path / "V.npy", V)
    data = on_disk(tmp_path, weights=tmp_path / "V.npy")
    assert np.array_equal(data.training.given_weights.numpy(), V[data.rows_of_training])
    assert all(batch.X.weights is not None for batch in data.train_dataloader())


def test_an_entry_that_is_none_is_refused_before_training(tmp_path):
    bad = X.copy()
    bad[150, 2] = np.nan
    np.save(tmp_path / "X.npy", bad)
    with pytest.raises(Refusal, match=r"X\[150, 2\] is nan"):
        OnDisk(tmp_path / "X.npy").setup("fit")


@pytest.mark.parametrize(
    ("options", "says"),
    [({"path": None}, "data.path=FILE"), ({"batch_size": 0}, "batch_size"), ({"sample_rows": 0}, "sample_rows")],
)
def test_options_that_make_no_sense_are_refused(options, says):
    with pytest.raises(Refusal, match=says):
        OnDisk(**{"path": "X.npy", **options})


def batches(count=8):
    return [X[10 * i : 10 * i + 10] for i in range(count)]


@pytest.mark.parametrize("given", [batches, batches(), "once"], ids=["called", "iterable", "iterator"])
def test_of_a_stream_the_first_batches_are_held_out_and_the_next_are_trained_on_as_well(given):
    data = Stream(iter(batches()) if given == "once" else given, sample=3, validation=1, test=2, dtype="float64")
    data.setup("fit")
    assert [rows_of(part) for part in (data.validation, data.test, data.training)] == [
        list(range(10)),
        list(range(10, 30)),
        list(range(30, 60)),
    ]
    loader = data.train_dataloader()
    assert [row for batch in loader for row in rows_of(batch.X)] == list(range(30, 80))
    if given != "once":
        assert [row for batch in loader for row in rows_of(batch.X)] == list(range(30, 80))


@pytest.mark.untyped
@pytest.mark.parametrize(
    ("options", "says"),
    [({"batches": None}, "_target_"), ({"batches": batches(2)}, "ended after 2"), ({"validation": 0.1}, "validation")],
)
def test_a_stream_that_holds_too_little_is_refused(options, says):
    with pytest.raises(Refusal, match=says):
        Stream(**{"batches": batches(20), **options}).setup("fit")


NETS = {
    "sums": ["experiment=out_of_core"],
    "sums, counts": ["experiment=out_of_core", "divergence=kullback_leibler"],
    "mlp, Adam": ["data=on_disk", "encoder=mlp", "optimizer=adam"],
}


@pytest.fixture
def run(train, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.save("X.npy", rng.gamma(0.5, size=(600, 3)) @ rng.gamma(0.5, size=(3, 12)) + 0.01)
    quick = ("n_components=3", "data.path=X.npy", "data.sample_rows=60", "data.batch_size=50", "trainer.max_epochs=12")
    return lambda *overrides: train(*quick, *overrides)


@pytest.mark.parametrize("net", NETS)
def test_a_run_from_disk_is_judged_on_a_sample_and_says_so(run, net):
    ran = run(*NETS[net])
    assert ran.code == 0, ran.err
    assert "The 60 training rows here are random ones of 480" in " ".join(ran.out.split())
    factors = load_file("run/factors.safetensors")
    assert factors["H"].shape == (60, 3)
    X = np.load("X.npy")[factors["rows"].numpy()]
    error = np.linalg.norm(X - (factors["H"] @ factors["W"]).numpy()) / np.linalg.norm(X)
    assert error < 0.1
    assert json.loads(Path("run/summary.json").read_text())["heldout_value"] > 0


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["encoder=table"], "keeps codes of all training rows"),
        (["decoder=convolutive", "encoder=convolutional", "optimizer=adam"], "couples rows"),
    ],
)
def test_nets_that_need_all_rows_at_once_are_refused(run, overrides, says):
    ran = run("data=on_disk", *overrides)
    assert ran.code == REFUSED
    assert says in ran.sentence


@pytest.mark.parametrize("suffix", [".npy", ".csv", ".parquet", ".npz"])
def test_all_rows_are_coded_afterwards_in_blocks(run, command, suffix, monkeypatch):
    assert run(*NETS["sums"]).code == 0
    monkeypatch.setattr(Source.blocks, "__defaults__", (0, None, 1000))
    ran = command("run=run", "data=X.npy", f"output=codes{suffix}", main=transform_main)
    assert ran.code == 0, ran.err
    assert ran.out.startswith("600 rows")
    expected = nmf_nets.load("run").transform(np.load("X.npy").astype(np.float32))
    path = f"codes{suffix}"
    found = {
        ".npy": lambda: np.load(path),
        ".csv": lambda: pd.read_csv(path).to_numpy(),
        ".parquet": lambda: pd.read_parquet(path).to_numpy(),
        ".npz": lambda: np.load(path)["H"],
    }[suffix]()
    assert np.allclose(found, expected, rtol=1e-4, atol=1e-5)
    np.save("wide.npy", np.ones((3, 13)))
    assert "13 features" in command("run=run", "data=wide.npy", "output=wide.csv", main=transform_main).sentence

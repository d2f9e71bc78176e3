import json

import numpy as np
import pytest
import torch

from nmf_nets.benchmark import out_of_core
from nmf_nets.benchmark.out_of_core import alone, counts, dense, multiply, plant_counts, plant_dense
from nmf_nets.factorization import Factorization
from nmf_nets.metrics.relative_error import relative_error
from nmf_nets.sources.open import source_of


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch):
    monkeypatch.setattr(out_of_core, "alone", lambda job, threads, **given: job(**given))
    monkeypatch.setattr(out_of_core, "HEIGHT", 100)
    monkeypatch.setattr(out_of_core, "WORDS", 300)


def test_the_dense_matrix_is_what_was_planted_and_its_noise_the_floor(tmp_path):
    planted = plant_dense(str(tmp_path), 250, 40, 3)
    source, W = source_of(tmp_path / "X.npy"), torch.from_numpy(np.load(tmp_path / "W.npy"))
    assert source.shape == (250, 40)
    X = source.span(0, 250)
    H = torch.linalg.lstsq(W.T.double(), X.dense().T.double()).solution.T
    least = relative_error(X.to(torch.float64), Factorization(H, W.double()))
    assert least < planted["floor"] < 2 * least
    size = (float(X.square_norm) / (250 * 40)) ** 0.5
    assert planted["floor"] * size == pytest.approx(out_of_core.NOISE * float(X.mean), rel=0.2)


def test_the_counts_are_what_was_planted(tmp_path):
    planted = plant_counts(str(tmp_path), 250, 300, 3)
    source = source_of(tmp_path / "X.csr")
    assert source.shape == (250, 300)
    assert source.is_sparse
    X = source.span(0, 250).dense()
    assert torch.equal(X, X.round())
    assert float(X.sum(1).mean()) == pytest.approx(out_of_core.SAID, rel=0.2)
    assert planted["values"] == int((X > 0).sum())
    words = torch.from_numpy(np.load(tmp_path / "W.npy")).sum(0)
    assert np.corrcoef(words, X.sum(0))[0, 1] > 0.8


@pytest.mark.untyped
def test_both_tables_find_the_planted_factors(tmp_path):
    table = dense(tmp_path, 2e-4, 50, 3, 6, None)
    frame = table.frame.set_index("method")
    assert frame.index.tolist() == ["read and multiply", "HALS", "net, unrolled"]
    assert frame.loc["read and multiply", "of reading"] == 1
    assert (frame["recovery"].dropna() > 0.95).all()
    assert abs(frame.loc["HALS", "above the noise"]) < 0.1
    assert frame["peak, MB"].min() > 0
    assert "Wᵀ" in table.markdown()
    (folder,) = tmp_path.iterdir()
    stamp = (folder / "X.npy").stat().st_mtime_ns
    dense(tmp_path, 2e-4, 50, 3, 2, None)
    assert (folder / "X.npy").stat().st_mtime_ns == stamp, "what is there is not made again"

    frame = counts(tmp_path, [200, 400], 3, 20, None).frame
    assert frame["rows"].tolist() == [200, 400]
    assert (frame["D by the true one"] < 1.05).all()
    assert (frame["recovery"] > 0.9).all()


@pytest.mark.process
def test_each_is_measured_in_a_process_of_its_own(tmp_path):
    plant_dense(str(tmp_path), 250, 40, 3)
    given = {"path": str(tmp_path / "X.npy"), "n_components": 3}
    found = alone(multiply, 1, **given)
    assert found["peak"] > 50e6
    assert 0 < found["pass"] <= found["seconds"]
    assert json.loads(json.dumps(found)) == found

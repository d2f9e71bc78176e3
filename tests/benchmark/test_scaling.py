import numpy as np
import pytest
import scipy.sparse
import torch

from nmf_nets.as_matrix import as_matrix
from nmf_nets.benchmark.scaling import SOLVERS, Size, costs, peak_memory


def test_costs_are_measured_along_every_axis():
    table = costs((1, 2), Size(30, 20, n_components=2), Size(40, 30, 0.2, 2))
    frame = table.frame
    assert len(frame) == 7 * len(SOLVERS)
    assert set(frame["growing"]) == {"rows", "columns", "non-zeros", "components"}
    assert (frame[["× 1", "× 2"]] > 0).all(axis=None)
    assert np.isfinite(frame["exponent"]).all()
    assert "exponent" in table.markdown()


@pytest.mark.parametrize("name", ["newton", "e-newton"])
def test_memory_on_sparse_data_knows_no_dense_matrix(name):
    chance = np.random.default_rng(0)
    X = scipy.sparse.random_array((20_000, 20_000), density=0.0005, rng=chance, format="csr", dtype=np.float32)
    X.data += 1
    peak, needed = peak_memory(as_matrix(X, torch.float32), 5, name, 1, iterations=2)
    assert peak < 10 * needed < 20_000 * 20_000 * 4 / 10

import json

import numpy as np
import pytest
import scipy.sparse

from nmf_nets.run_directory import peak_memory

N, M, NONZEROS = 30_000, 30_000, 300_000


@pytest.mark.parametrize("divergence", ["kullback_leibler", "frobenius"])
def test_a_sparse_file_is_trained_without_a_dense_copy(train, tmp_path, divergence):
    """A dense copy would be 3.4 GiB in float32 alone."""
    draw = np.random.default_rng(0)
    rows, columns = draw.integers(0, N, NONZEROS), draw.integers(0, M, NONZEROS)
    counts = scipy.sparse.coo_array((draw.integers(1, 5, NONZEROS), (rows, columns)), shape=(N, M)).tocsr()
    scipy.sparse.save_npz(tmp_path / "counts.npz", counts)
    before = peak_memory() or 0  # of the tests that ran earlier in this process
    ran = train(
        "data=matrix",
        "data.path=counts.npz",
        f"divergence={divergence}",
        "n_components=5",
        "trainer.max_epochs=1",
        "~callbacks.component_pictures",
    )
    assert ran.code == 0, ran.err
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["peak_memory"] - before < 0.9 * 2**30
    assert "peak memory" in ran.out

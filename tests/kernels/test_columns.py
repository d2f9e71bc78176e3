import pytest
import scipy.sparse
import torch
from torch import Tensor

from nmf_nets.as_matrix import as_matrix
from nmf_nets.kernels.columns import Rows, Sums, fit_columns, fit_columns_torch


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gap(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).abs().max() / expected.abs().max())


def nothing(m: int, r: int) -> Sums:
    return Sums(*(torch.zeros(shape, dtype=torch.float64) for shape in ((m, r, r), (m, r), (m,))))


@pytest.mark.parametrize("repeats", [0, 1, 3])
@pytest.mark.parametrize("all_columns", [False, True])
@pytest.mark.parametrize(("sparse", "ridge"), [(False, 0.0), (True, 0.0), (True, 0.7)])
def test_compiled_columns_equal_their_torch_twin(sparse, ridge, all_columns, repeats):
    n, m, r = 30, 90, 4
    dense = uniform(n, r) @ uniform(r, m, seed=1) * (uniform(n, m, seed=2) > 0.6)
    dense[:, 7] = 0
    X = as_matrix(scipy.sparse.csr_array(dense.numpy()) if sparse else dense)
    H, W = uniform(n, r, seed=3), uniform(r, m, seed=4)
    H[2], W[1, 5] = 0, 0
    found = []
    for fit in (fit_columns, fit_columns_torch):
        before, sums = nothing(m, r), nothing(m, r)
        weights = 1 + uniform(n, seed=6)
        first, rows = fit(X, H, weights, W, weights @ H, None, before, sums, repeats, all_columns, ridge)
        part = torch.arange(0, n, 3)
        places = (rows.x_hat.view(n, m)[part]).reshape(-1) if not sparse else None
        if places is None:
            lengths = X.row_lengths
            places = torch.cat([each for i, each in enumerate(rows.x_hat.split(lengths.tolist())) if i % 3 == 0])
        new = uniform(len(part), r, seed=5)
        after = nothing(m, r)
        s = weights @ H - weights[part] @ H[part] + 3 * new.sum(0)
        old, three = Rows(H[part], places, weights[part]), new.new_full((len(new),), 3)
        second, again = fit(X.rows(part), new, three, first, s, old, sums, after, repeats, all_columns, ridge)
        positive = X.rows(part).values.reshape(-1) > 0
        found.append([first, second, *sums, *after, again.x_hat.reshape(-1)[positive]])
    for compiled, twin in zip(*found, strict=True):
        assert gap(compiled, twin) < 1e-12


def test_a_ridge_is_on_the_diagonal_alone():
    X, H, W = as_matrix(uniform(9, 2)), uniform(9, 1, seed=1), uniform(1, 2, seed=2)
    weights = torch.ones(9, dtype=torch.float64)
    for ridge in (0.0, 5.0):
        sums = nothing(2, 1)
        fitted, _ = fit_columns(X, H, weights, W, H.sum(0), None, nothing(2, 1), sums, 1, True, ridge)
        G = sums.Q[:, 0, 0] + ridge
        expected = torch.maximum(W[0] - (G * W[0] - sums.p[:, 0] + H.sum()) / G, W[0] / 4)
        assert gap(fitted[0], expected) < 1e-12


def test_a_step_leaves_a_quarter_of_an_entry_at_least_and_columns_without_entries_as_they_are():
    X = as_matrix(scipy.sparse.csr_array(torch.eye(3, dtype=torch.float64).numpy()[:, [0, 1]] * 1e-6))
    H, W = torch.ones(3, 1, dtype=torch.float64), torch.ones(1, 2, dtype=torch.float64)
    fitted, _ = fit_columns(
        X.rows(torch.tensor([0])), H[:1], H[:1, 0], W, H[:1].sum(0), None, nothing(2, 1), nothing(2, 1), 1, True
    )
    assert fitted.tolist() == [[0.25, 1.0]]

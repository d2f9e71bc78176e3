import numpy as np
import pytest
import scipy.optimize
import scipy.sparse
import torch

from nmf_nets.as_matrix import as_matrix
from nmf_nets.exact.nonnegative_projection import capped_codes, nonnegative_projection
from nmf_nets.exact.separable import separable
from nmf_nets.exact.successive_projection import successive_projection
from nmf_nets.exact.xray import xray
from nmf_nets.refusal import Refusal

MEMBERS = [successive_projection, nonnegative_projection, xray]
every_member = pytest.mark.parametrize("select", MEMBERS, ids=lambda select: select.__name__)
every_form = pytest.mark.parametrize("form", [np.asarray, scipy.sparse.csr_array], ids=["dense", "sparse"])


def mixed(W: np.ndarray, n: int, seed: int = 0) -> tuple[np.ndarray, set[int]]:
    """Rows of W and n − r mixtures of them, in any order and of any length, an empty row and an empty column; where W
    stands."""
    chance, r = np.random.default_rng(seed), len(W)
    H = np.concatenate([np.eye(r), chance.dirichlet(np.full(r, 0.5), n - r), np.zeros((1, r))])
    order = chance.permutation(n + 1)
    X = (H @ W * chance.uniform(0.1, 10, (n + 1, 1)))[order]
    return np.insert(X, 3, 0, axis=1), set(np.flatnonzero(order < r))


def planted(seed: int, r: int = 6) -> tuple[np.ndarray, set[int]]:
    W = np.random.default_rng(seed).gamma(0.5, size=(r, 20))
    return mixed(W, 80, seed)


def rays(n_rays: int = 5) -> np.ndarray:
    """Around a circle, so that none is made of the others, in three dimensions of eight."""
    angle = 2 * np.pi * np.arange(n_rays) / n_rays
    circle = np.stack([np.ones(n_rays), 1 + 0.9 * np.cos(angle), 1 + 0.9 * np.sin(angle)], 1)
    return circle @ np.random.default_rng(0).random((3, 8))


@every_member
@every_form
@pytest.mark.parametrize("seed", range(5))
def test_planted_rows_are_found_exactly(select, form, seed):
    X, where = planted(seed)
    rows = select(as_matrix(form(X)), 6)
    assert rows.dtype == torch.long
    assert set(rows.tolist()) == where


@every_member
@pytest.mark.parametrize("scale", [1e-8, 1e8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_neither_scale_nor_dtype_changes_the_selection(select, scale, dtype):
    X, _ = planted(0)
    assert torch.equal(select(as_matrix(scale * X, dtype), 6), select(as_matrix(X), 6))


@every_member
def test_the_first_selections_do_not_depend_on_how_many_are_wanted(select):
    X = as_matrix(planted(0)[0])
    assert torch.equal(select(X, 3), select(X, 6)[:3])


@every_member
@every_form
def test_a_row_that_stands_twice_is_selected_once(select, form):
    X, where = planted(1)
    rows = select(as_matrix(form(np.concatenate([X, 2 * X]))), 6)
    assert {j % len(X) for j in rows.tolist()} == where


@every_member
def test_rank_two_needs_two_rows(select):
    """Rows 1 + a b with a, b in (−1, 1): of rank two, but not made from two non-negative factors."""
    chance = np.random.default_rng(2)
    X = as_matrix(1 + (2 * chance.random((20, 1)) - 1) @ (2 * chance.random((1, 15)) - 1))
    found = separable(X, 2, select).factors
    torch.testing.assert_close(found.reconstruction, X.dense(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("select", MEMBERS[1:], ids=lambda select: select.__name__)
@every_form
def test_more_rays_than_rank_are_all_found(select, form):
    X, where = mixed(rays(), 60)
    assert set(select(as_matrix(form(X)), 5).tolist()) == where


def test_successive_projection_finds_no_more_rows_than_the_rank():
    with pytest.raises(Refusal, match="n_components is 5, but only 3 rows of X can be selected"):
        successive_projection(as_matrix(mixed(rays(), 60)[0]), 5)


@every_member
@every_form
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_more_rows_than_there_are_get_a_sentence(select, form, dtype):
    X, _ = planted(3)
    with pytest.raises(Refusal, match=r"n_components is 7, but only 6 rows of X can be selected: .*lower n_components"):
        select(as_matrix(form(X), dtype), 7)
    with pytest.raises(Refusal, match="n_components is 1, but only 0 rows"):
        select(as_matrix(form(np.zeros((4, 3))), dtype), 1)


@every_member
@pytest.mark.parametrize("n_components", [0, -1, True])
def test_what_is_not_a_number_of_rows_is_refused(select, n_components):
    with pytest.raises(Refusal, match=f"n_components must be an integer of at least 1, but is {n_components}"):
        select(as_matrix(planted(0)[0]), n_components)


@every_member
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1)])
def test_one_row_or_one_column(select, shape):
    X = np.random.default_rng(4).random(shape)
    assert len(select(as_matrix(X), 1)) == 1


@every_member
def test_weights_are_refused(select):
    with pytest.raises(Refusal, match="X has weights; impute"):
        select(as_matrix(np.ones((4, 3)), weights=np.ones((4, 3))), 1)


@every_member
def test_a_little_noise_changes_nothing(select):
    X, where = planted(5)
    noisy = X * (1 + 1e-4 * np.random.default_rng(5).standard_normal(X.shape))
    assert set(select(as_matrix(noisy), 6).tolist()) == where


@every_member
def test_nothing_sparse_becomes_dense(select, monkeypatch):
    X = as_matrix(scipy.sparse.csr_array(planted(0)[0]))
    dense, shapes = type(X).dense, []
    monkeypatch.setattr(type(X), "dense", lambda M: shapes.append(M.shape) or dense(M))
    select(X, 6)
    assert max(n for n, _ in shapes) <= 6


# Codes under a cap ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0.2, 1.0, 3.0], ids=["within", "near", "beyond"])
@pytest.mark.parametrize("rank", [3, 5], ids=["singular", "regular"])
def test_capped_codes_are_those_of_a_solver_for_constraints(size, rank):
    """That is non-negative least squares for h and a slack, with Σ h + slack = 1 at a price."""
    chance = np.random.default_rng(6)
    W = rays() if rank == 3 else chance.random((5, 8))
    X = size * chance.random((20, 8))
    H = capped_codes(torch.zeros(20, 5, dtype=torch.float64), torch.from_numpy(X @ W.T), torch.from_numpy(W @ W.T))
    assert float(H.min()) >= 0
    assert float(H.sum(1).max()) <= 1 + 1e-12
    price = 1e4
    A = np.block([[W, np.full((5, 1), price)], [np.zeros((1, 8)), np.full((1, 1), price)]]).T
    for x, h in zip(X, H.numpy(), strict=True):
        reference = scipy.optimize.nnls(A, np.append(x, price))[0][:5]
        errors = [np.linalg.norm(x - each @ W) for each in (h, reference)]
        assert errors[0] == pytest.approx(errors[1], rel=1e-6, abs=1e-8)


# With their codes -----------------------------------------------------------------------------------------------------


@every_member
@every_form
def test_separable_data_are_their_own_factors(select, form):
    X, where = planted(0)
    found = separable(as_matrix(form(X)), 6, select)
    assert set(found.rows.tolist()) == where
    assert torch.equal(found.factors.W, torch.from_numpy(X)[found.rows])
    np.testing.assert_allclose(found.factors.reconstruction.numpy(), X, rtol=0, atol=1e-12 * X.max())


@every_form
def test_anchor_features_are_anchor_rows_of_the_transpose(form):
    X, where = planted(0)
    found = separable(as_matrix(form(X.T)).T, 6), separable(as_matrix(form(X.T)).T.T, 4)
    assert set(found[0].rows.tolist()) == where
    assert found[1].factors.W.shape == (4, X.shape[0])


def test_codes_on_dependent_rows_are_exact():
    X, _ = mixed(rays(), 60)
    found = separable(as_matrix(X), 5, nonnegative_projection).factors
    np.testing.assert_allclose(found.reconstruction.numpy(), X, rtol=0, atol=1e-13 * X.max())

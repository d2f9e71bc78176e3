from itertools import islice, permutations

import numpy as np
import pytest
import scipy.sparse
import torch

from nmf_nets.as_matrix import as_matrix
from nmf_nets.divergences.beta import beta_divergence
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.divergences.kullback_leibler import KullbackLeibler
from nmf_nets.factorization import Factorization
from nmf_nets.metrics.dead_components import component_shares, dead_components
from nmf_nets.metrics.kkt_residual import kkt_residual
from nmf_nets.metrics.recovery import matched_cosines, motif_cosines
from nmf_nets.metrics.relative_error import relative_error
from nmf_nets.metrics.sparseness import hoyer_sparseness
from nmf_nets.metrics.svd_excess import svd_error, svd_excess
from nmf_nets.solver import Solver
from nmf_nets.updates.hals import HALS

BETAS = [0, 0.5, 1, 1.5, 2, 3]


def numbers(n: int = 12, m: int = 9, zeros: float = 0.3) -> np.ndarray:
    chance = np.random.default_rng(0)
    return (chance.random((n, m)) + 0.05) * (chance.random((n, m)) >= zeros)


def factors(n: int = 12, m: int = 9, n_components: int = 3) -> Factorization:
    chance = np.random.default_rng(1)
    H, W = (torch.from_numpy(chance.random(s) + 0.1) for s in ((n, n_components), (n_components, m)))
    return Factorization(H, W)


def forms(A: np.ndarray) -> list:
    return [as_matrix(A), as_matrix(scipy.sparse.csr_array(A))]


# Errors ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_the_relative_error_is_that_of_numpy_at_every_scale(scale):
    A, F = numbers(), factors()
    expected = np.linalg.norm(A - F.reconstruction.numpy()) / np.linalg.norm(A)
    for X in forms(scale * A):
        error = relative_error(X, Factorization(scale * F.H, F.W))
        assert isinstance(error, float)
        assert error == pytest.approx(expected, rel=1e-12)


def test_the_relative_error_of_nothing_is_one_and_of_everything_zero():
    H, W = torch.tensor([[1.0, 0], [0, 2], [3, 1]]), torch.tensor([[1.0, 0, 2], [0, 4, 1]])
    for X in forms((H @ W).numpy()):
        assert relative_error(X, Factorization(H, W)) == 0
        assert relative_error(X, Factorization(0 * H, W)) == pytest.approx(1, rel=1e-14)
    for X in forms(np.zeros((3, 3), dtype=np.float32)):
        assert relative_error(X, Factorization(0 * H, W)) == 0
        assert relative_error(X, Factorization(H, W)) == float("inf")


@pytest.mark.parametrize("n_components", [1, 3, 8])
def test_the_svd_error_is_what_the_singular_values_leave(n_components):
    A = numbers()
    s = np.linalg.svd(A)[1]
    for X in forms(A):
        error = svd_error(X, n_components)
        assert isinstance(error, float)
        assert error == pytest.approx(np.sqrt((s[n_components:] ** 2).sum()) / np.linalg.norm(A), rel=1e-10)


@pytest.mark.parametrize("n_components", [9, 20])
def test_enough_singular_values_leave_nothing(n_components):
    for X in forms(numbers()):
        assert svd_error(X, n_components) <= 1e-7


def test_the_svd_error_of_no_data_is_zero():
    for X in forms(np.zeros((12, 9))):
        assert svd_error(X, 3) == 0


def test_no_factorization_is_below_the_svd():
    A, F = numbers(), factors()
    s = np.linalg.svd(A)[1]
    error = np.linalg.norm(A - F.reconstruction.numpy())
    expected = (error - np.sqrt((s[3:] ** 2).sum())) / np.linalg.norm(A)
    for X in forms(A):
        assert svd_excess(X, F) == pytest.approx(expected, rel=1e-10)
        assert svd_excess(X, F) > 0


def leading_pair(A: np.ndarray) -> Factorization:
    U, s, Vt = np.linalg.svd(A)
    return Factorization(torch.from_numpy(np.abs(U[:, :1]) * s[0]), torch.from_numpy(np.abs(Vt[:1])))


def test_one_component_can_reach_the_svd():
    A = numbers()
    for X in forms(A):
        assert svd_excess(X, leading_pair(A)) == pytest.approx(0, abs=1e-12)


# Stationarity ---------------------------------------------------------------------------------------------------------


def independence(A: np.ndarray) -> Factorization:
    """The optimum of the Kullback–Leibler divergence with one component."""
    A = torch.from_numpy(A)
    return Factorization(A.sum(1, keepdim=True), A.sum(0, keepdim=True) / A.sum())


@pytest.mark.parametrize(("divergence", "optimum"), [(Frobenius(), leading_pair), (KullbackLeibler(), independence)])
def test_the_best_single_component_is_stationary(divergence, optimum):
    A = numbers()
    for X in forms(A):
        F = optimum(A)
        assert kkt_residual(X, F, divergence) <= 1e-13
        assert kkt_residual(X, Factorization(F.H, 1.1 * F.W), divergence) > 1e-2


@pytest.mark.parametrize("beta", BETAS)
def test_exact_factors_are_stationary(beta):
    F = factors()
    for X in forms(F.reconstruction.numpy()):
        assert kkt_residual(X, F, beta_divergence(beta)) <= 1e-13


@pytest.mark.parametrize("beta", BETAS[1:])
def test_exact_factors_with_zeros_are_stationary(beta):
    F = factors()
    F.H[:6, 0], F.H[6:, 1], F.W[2, 5:] = 0, 0, 0
    for X in forms(F.reconstruction.numpy()):
        assert kkt_residual(X, F, beta_divergence(beta)) <= 1e-13


def test_a_long_run_of_hals_ends_at_a_stationary_point_with_zeros():
    X, divergence = as_matrix(numbers()), Frobenius()
    reached = next(islice(Solver(HALS()).iterates(X, factors()), 20_000, None))
    assert bool((reached.H == 0).any())
    assert kkt_residual(X, reached, divergence) <= 1e-10
    assert kkt_residual(X, factors(), divergence) > 1e-2


@pytest.mark.parametrize("beta", BETAS)
def test_random_factors_are_far_from_stationary_and_dense_agrees_with_sparse(beta):
    A = numbers(zeros=0.3 if beta > 0 else 0)
    residuals = [kkt_residual(X, factors(), beta_divergence(beta)) for X in forms(A)]
    assert residuals[0] > 0.1
    assert residuals[1] == pytest.approx(residuals[0], rel=1e-12)


@pytest.mark.parametrize("beta", BETAS)
def test_the_residual_knows_neither_the_scale_of_the_data_nor_that_of_a_component(beta):
    A, F, divergence = numbers(zeros=0.3 if beta > 0 else 0), factors(), beta_divergence(beta)
    expected = kkt_residual(as_matrix(A), F, divergence)
    D = torch.tensor([1e-3, 1.0, 70.0], dtype=torch.float64)
    turned = Factorization(F.H * D, F.W / D[:, None])
    assert kkt_residual(as_matrix(A), turned, divergence) == pytest.approx(expected, rel=1e-9)
    for scale in (1e-8, 1e8):
        for X in forms(scale * A):
            assert kkt_residual(X, Factorization(scale * F.H, F.W), divergence) == pytest.approx(expected, rel=1e-9)


def test_a_zero_counts_only_where_leaving_it_would_help():
    X = as_matrix(np.array([[1.0, 0.0]]))
    W = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    at_rest, stuck = (Factorization(torch.tensor([h], dtype=torch.float64), W) for h in ([1.0, 0.0], [0.0, 0.0]))
    assert kkt_residual(X, at_rest, Frobenius()) == 0
    assert kkt_residual(X, stuck, Frobenius()) == 1


def test_the_residual_of_either_factor_counts():
    A = numbers()
    F = leading_pair(A)
    for G in (
        Factorization(F.H * torch.linspace(0.5, 2, 12)[:, None].double(), F.W),
        Factorization(F.H, F.W * torch.linspace(0.5, 2, 9).double()),
    ):
        X, GT = as_matrix(A), Factorization(G.W.T, G.H.T)
        assert kkt_residual(X, G, Frobenius()) > 0.1
        assert kkt_residual(X.T, GT, Frobenius()) == pytest.approx(kkt_residual(X, G, Frobenius()), rel=1e-12)


def test_a_dead_component_is_no_residual():
    A = numbers()
    F = leading_pair(A)
    padded = Factorization(torch.nn.functional.pad(F.H, (0, 1)), torch.nn.functional.pad(F.W, (0, 0, 0, 1)))
    assert kkt_residual(as_matrix(A), padded, Frobenius()) <= 1e-13


# Sparseness -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
@pytest.mark.parametrize("m", [2, 5, 100])
def test_sparseness_is_one_for_one_entry_and_zero_for_equal_entries(m, scale):
    one, equal = torch.zeros(m).double(), torch.ones(m).double()
    one[m // 2] = 1
    sparseness = hoyer_sparseness(scale * torch.stack([one, equal, 0 * one]))
    torch.testing.assert_close(sparseness, torch.tensor([1.0, 0, 0]).double(), rtol=0, atol=1e-14)


def test_sparseness_is_that_of_the_formula():
    M = torch.from_numpy(numbers())
    expected = [(3 - w.sum() / np.sqrt((w**2).sum())) / 2 for w in numbers()]
    np.testing.assert_allclose(hoyer_sparseness(M).numpy(), expected, rtol=1e-13)
    assert hoyer_sparseness(M.float()).dtype == torch.float32


def test_a_single_column_is_not_sparse():
    assert hoyer_sparseness(torch.tensor([[3.0], [0.0]])).tolist() == [0, 0]


# Components -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("masses", "dead"),
    [
        ([1, 1, 1], 0),
        ([1, 0, 1], 1),
        ([0, 5, 0], 2),
        ([0, 0, 0], 3),
        ([1, 1e-7, 1], 1),
        ([1, 1e-5, 1], 0),
        ([1e-9] * 3, 0),
    ],
)
def test_components_without_mass_are_dead(masses, dead):
    masses = torch.tensor(masses, dtype=torch.float64)
    H, W = torch.ones(4, 3).double(), torch.ones(3, 5).double()
    assert dead_components(Factorization(H * masses, W)) == dead
    assert dead_components(Factorization(H, W * masses[:, None])) == dead
    for scale in (1e-8, 1e8):
        assert dead_components(Factorization(scale * H * masses, W)) == dead


def test_components_that_are_nothing_in_either_factor_are_dead():
    F = factors()
    F.H[:, 0], F.W[2] = 0, 0
    assert dead_components(F) == 2


def test_shares_are_parts_of_the_reconstruction():
    F = factors()
    shares = component_shares(F)
    expected = [float(torch.outer(F.H[:, k], F.W[k]).sum() / F.reconstruction.sum()) for k in range(3)]
    np.testing.assert_allclose(shares.numpy(), expected, rtol=1e-13)
    assert float(shares.sum()) == pytest.approx(1, rel=1e-14)
    torch.testing.assert_close(component_shares(Factorization(1e-8 * F.H, F.W)), shares)


def test_the_shares_of_nothing_are_zero():
    F = factors()
    assert component_shares(Factorization(0 * F.H, F.W)).tolist() == [0, 0, 0]


# Recovery -------------------------------------------------------------------------------------------------------------


def components(n_components: int = 4, m: int = 9) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(2).random((n_components, m)) ** 3)


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_order_and_scale_do_not_hide_a_component(order, dtype):
    W_true = components()
    scales = torch.tensor([[1e-8], [1.0], [30.0], [1e8]]).double()
    cosines = matched_cosines((scales * W_true[order]).to(dtype), W_true)
    torch.testing.assert_close(cosines, torch.ones(4).double(), rtol=0, atol=1e-6 if dtype == torch.float32 else 1e-14)


def test_a_component_that_was_not_found_has_cosine_zero_in_its_place():
    W_true = components()
    expected = torch.tensor([1.0, 0, 1, 0]).double()
    torch.testing.assert_close(matched_cosines(W_true[[2, 0]], W_true), expected)
    with_zeros = torch.cat([W_true[[2, 0]], torch.zeros(2, 9).double()])
    torch.testing.assert_close(matched_cosines(with_zeros, W_true), expected)


def test_more_components_than_true_ones_do_no_harm():
    W_true = components()
    torch.testing.assert_close(matched_cosines(components(7), components(7)[[5, 1]]), torch.ones(2).double())
    assert len(matched_cosines(W_true, W_true[:1])) == 1


def test_the_matching_is_the_best_of_all():
    W, W_true = components(4), torch.from_numpy(np.random.default_rng(3).random((4, 9)))
    cosines = torch.nn.functional.cosine_similarity(W_true[:, None], W[None], dim=2).numpy()
    best = max(permutations(range(4)), key=lambda order: sum(cosines[k, order[k]] for k in range(4)))
    np.testing.assert_allclose(matched_cosines(W, W_true).numpy(), [cosines[k, best[k]] for k in range(4)], rtol=1e-12)


@pytest.mark.parametrize("shift", [-2, 0, 3])
def test_a_motif_that_is_played_earlier_or_later_is_the_same(shift):
    true = torch.from_numpy(np.random.default_rng(4).random((3, 5, 7)))
    found = torch.zeros(4, 11, 7, dtype=torch.float64)
    found[[2, 0, 3], 3 + shift : 8 + shift] = 1e-8 * true
    torch.testing.assert_close(motif_cosines(found, true), torch.ones(3).double())
    cut = motif_cosines(found[:, 3 + max(shift, 0) : 8 + min(shift, 0)], true)
    assert (cut < 1 - 1e-3).all() if shift else (cut > 1 - 1e-12).all()


def test_motifs_of_one_row_are_components():
    W, W_true = components(4), components(7)[:3]
    torch.testing.assert_close(motif_cosines(W[:, None], W_true[:, None]), matched_cosines(W, W_true))

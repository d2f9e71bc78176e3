from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.decomposition._nmf import _beta_divergence

from nmf_nets.as_matrix import as_matrix
from nmf_nets.divergences.base import Divergence, blockwise_total, floor
from nmf_nets.divergences.beta import Beta, beta_divergence
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.divergences.itakura_saito import ItakuraSaito
from nmf_nets.divergences.kullback_leibler import KullbackLeibler
from nmf_nets.factorization import Factorization
from nmf_nets.refusal import Refusal

MEMBERS = [
    (Frobenius(), "frobenius"),
    (KullbackLeibler(), "kullback_leibler"),
    (ItakuraSaito(), "itakura_saito"),
    (Beta(0.5), "beta 0.5"),
    (Beta(1.5), "beta 1.5"),
    (Beta(3), "beta 3"),
    (Beta(-1), "beta -1"),
]
EXPONENTS = {2: 1, 1: 1, 0: 1 / 2, 0.5: 2 / 3, 1.5: 1, 3: 1 / 2, -1: 1 / 3}


def table(members: list[tuple[Divergence, str]]):
    return pytest.mark.parametrize("divergence", [d for d, _ in members], ids=[name for _, name in members])


every_member = table(MEMBERS)
every_member_with_zeros = table([(d, name) for d, name in MEMBERS if d.beta > 0])
every_member_without_zeros = table([(d, name) for d, name in MEMBERS if d.beta <= 0])


def numbers(divergence: Divergence, n: int = 8, m: int = 6, seed: int = 0) -> np.ndarray:
    """About a third zeros, with an empty row and an empty column, where the divergence can take them."""
    chance = np.random.default_rng(seed)
    A = chance.random((n, m)) + 0.05
    if divergence.beta > 0:
        A *= chance.random((n, m)) < 0.65
        A[n // 2], A[:, m // 2] = 0, 0
    return A


def factors(n: int = 8, m: int = 6, n_components: int = 3, seed: int = 1) -> Factorization:
    chance = np.random.default_rng(seed)
    H, W = (torch.from_numpy(chance.random(s) + 0.1) for s in ((n, n_components), (n_components, m)))
    return Factorization(H, W)


def forms(A: np.ndarray) -> list:
    return [as_matrix(A), as_matrix(scipy.sparse.csr_array(A))]


def entrywise(beta: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """d_β as the books write it, on broad numbers."""
    x, y = x.astype(np.longdouble), y.astype(np.longdouble)
    if beta == 0:
        return x / y - np.log(x / y) - 1
    if beta == 1:
        return np.where(x > 0, x * np.log(np.where(x > 0, x, 1) / y), 0) - x + y
    return (x**beta + (beta - 1) * y**beta - beta * x * y ** (beta - 1)) / (beta * (beta - 1))


# The value ------------------------------------------------------------------------------------------------------------


@every_member
def test_each_sample_has_the_value_of_the_formula(divergence):
    A, F = numbers(divergence), factors()
    value = divergence(torch.from_numpy(A), F.reconstruction)
    expected = entrywise(divergence.beta, A, F.reconstruction.numpy()).sum(1)
    np.testing.assert_allclose(value.numpy(), expected.astype(float), rtol=1e-12)


@every_member
def test_it_is_zero_where_the_reconstruction_is_exact_and_positive_elsewhere(divergence):
    A = torch.from_numpy(numbers(divergence))
    size = (A**divergence.beta).where(A > 0, 0).sum(1)
    assert bool((divergence(A, A).abs() <= 1e-14 * size).all())
    for factor in (0.5, 0.99, 1.01, 3.0):
        moved = divergence(A, A * factor)
        assert bool((moved[A.sum(1) > 0] > 0).all())
        assert bool((moved >= 0).all())


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    hnp.arrays(np.float64, (2, 3, 4), elements=st.floats(1e-3, 1e3)),
    st.sampled_from([d for d, _ in MEMBERS]),
)
def test_it_is_never_negative(pair, divergence):
    X, X_hat = torch.from_numpy(pair)
    size = (X**divergence.beta + X_hat**divergence.beta + X * X_hat ** (divergence.beta - 1)).sum(1)
    assert bool((divergence(X, X_hat) >= -1e-15 * size).all())


@every_member
def test_the_total_is_the_sum_over_samples_for_dense_and_sparse(divergence):
    A, F = numbers(divergence), factors()
    expected = float(divergence(torch.from_numpy(A), F.reconstruction).sum())
    for X in forms(A):
        total = divergence.total(X, F)
        assert total.dtype == torch.float64
        assert float(total) == pytest.approx(expected, rel=1e-13)
        assert float(divergence.total(X.T, Factorization(F.W.T, F.H.T))) == pytest.approx(expected, rel=1e-13)
        assert float(blockwise_total(divergence, X, F)) == pytest.approx(expected, rel=1e-13)


@every_member
@pytest.mark.parametrize("scale", [1e-8, 0.1, 3.0, 1e8])
def test_scaling_the_data_scales_the_value_by_the_power_beta(divergence, scale):
    A, F = numbers(divergence), factors()
    scaled = Factorization(F.H * scale, F.W)
    for X, cX in zip(forms(A), forms(scale * A), strict=True):
        expected = scale**divergence.beta * float(divergence.total(X, F))
        assert float(divergence.total(cX, scaled)) == pytest.approx(expected, rel=1e-12)
        assert float(divergence.unit(cX)) == pytest.approx(
            scale**divergence.beta * float(divergence.unit(X)), rel=1e-12
        )


@every_member
def test_the_unit_is_the_size_of_the_matrix_times_a_power_of_its_mean(divergence):
    A = numbers(divergence)
    for X in forms(A):
        assert float(divergence.unit(X)) == pytest.approx(A.size * A.mean() ** divergence.beta, rel=1e-13)


@every_member
def test_float32_is_near_float64(divergence):
    A, F = numbers(divergence).astype(np.float32), factors().to(torch.float32)
    for X, exact in zip(forms(A), forms(A.astype(float)), strict=True):
        total = divergence.total(X, F)
        assert total.dtype == torch.float64
        assert float(total) == pytest.approx(float(divergence.total(exact, F.to(torch.float64))), rel=1e-9)
        for part, exact_part in zip(
            divergence.split_gradient(X, F.H, F.W),
            divergence.split_gradient(exact, F.H.double(), F.W.double()),
            strict=True,
        ):
            assert part.dtype == torch.float32
            torch.testing.assert_close(part.double(), exact_part, rtol=2e-5, atol=0)
    per_sample = divergence(torch.from_numpy(A), F.reconstruction)
    exact = divergence(torch.from_numpy(A).double(), F.to(torch.float64).reconstruction)
    assert per_sample.dtype == torch.float32
    torch.testing.assert_close(per_sample.double(), exact, rtol=1e-4, atol=0)


@pytest.mark.parametrize("beta", [-1, 0, 0.5, 1, 1.5, 2, 3])
def test_the_total_is_that_of_scikit_learn(beta):
    divergence = beta_divergence(beta)
    A, F = numbers(divergence), factors()
    H, W = F.H.numpy(), F.W.numpy()
    expected = _beta_divergence(A, H, W, beta)
    assert float(divergence.total(as_matrix(A), F)) == pytest.approx(expected, rel=1e-12)
    S = scipy.sparse.csr_matrix(A)
    assert _beta_divergence(S, H, W, beta) == pytest.approx(expected, rel=1e-9)
    assert float(divergence.total(as_matrix(S), F)) == pytest.approx(expected, rel=1e-12)


# Precision of the Frobenius total -------------------------------------------------------------------------------------


def near_exact(error: float, n: int = 60, m: int = 40) -> tuple[np.ndarray, Factorization]:
    """X ≥ 0 with ‖X − H W‖ = error · ‖H W‖ about, some of its entries 0."""
    chance = np.random.default_rng(2)
    H, W = chance.random((n, 4)), chance.random((4, m))
    H[: n // 2, :2], W[2:, m // 2 :] = 0, 0
    exact = H @ W
    noise = exact * chance.standard_normal((n, m))
    A = np.maximum(exact + noise * (error * np.linalg.norm(exact) / np.linalg.norm(noise)), 0)
    return A, Factorization(torch.from_numpy(H), torch.from_numpy(W))


def true_error(A: np.ndarray, F: Factorization) -> float:
    H, W = (M.double().numpy().astype(np.longdouble) for M in (F.H, F.W))
    A = A.astype(np.longdouble)
    return float(np.linalg.norm((A - np.einsum("ik,kj->ij", H, W)).astype(float)) / np.linalg.norm(A.astype(float)))


def measured_error(X, F: Factorization) -> float:
    return float((2 * Frobenius().total(X, F) / X.square_norm).sqrt())


@pytest.mark.parametrize(
    ("error", "resolved"),
    [(1e-1, 1e-13), (1e-3, 1e-9), (1e-5, 1e-5), (3e-6, 1e-4), (1e-6, 1e-3), (1e-7, 1e-6), (1e-9, 1e-6)],
)
def test_a_small_frobenius_error_is_resolved(error, resolved):
    A, F = near_exact(error)
    assert true_error(A, F) == pytest.approx(error, rel=0.2)
    for X in forms(A):
        assert measured_error(X, F) == pytest.approx(true_error(A, F), rel=resolved)


@pytest.mark.parametrize("error", [1e-1, 1e-3, 1e-5, 0.0])
def test_float32_data_have_their_frobenius_error_in_float64(error):
    A, F = near_exact(error)
    A, F = A.astype(np.float32), F.to(torch.float32)
    assert true_error(A, F) > 1e-8  # the rounding of the data
    for X in forms(A):
        assert measured_error(X, F) == pytest.approx(true_error(A, F), rel=1e-4)


def test_an_exact_factorization_has_no_frobenius_error():
    H, W = torch.tensor([[1.0, 0], [0, 2], [3, 1]]), torch.tensor([[1.0, 0, 2], [0, 4, 1]])
    for X in forms((H @ W).numpy()):
        assert float(Frobenius().total(X, Factorization(H, W))) == 0


# The split of the gradient --------------------------------------------------------------------------------------------


@every_member
def test_the_split_is_that_of_the_formula_and_both_parts_are_non_negative(divergence):
    A, F = numbers(divergence), factors()
    A_hat, W = F.reconstruction.numpy(), F.W.numpy()
    for X in forms(A):
        P, N = divergence.split_gradient(X, F.H, F.W)
        np.testing.assert_allclose(P.numpy(), A_hat ** (divergence.beta - 1) @ W.T, rtol=1e-13)
        np.testing.assert_allclose(N.numpy(), (A * A_hat ** (divergence.beta - 2)) @ W.T, rtol=1e-13)
        assert bool((P >= 0).all())
        assert bool((N >= 0).all())


@every_member
def test_the_split_is_what_autograd_finds_for_both_factors(divergence):
    A, F = numbers(divergence), factors()
    H, W = F.H.clone().requires_grad_(), F.W.clone().requires_grad_()
    gradients = torch.autograd.grad(divergence(torch.from_numpy(A), H @ W).sum(), (H, W))
    for X in forms(A):
        P, N = divergence.split_gradient(X, F.H, F.W)
        torch.testing.assert_close(P - N, gradients[0], rtol=0, atol=1e-12 * float(P.max()))
        P, N = divergence.split_gradient(X.T, F.W.T, F.H.T)
        torch.testing.assert_close((P - N).T, gradients[1], rtol=0, atol=1e-12 * float(P.max()))


@every_member
def test_the_split_is_the_slope_of_the_total(divergence):
    A, F = numbers(divergence), factors()
    direction = torch.from_numpy(np.random.default_rng(3).standard_normal((8, 3)))
    for X in forms(A):
        P, N = divergence.split_gradient(X, F.H, F.W)
        ahead, behind = (divergence.total(X, Factorization(F.H + s * direction, F.W)) for s in (1e-5, -1e-5))
        assert float(ahead - behind) / 2e-5 == pytest.approx(float(((P - N) * direction).sum()), rel=1e-6)


# Zeros ----------------------------------------------------------------------------------------------------------------

EDGES = {
    "one row": (1, 5),
    "one column": (5, 1),
    "one entry": (1, 1),
    "all zero": (4, 3),
    "dead codes": (8, 6),
}


def edge(kind: str, divergence: Divergence) -> tuple[np.ndarray, Factorization]:
    n, m = EDGES[kind]
    A, F = np.random.default_rng(4).random((n, m)) + 0.1, factors(n, m)
    if divergence.beta > 0 and n > 1 and m > 1:
        A = numbers(divergence, n, m)
    if kind == "all zero":
        A[:] = 0
    if kind == "dead codes":  # no code where X is empty, as after a solver; and one where it is not
        F.H[n // 2], F.W[:, m // 2], F.H[0] = 0, 0, 0
    return A, F


def check_finite(divergence: Divergence, kind: str, dtype: type) -> None:
    A, F = edge(kind, divergence)
    A, results = A.astype(dtype), []
    for X in forms(A):
        F = F.to(X.dtype)
        P, N = divergence.split_gradient(X, F.H, F.W)
        PW, NW = divergence.split_gradient(X.T, F.W.T, F.H.T)
        results.append((divergence.total(X, F), P, N, PW, NW))
        assert all(bool(part.isfinite().all()) for part in results[-1])
        assert all(bool((part >= 0).all()) for part in results[-1])
    torch.testing.assert_close(results[1], results[0], rtol=100 * np.finfo(dtype).eps, atol=0)
    X_hat = F.reconstruction.clone().requires_grad_()
    value = divergence(torch.from_numpy(A), X_hat)
    assert bool(value.isfinite().all())
    assert bool(torch.autograd.grad(value.sum(), X_hat)[0].isfinite().all())


@every_member_with_zeros
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", EDGES)
def test_zeros_bring_no_nan(divergence, kind, dtype):
    check_finite(divergence, kind, dtype)


@every_member_without_zeros
@pytest.mark.parametrize("kind", ["one row", "one column", "one entry", "dead codes"])
def test_small_matrices_and_dead_codes_bring_no_nan_where_data_are_positive(divergence, kind):
    check_finite(divergence, kind, np.float64)


@every_member_with_zeros
def test_nothing_reconstructed_as_nothing_costs_nothing(divergence):
    A, nothing = np.zeros((4, 3)), Factorization(torch.zeros(4, 2).double(), torch.zeros(2, 3).double())
    for X in forms(A):
        assert float(divergence.total(X, nothing)) == 0
    assert not divergence(torch.from_numpy(A), nothing.reconstruction).any()


@every_member
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_a_dead_reconstruction_costs_more_than_a_poor_one_yet_not_infinity(divergence, scale):
    A, F = scale * (numbers(divergence) + (0.1 if divergence.beta > 0 else 0)), factors()
    poor, dead = (Factorization(F.H * c, F.W) for c in (scale * 1e-3, 0))
    for X in forms(A):
        assert float(divergence.total(X, poor)) < float(divergence.total(X, dead)) < float("inf")
        value = divergence(X.dense(), dead.reconstruction)
        assert bool((divergence(X.dense(), poor.reconstruction) < value).all())
        assert bool(value.isfinite().all())


@table([(d, name) for d, name in MEMBERS if d.beta >= 0])
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_dead_codes_bring_no_nan_to_float32_of_any_scale(divergence, scale):
    A, F = edge("dead codes", divergence)
    F = Factorization(F.H * scale, F.W).to(torch.float32)
    for X in forms((scale * A).astype(np.float32)):
        parts = (*divergence.split_gradient(X, F.H, F.W), *divergence.split_gradient(X.T, F.W.T, F.H.T))
        assert all(bool(part.isfinite().all()) for part in parts)
        assert bool(divergence(X.dense(), F.reconstruction).isfinite().all())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_the_floor_has_the_scale_of_the_data(scale, dtype):
    A = numbers(Frobenius()).astype(dtype)
    for X, cX in zip(forms(A), forms(A * dtype(scale)), strict=True):
        assert float(floor(X)) == pytest.approx(A.mean() * np.finfo(dtype).eps ** 2, rel=1e-6)
        assert float(floor(cX)) == pytest.approx(scale * float(floor(X)), rel=1e-6)
    assert all(float(floor(X)) > 0 for X in forms(np.zeros((2, 2), dtype)))


def test_the_floor_leaves_living_entries_alone():
    X, X_hat = torch.ones(1, 4).double(), torch.tensor([[1.0, 1e-30, 0.0, 1e-40]]).double()
    least = floor(as_matrix(X))
    expected = -torch.tensor([[1.0, 1e-30, 2.0**-104, 2.0**-104]]).double().log() - 1 + X_hat
    assert torch.allclose(KullbackLeibler().entries(X, X_hat, least), expected, rtol=1e-14, atol=0)


# What it refuses ------------------------------------------------------------------------------------------------------


@every_member_without_zeros
def test_the_first_zero_is_named(divergence):
    A = numbers(divergence)
    A[2, 3], A[5, 0], A[2, 4] = 0, 0, 0
    for X in forms(A):
        with pytest.raises(Refusal, match=r"needs X > 0, but X\[2, 3\] is 0; use β > 0"):
            divergence.refuse(X)
        with pytest.raises(Refusal, match=r"X\[0, 5\] is 0"):
            divergence.refuse(X.T)


@every_member_without_zeros
def test_positive_data_are_accepted(divergence):
    for X in forms(numbers(divergence)):
        divergence.refuse(X)


@every_member_with_zeros
def test_zeros_are_accepted_where_the_divergence_is_finite(divergence):
    for X in forms(numbers(divergence)):
        divergence.refuse(X)


@every_member_without_zeros
def test_a_large_sparse_matrix_is_refused_without_making_it_dense(divergence):
    n = 200_000
    row = scipy.sparse.csr_array(np.ones((1, n)))
    X = as_matrix(scipy.sparse.vstack([row, scipy.sparse.csr_array((n, n))]).tocsr())
    with pytest.raises(Refusal, match=r"X\[1, 0\] is 0"):
        divergence.refuse(X)


# The members ----------------------------------------------------------------------------------------------------------


@every_member
def test_the_exponent_of_the_multiplicative_step(divergence):
    assert divergence.exponent == pytest.approx(EXPONENTS[divergence.beta], rel=1e-15)


@pytest.mark.parametrize(
    ("beta", "kind"),
    [(0, ItakuraSaito), (1, KullbackLeibler), (2, Frobenius), (1.0, KullbackLeibler), (1.5, Beta), (-1, Beta)],
)
def test_each_beta_has_its_divergence(beta, kind):
    divergence = beta_divergence(beta)
    assert type(divergence) is kind
    assert divergence.beta == beta


@pytest.mark.parametrize("beta", [0, 1, 2])
def test_the_general_form_tends_to_the_three_members(beta):
    A, F = as_matrix(numbers(ItakuraSaito())), factors()
    famous = float(beta_divergence(beta).total(A, F))
    gaps = [abs(float(Beta(beta + step).total(A, F)) - famous) for step in (1e-2, 1e-3, 1e-4)]
    assert all(later < 0.11 * earlier for earlier, later in pairwise(gaps))


# Many blocks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [0.5, 1, 1.5, 2])
def test_a_matrix_of_several_blocks_has_the_value_and_split_of_the_whole(beta):
    n, m = 3000, 1500
    divergence, F = beta_divergence(beta), factors(n, m, 2)
    S = scipy.sparse.random_array((n, m), density=0.01, rng=5).tocsr()
    A = S.toarray()
    A_hat = F.reconstruction.numpy()
    power = A_hat ** (beta - 1)
    expected = float(divergence(torch.from_numpy(A), F.reconstruction).sum())
    for X in (as_matrix(A), as_matrix(S)):
        assert n * m > 2**22
        assert len(list(X.blocks())) == (1 if X.is_sparse else 2)
        assert float(divergence.total(X, F)) == pytest.approx(expected, rel=1e-11)
        P, N = divergence.split_gradient(X, F.H, F.W)
        np.testing.assert_allclose(P.numpy(), power @ F.W.numpy().T, rtol=1e-12)
        np.testing.assert_allclose(N.numpy(), (A * power / A_hat) @ F.W.numpy().T, rtol=1e-12)

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse
import torch
from torch import Tensor

from nmf_nets.as_matrix import as_matrix
from nmf_nets.divergences.base import Divergence
from nmf_nets.divergences.beta import Beta
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.divergences.itakura_saito import ItakuraSaito
from nmf_nets.divergences.kullback_leibler import KullbackLeibler
from nmf_nets.factorization import Factorization
from nmf_nets.inits.random import random
from nmf_nets.matrix import Matrix
from nmf_nets.metrics.kkt_residual import kkt_residual
from nmf_nets.refusal import Refusal
from nmf_nets.updates.active_set import ActiveSet
from nmf_nets.updates.base import Update
from nmf_nets.updates.hals import HALS
from nmf_nets.updates.least_squares import LeastSquares
from nmf_nets.updates.multiplicative import Multiplicative
from nmf_nets.updates.optimal_gradient import OptimalGradient
from nmf_nets.updates.pivoting import Pivoting
from nmf_nets.updates.projected_gradient import ProjectedGradient
from nmf_nets.updates.scalar_newton import ScalarNewton


@dataclass(frozen=True)
class Member:
    update: Update
    divergence: Divergence

    def __str__(self) -> str:
        return f"{type(self.update).__name__}-{self.divergence.beta:g}"

    @property
    def multiplies(self) -> bool:
        return isinstance(self.update, Multiplicative)

    @property
    def takes_one_step(self) -> bool:
        """Whatever the repeats, and from wherever it starts."""
        return isinstance(self.update, Pivoting | ActiveSet | LeastSquares)

    @property
    def carries(self) -> bool:
        """A step length or a momentum from repeat to repeat, which a call begins anew."""
        return isinstance(self.update, ProjectedGradient | OptimalGradient)

    @property
    def needs_positive_data(self) -> bool:
        return self.divergence.beta <= 0


HALS_MEMBER, NEWTON = Member(HALS(), Frobenius()), Member(ScalarNewton(), KullbackLeibler())
MULTIPLICATIVE = [
    Member(Multiplicative(divergence), divergence)
    for divergence in (Frobenius(), KullbackLeibler(), ItakuraSaito(), Beta(0.5), Beta(1.5), Beta(3.0))
]
MULTIPLICATIVE_KL = MULTIPLICATIVE[1]
EXACT = [Member(update, Frobenius()) for update in (Pivoting(), ActiveSet())]
GRADIENT = [Member(update, Frobenius()) for update in (ProjectedGradient(), OptimalGradient())]
MEMBERS = [HALS_MEMBER, NEWTON, *MULTIPLICATIVE, *EXACT, *GRADIENT, Member(LeastSquares(), Frobenius())]


def members(holds: Callable[[Member], bool]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("member", [member for member in MEMBERS if holds(member)], ids=str)


every_member = members(lambda member: True)
every_member_that_descends = members(lambda member: member.update.descends)
every_member_of_equal_steps = members(lambda member: not member.carries)
every_member_of_many_steps = members(lambda member: not member.takes_one_step)
# a gradient step shrinks the codes of a zero row, by a factor
every_member_for_zeros = members(lambda member: not member.needs_positive_data and member not in GRADIENT)


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def data(n: int = 40, m: int = 30, zeros: float = 0.0, seed: int = 0) -> Tensor:
    """Noisy, of five components, with a part of the entries set to zero."""
    X = (uniform(n, 5, seed=seed) @ uniform(5, m, seed=seed + 100)) * (0.5 + uniform(n, m, seed=seed + 200))
    return X * (uniform(n, m, seed=seed + 300) >= zeros)


def data_for(member: Member, zeros: float = 0.5) -> Tensor:
    return data(zeros=0 if member.needs_positive_data else zeros)


def sparse(X: Tensor) -> Matrix:
    return as_matrix(scipy.sparse.csr_array(X.numpy()))


def start_of(X: Matrix, n_components: int = 5, seed: int = 0) -> Factorization:
    return random(X, n_components, torch.Generator().manual_seed(seed))


def half_steps(member: Member, X: Matrix, start: Factorization, alternations: int) -> list[Factorization]:
    H, W = start.H, start.W
    factors = []
    for _ in range(alternations):
        H = member.update(X, H, W)
        factors.append(Factorization(H, W))
        W = member.update(X.T, W.T, H.T).T
        factors.append(Factorization(H, W))
    return factors


def gap(actual: Tensor, expected: Tensor) -> float:
    """Relative to the largest entry, which has to be there."""
    return float((actual - expected).abs().max() / expected.abs().max())


def factors_gap(actual: Factorization, expected: Factorization) -> float:
    return max(gap(actual.H, expected.H), gap(actual.W, expected.W))


def assert_descends(member: Member, X: Matrix, start: Factorization, alternations: int = 50) -> None:
    before = float(member.divergence.total(X, start))
    for factors in half_steps(member, X, start, alternations):
        for M in (factors.H, factors.W):
            assert M.isfinite().all()
            assert (M >= 0).all()
        after = float(member.divergence.total(X, factors))
        assert after <= before * (1 + 1e-12)
        before = after
    assert after < 0.9 * float(member.divergence.total(X, start))


# Descent --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
@every_member_that_descends
def test_no_half_step_raises_the_divergence(member, seed):
    X = as_matrix(data_for(member, zeros=0.2))
    assert_descends(member, X, start_of(X, seed=seed))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("zeros", [0.0, 0.5, 0.8])
@pytest.mark.parametrize("kind", [as_matrix, sparse], ids=["dense", "sparse"])
def test_scalar_newton_descends_from_far_starts_on_data_of_zeros_and_specks(kind, zeros, scale):
    X = data(zeros=zeros)
    X[uniform(40, 30, seed=9) > 0.95] = 1e-9
    X = kind(X)
    start = start_of(X)
    assert_descends(NEWTON, X, Factorization(start.H * scale, start.W * scale))


@pytest.mark.parametrize("sides", [(1, 30), (40, 1), (1, 1), (6, 4)], ids=str)
@pytest.mark.parametrize("n_components", [1, 3, 9])
@every_member_that_descends
def test_descends_on_one_row_one_column_and_with_more_components_than_rank_and_sides(member, n_components, sides):
    X = as_matrix(data(*sides))
    start = start_of(X, n_components)
    before = float(member.divergence.total(X, start))
    for factors in half_steps(member, X, start, 20):
        assert factors.H.isfinite().all()
        assert factors.W.isfinite().all()
        assert (factors.H >= 0).all()
        assert (factors.W >= 0).all()
        after = float(member.divergence.total(X, factors))
        # where the fit is exact D is a sum of squared rounding errors
        assert after <= before * (1 + 1e-12) + 1e-14 * float(member.divergence.unit(X))
        before = after


@every_member
def test_an_exact_factorization_is_a_fixed_point(member):
    H, W = 0.1 + uniform(40, 5, seed=1), 0.1 + uniform(5, 30, seed=2)
    X = as_matrix(H @ W)
    assert gap(member.update(X, H, W, 3), H) < 1e-12
    assert gap(member.update(X.T, W.T, H.T, 3), W.T) < 1e-12


@pytest.mark.parametrize(
    "member", [HALS_MEMBER, NEWTON, MULTIPLICATIVE_KL, MULTIPLICATIVE[0], *EXACT, *GRADIENT], ids=str
)
def test_an_exact_factorization_with_zeros_is_a_fixed_point(member):
    H = uniform(40, 5, seed=1) * (uniform(40, 5, seed=3) > 0.5)
    W = uniform(5, 30, seed=2) * (uniform(5, 30, seed=4) > 0.5)
    X = as_matrix(H @ W)
    assert gap(member.update(X, H, W, 3), H) < 1e-12
    assert gap(member.update(X.T, W.T, H.T, 3), W.T) < 1e-12


# Repeats --------------------------------------------------------------------------------------------------------------


@every_member_of_equal_steps
def test_repeats_are_calls_in_turn(member):
    X = as_matrix(data_for(member))
    start = start_of(X)
    H = start.H
    for _ in range(4):
        H = member.update(X, H, start.W)
    assert gap(member.update(X, start.H, start.W, 4), H) < 1e-12


@every_member
def test_progress_of_one_stops_after_the_first_step(member):
    X = as_matrix(data_for(member))
    start = start_of(X)
    assert torch.equal(member.update(X, start.H, start.W, 9, 1.0), member.update(X, start.H, start.W, 2, 1.0))
    assert gap(member.update(X, start.H, start.W, 9, 1.0), member.update(X, start.H, start.W)) < 1e-12


@every_member_of_many_steps
def test_rows_stop_each_by_itself(member):
    X = as_matrix(data_for(member))
    start = start_of(X)
    together = member.update(X, start.H, start.W, 30, 0.2)
    assert gap(together, member.update(X, start.H, start.W, 30)) > 1e-6
    for i in (0, 17, 39):
        row = torch.tensor([i])
        assert gap(together[row], member.update(X.rows(row), start.H[row], start.W, 30, 0.2)) < 1e-12


def test_repeats_of_the_multiplicative_step_keep_the_digits_of_codes_that_fall_far():
    X = as_matrix(torch.tensor([[1e-20, 1.0]], dtype=torch.float64))
    H, W = torch.tensor([[1.0, 1e-9]], dtype=torch.float64), torch.tensor([[1.0, 0.0], [0.5, 1.0]], dtype=torch.float64)
    in_turn = MULTIPLICATIVE_KL.update(X, MULTIPLICATIVE_KL.update(X, H, W), W)
    assert 0 < in_turn[0, 0] < 1e-36
    assert torch.equal(MULTIPLICATIVE_KL.update(X, H, W, 2), in_turn)


# Symmetries -----------------------------------------------------------------------------------------------------------


@every_member
def test_dense_and_sparse_data_give_the_same_factors(member):
    X = data_for(member)
    start = start_of(as_matrix(X))
    dense, compressed = (half_steps(member, kind(X), start, 5)[-1] for kind in (as_matrix, sparse))
    assert factors_gap(compressed, dense) < 1e-12


@pytest.mark.parametrize("kind", [as_matrix, sparse], ids=["dense", "sparse"])
@every_member
def test_the_step_on_components_is_the_step_on_codes_of_the_transpose(member, kind):
    X = data_for(member)
    start = start_of(as_matrix(X))
    transposed = kind(X.T.contiguous())
    W = member.update(kind(X).T, start.W.T, start.H.T, 2).T
    assert gap(W.T, member.update(transposed, start.W.T.contiguous(), start.H.T.contiguous(), 2)) < 1e-12


@every_member
def test_single_precision_follows_double_precision(member):
    X = data_for(member)
    start = start_of(as_matrix(X))
    double = half_steps(member, as_matrix(X), start, 5)[-1]
    single = half_steps(member, as_matrix(X.float()), start.to(torch.float32), 5)[-1]
    assert single.H.dtype == single.W.dtype == torch.float32
    assert factors_gap(single.to(torch.float64), double) < 1e-4


@pytest.mark.parametrize("c", [1e-8, 1e8])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-12)], ids=str)
@every_member
def test_data_times_c_give_factors_times_the_root_of_c(member, dtype, tolerance, c):
    X = data_for(member).to(dtype)
    plain, scaled = (half_steps(member, M, start_of(M), 5)[-1] for M in (as_matrix(X), as_matrix(X * c)))
    assert factors_gap(Factorization(scaled.H / c**0.5, scaled.W / c**0.5), plain) < tolerance


@pytest.mark.parametrize("p", [-12, 12])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("member", [m for m in MEMBERS if m.divergence.beta != 0.5], ids=str)  # its powers are rounded
def test_data_times_a_power_of_four_give_the_same_bits(member, dtype, p):
    X = data_for(member).to(dtype)
    plain, scaled = (half_steps(member, M, start_of(M), 5)[-1] for M in (as_matrix(X), as_matrix(X * 4.0**p)))
    assert torch.equal(scaled.H, plain.H * 2.0**p)
    assert torch.equal(scaled.W, plain.W * 2.0**p)


@every_member
def test_order_of_rows_and_features_does_not_matter(member):
    X = data_for(member)
    start = start_of(as_matrix(X))
    rows, features = torch.randperm(40, generator=torch.Generator().manual_seed(1)), torch.arange(29, -1, -1)
    plain = half_steps(member, as_matrix(X), start, 5)[-1]
    shuffled_start = Factorization(start.H[rows], start.W[:, features])
    shuffled = half_steps(member, as_matrix(X[rows][:, features]), shuffled_start, 5)[-1]
    assert factors_gap(shuffled, Factorization(plain.H[rows], plain.W[:, features])) < 1e-12


@members(lambda member: member not in (HALS_MEMBER, NEWTON))  # these visit components in their order
def test_order_of_components_does_not_matter(member):
    X = as_matrix(data_for(member))
    start = start_of(X)
    order = torch.tensor([3, 0, 4, 1, 2])
    plain = half_steps(member, X, start, 5)[-1]
    shuffled = half_steps(member, X, Factorization(start.H[:, order], start.W[order]), 5)[-1]
    assert factors_gap(shuffled, Factorization(plain.H[:, order], plain.W[order])) < 1e-12


# Zeros ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [as_matrix, sparse], ids=["dense", "sparse"])
@every_member_for_zeros
def test_a_zero_row_gets_zero_codes_and_a_zero_column_zero_weights(member, kind):
    X = data(zeros=0.3)
    X[7], X[:, 4] = 0, 0
    X = kind(X)
    factors = half_steps(member, X, start_of(X), 10)[-1]
    assert factors.H.isfinite().all()
    assert factors.W.isfinite().all()
    assert (factors.H[7] == 0).all()
    assert (factors.W[:, 4] == 0).all()
    assert (factors.H[8] > 0).any()
    assert (member.update(X, None, factors.W, 3)[7] == 0).all()
    assert float(member.divergence.total(X, factors)) < float("inf")


@pytest.mark.parametrize("kind", [as_matrix, sparse], ids=["dense", "sparse"])
@every_member_for_zeros
def test_data_of_zeros_get_factors_of_zeros(member, kind):
    X = kind(torch.zeros(4, 3, dtype=torch.float64))
    factors = half_steps(member, X, Factorization(uniform(4, 2), uniform(2, 3)), 3)[-1]
    assert torch.equal(factors.reconstruction, torch.zeros(4, 3, dtype=torch.float64))
    assert (member.update(X, None, uniform(2, 3)) == 0).all()


@members(lambda member: not isinstance(member.update, LeastSquares))  # a pseudo-inverse gives it no codes
def test_a_dead_component_stays_dead_and_harms_no_other(member):
    X = as_matrix(data_for(member))
    start = start_of(X)
    dead = Factorization(torch.cat([start.H, torch.ones(40, 1)], 1), torch.cat([start.W, torch.zeros(1, 30)]))
    H = member.update(X, dead.H, dead.W)
    assert torch.equal(H[:, 5], dead.H[:, 5])
    assert gap(H[:, :5], member.update(X, start.H, start.W)) < 1e-12
    with_dead, without = (
        float(member.divergence.total(X, Factorization(member.update(X, None, W, 20), W))) for W in (dead.W, start.W)
    )
    assert with_dead == pytest.approx(without, rel=1e-3)


@members(lambda member: not member.multiplies)
def test_all_but_multiplicative_steps_bring_zeros_back(member):
    H, W = 0.1 + uniform(40, 5, seed=1), 0.1 + uniform(5, 30, seed=2)
    holes = uniform(40, 5, seed=3) > 0.7
    codes = member.update(as_matrix(H @ W), torch.where(holes, 0, H), W, 2000)
    assert holes.any()
    assert gap(codes, H) < 1e-6


@pytest.mark.parametrize("member", MULTIPLICATIVE, ids=str)
def test_multiplicative_steps_keep_zeros(member):
    X = as_matrix(data_for(member))
    start = start_of(X)
    holes = uniform(40, 5, seed=3) > 0.7
    codes = member.update(X, torch.where(holes, 0, start.H), start.W, 10)
    assert torch.equal(codes == 0, holes)


# Cold starts and limits -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [as_matrix, sparse], ids=["dense", "sparse"])
@every_member_of_many_steps
def test_a_cold_start_is_non_negative_and_each_step_improves_it(member, kind):
    X = kind(data_for(member))
    W = start_of(X).W
    values = []
    for repeats in (0, 1, 2, 10):
        H = member.update(X, None, W, repeats)
        assert H.isfinite().all()
        assert (H >= 0).all()
        values.append(float(member.divergence.total(X, Factorization(H, W))))
    assert values[0] > values[1] > values[2] > values[3]
    if not member.carries:
        assert gap(member.update(X, None, W, 10), member.update(X, member.update(X, None, W, 1), W, 9)) < 1e-12


@members(lambda member: member.takes_one_step)
def test_where_one_step_is_all_neither_the_start_nor_repeats_matter(member):
    X = as_matrix(data_for(member))
    start = start_of(X)
    once = member.update(X, start.H, start.W)
    for H, repeats in ((None, 1), (start.H, 7), (torch.zeros_like(start.H), 1), (once, 1)):
        assert gap(member.update(X, H, start.W, repeats), once) < 1e-12


@pytest.mark.parametrize("member", MULTIPLICATIVE, ids=str)
def test_the_cold_start_of_a_multiplicative_step_locks_no_zero(member):
    X = as_matrix(data_for(member))
    assert (member.update(X, None, start_of(X).W) > 0).all()


@pytest.mark.parametrize("kind", [as_matrix, sparse], ids=["dense", "sparse"])
def test_many_hals_sweeps_are_non_negative_least_squares(kind):
    X, W = data(zeros=0.5), uniform(5, 30, seed=5)
    expected = torch.from_numpy(np.stack([scipy.optimize.nnls(W.T.numpy(), x)[0] for x in X.numpy()]))
    assert (expected == 0).any()
    assert gap(HALS()(kind(X), None, W, 20_000), expected) < 1e-8


def test_hals_in_an_order_is_hals_on_components_in_that_order_and_the_next_step_has_another():
    X, start = as_matrix(data()), start_of(as_matrix(data()))
    shuffled, orders = HALS(torch.Generator().manual_seed(3)), torch.Generator().manual_seed(3)
    found = []
    for _ in range(2):
        order = torch.randperm(5, generator=orders)
        found.append(shuffled(X, start.H, start.W))
        assert gap(found[-1][:, order], HALS()(X, start.H[:, order], start.W[order])) < 1e-12
        assert gap(found[-1], HALS()(X, start.H, start.W)) > 1e-3
    assert gap(*found) > 1e-3
    with pytest.raises(Refusal, match="for data without weights alone"):
        shuffled(as_matrix(data(), weights=torch.ones(40, 30)), start.H, start.W)


@pytest.mark.parametrize("seed", range(3))
def test_hals_in_any_order_never_raises_the_divergence(seed):
    X = as_matrix(data(seed=seed))
    member = Member(HALS(torch.Generator().manual_seed(seed)), Frobenius())
    assert_descends(member, X, start_of(X, seed=seed))


@pytest.mark.parametrize("kind", [as_matrix, sparse], ids=["dense", "sparse"])
def test_many_newton_sweeps_are_the_codes_of_least_divergence(kind):
    X, W = data(8, 12, zeros=0.5), 0.05 + uniform(3, 12, seed=5)
    H = ScalarNewton()(kind(X), None, W, 5000)
    P, N = KullbackLeibler().split_gradient(kind(X), H, W)
    residual = torch.minimum(H / H.mean(0), (P - N) / (P + N)).abs().max()
    assert residual < 1e-12
    assert (H == 0).any()

    def value_and_slope(h: np.ndarray, x: np.ndarray) -> tuple[float, np.ndarray]:
        x_hat = h @ W.numpy()
        return float(x_hat.sum() - (x * np.log(x_hat)).sum()), (1 - x / x_hat) @ W.T.numpy()

    for x, h in zip(X.numpy(), H.numpy(), strict=True):
        found = scipy.optimize.minimize(
            value_and_slope,
            np.ones(3),
            (x,),
            "L-BFGS-B",
            jac=True,
            bounds=[(1e-9, None)] * 3,
            options={"ftol": 1e-15, "gtol": 1e-10},
        )
        ours = value_and_slope(h, x)[0]
        assert ours <= found.fun + 1e-12
        assert ours == pytest.approx(found.fun, rel=1e-6)


@pytest.mark.parametrize("member", [HALS_MEMBER, NEWTON, *EXACT, *GRADIENT], ids=str)
def test_alternation_ends_at_a_stationary_point(member):
    X = as_matrix(data(12, 10, zeros=0.2))
    factors = half_steps(member, X, start_of(X, 2), 3000)[-1]
    assert kkt_residual(X, factors, member.divergence) < 1e-10


@pytest.mark.parametrize("kind", [as_matrix, sparse], ids=["dense", "sparse"])
def test_a_multiplicative_kullback_leibler_step_on_codes_keeps_row_totals(kind):
    X = data(zeros=0.5)
    start = start_of(as_matrix(X))
    H = MULTIPLICATIVE_KL.update(kind(X), start.H, start.W)
    assert gap((H @ start.W).sum(1), X.sum(1)) < 1e-14


# Refusals -------------------------------------------------------------------------------------------------------------


@every_member
def test_refuses_every_divergence_but_its_own(member):
    for divergence in (Frobenius(), KullbackLeibler(), ItakuraSaito(), Beta(0.5), Beta(1.5), Beta(3.0)):
        if divergence.beta == member.divergence.beta:
            member.update.refuse(divergence)
        else:
            with pytest.raises(Refusal, match=type(divergence).__name__):
                member.update.refuse(divergence)


def test_multiplicative_codes_that_are_nearly_nothing_stay_finite_and_come_back():
    X = as_matrix(np.array([[1e-3, 2e-3], [3.0, 1.0]], dtype=np.float32))
    W = torch.tensor([[0.5, 1.0]])
    H = torch.tensor([[1e-45], [1.0]])  # P is subnormal here, and N / P beyond float32
    update, divergence = Multiplicative(Frobenius()), Frobenius()
    before = float(divergence.total(X, Factorization(H, W)))
    H = update(X, H, W)
    assert torch.isfinite(H).all()
    assert float(divergence.total(X, Factorization(H, W))) <= before
    H = update(X, H, W, 3)
    exact = (X.dense() @ W.T) / (W @ W.T)
    assert torch.allclose(H, exact, rtol=1e-4)

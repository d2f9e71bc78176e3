import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import Tensor

from nmf_nets.kernels import active_set, exact, pivoting
from nmf_nets.kernels.curvature import curvature_bound

Solve = Callable[[Tensor, Tensor, Tensor], Tensor]


def twin_of(solve: Solve) -> Solve:
    return lambda H, B, G: exact.where_alive(solve, H, B, G)


KERNELS: dict[str, Solve] = {
    "pivoted": lambda H, B, G: pivoting.pivoted(H, B, G, 1, 0.0),
    "active set": lambda H, B, G: active_set.active_set(H, B, G, 1, 0.0),
}
TWINS = {
    "pivoted": twin_of(pivoting.pivoted_torch),
    "active set": twin_of(active_set.active_set_torch),
}
every_kernel = pytest.mark.parametrize("kernel", KERNELS)


def uniform(*shape: int, seed: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def problem(n: int = 40, m: int = 30, r: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    """With a zero row and a dead component."""
    X, H, W = uniform(n, m, seed=0), uniform(n, r, seed=1), uniform(r, m, seed=2)
    X = X * (uniform(n, m, seed=3) > 0.4)
    H, W = H * (uniform(n, r, seed=4) > 0.3), W * (uniform(r, m, seed=5) > 0.2)
    X[3 % n], W[4 % r] = 0, W[4 % r] * (r < 5)
    return X, H, W


def products(X: Tensor, H: Tensor, W: Tensor, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    return H.to(dtype), (X @ W.T).to(dtype), (W @ W.T).to(dtype)


def expected(X: Tensor, H: Tensor, W: Tensor) -> Tensor:
    codes = torch.from_numpy(np.stack([scipy.optimize.nnls(W.T.numpy(), x)[0] for x in X.numpy()]))
    return torch.where(W.any(1), codes, H)


def gap(actual: Tensor, reference: Tensor) -> float:
    return float((actual - reference).abs().max() / reference.abs().max())


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("sides", [(40, 30, 6), (1, 30, 6), (70, 5, 1), (1, 1, 1), (65, 60, 25)], ids=str)
@every_kernel
def test_compiled_rows_and_their_torch_twin_are_non_negative_least_squares(kernel, sides):
    factors = problem(*sides)
    exact_codes = expected(*factors)
    if exact_codes.any():
        assert gap(KERNELS[kernel](*products(*factors)), exact_codes) < 1e-11
        assert gap(TWINS[kernel](*products(*factors)), exact_codes) < 1e-11
    else:
        assert torch.equal(KERNELS[kernel](*products(*factors)), exact_codes)
        assert torch.equal(TWINS[kernel](*products(*factors)), exact_codes)


@every_kernel
def test_single_precision_is_double_precision_rounded(kernel):
    factors = problem()
    for solve in (KERNELS[kernel], TWINS[kernel]):
        codes = solve(*products(*factors, dtype=torch.float32))
        assert codes.dtype == torch.float32
        assert gap(codes.double(), expected(*factors)) < 1e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@every_kernel
def test_compiled_rows_equal_their_torch_twin_where_components_depend_on_each_other(kernel, dtype):
    X, H, W = problem(40, 6, 9)
    H, B, G = products(X, H, W, dtype)
    codes = [solve(H, B, G).double() for solve in (KERNELS[kernel], TWINS[kernel])]
    if dtype == torch.float64:
        assert gap(*codes) < 1e-5  # ρ = 1e-10 times as far as the rounding of float64 goes in a direction of no slope
    values = [0.5 * (X - h @ W).square().sum(1) for h in codes]
    least = 0.5 * (X - expected(X, H.double(), W) @ W).square().sum(1)
    for value in values:
        assert (value - least).abs().max() < (1e-12 if dtype == torch.float64 else 1e-5)


@pytest.mark.parametrize("spread", [1e2, 1e4])
@every_kernel
def test_a_component_may_be_far_smaller_than_the_others(kernel, spread):
    X, H, W = problem()
    scale = spread ** torch.linspace(-1, 1, 6, dtype=torch.float64)
    for solve in (KERNELS[kernel], TWINS[kernel]):
        codes = solve(*products(X, H / scale, W * scale[:, None])) * scale
        assert gap(codes, expected(X, H, W)) < 1e-11


@pytest.mark.parametrize("p", [-12, 12])
@every_kernel
def test_a_power_of_four_changes_no_bit(kernel, p):
    H, B, G = products(*problem(40, 6, 9))
    codes = KERNELS[kernel](H, B, G)
    assert torch.equal(KERNELS[kernel](H * 4.0**p, B * 4.0**p, G), codes * 4.0**p)
    assert torch.equal(KERNELS[kernel](H / 2.0**p, B * 2.0**p, G * 4.0**p), codes / 2.0**p)


@every_kernel
def test_where_components_depend_on_each_other_an_optimum_stays_and_nothing_rises(kernel):
    _, H, W = problem(40, 6, 9)
    H[3] = 0
    for solve in (KERNELS[kernel], TWINS[kernel]):
        codes = solve(*products(H @ W, H, W))
        assert gap(codes, H) < 1e-4  # rounding over ρ
        assert ((codes - H) @ W).abs().max() < 1e-13


@every_kernel
def test_no_exchanges_leave_it_to_coordinate_descent(kernel, monkeypatch):
    monkeypatch.setattr(exact, "EXCHANGES", 0)
    factors = problem()
    swept = KERNELS[kernel](*products(*factors))
    assert 0 < gap(swept, expected(*factors)) < 1e-3
    assert gap(TWINS[kernel](*products(*factors)), swept) < 1e-10


@every_kernel
def test_no_repeats_are_no_step(kernel):
    H, B, G = products(*problem())
    solve = pivoting.pivoted if kernel == "pivoted" else active_set.active_set
    assert torch.equal(solve(H, B, G, 0, 0.0), H)


@every_kernel
def test_a_row_does_not_see_the_others(kernel):
    H, B, G = products(*problem(70, 30, 6))
    together = KERNELS[kernel](H, B, G)
    for i in (0, 3, 31, 32, 69):
        assert torch.equal(KERNELS[kernel](H[[i]], B[[i]], G), together[[i]])


@pytest.mark.usefixtures("threads")
@every_kernel
def test_threads_do_not_change_a_bit(kernel):
    arguments = products(*problem(15_001, 30, 6))
    results = []
    for n_threads in (1, 2):
        torch.set_num_threads(n_threads)
        results.append(KERNELS[kernel](*arguments))
    assert torch.equal(*results)


@every_kernel
def test_zero_rows_get_zeros_and_dead_components_keep_their_codes(kernel):
    X, H, W = problem()
    H[:, 4] = uniform(40, seed=6)
    for solve in (KERNELS[kernel], TWINS[kernel]):
        codes = solve(*products(X, H, W))
        assert torch.equal(codes[:, 4], H[:, 4])
        assert (codes[3, [0, 1, 2, 3, 5]] == 0).all()
        assert torch.equal(solve(H, 0 * H, torch.zeros(6, 6, dtype=H.dtype)), H)


@every_kernel
def test_inputs_are_left_as_they_are_also_read_only_and_strided_ones(kernel):
    arguments = products(*problem())
    codes = KERNELS[kernel](*arguments)
    arrays = [M.numpy().copy() for M in arguments]
    for array in arrays:
        array.setflags(write=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, about tensors of read-only arrays
        read_only = [torch.from_numpy(array) for array in arrays]
    assert torch.equal(KERNELS[kernel](*read_only), codes)
    assert all(np.array_equal(array, M.numpy()) for array, M in zip(arrays, arguments, strict=True))
    strided = [M.repeat_interleave(2, 1)[:, ::2] for M in arguments]
    assert not any(M.is_contiguous() for M in strided)
    assert torch.equal(KERNELS[kernel](*strided), codes)
    before = [M.clone() for M in arguments]
    TWINS[kernel](*arguments)
    assert all(torch.equal(M, kept) for M, kept in zip(arguments, before, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_bound_of_eigenvalues_is_above_and_near_the_largest(dtype):
    blocks = torch.block_diag(uniform(3, 3, seed=1), 1e-6 * uniform(2, 2, seed=2), torch.zeros(1, 1))
    for W in (uniform(6, 30, seed=0), blocks, uniform(1, 3, seed=3), torch.eye(4, dtype=torch.float64)):
        G = (W @ W.T).to(dtype)
        most = float(torch.linalg.eigvalsh(G.double())[-1])
        assert most * (1 - 2 * torch.finfo(dtype).eps) <= float(curvature_bound(G)) <= most * (1 + 1e-3)
    assert float(curvature_bound(torch.zeros(2, 2))) == 1

import subprocess
import sys
import warnings
from collections.abc import Iterator

import numba
import numpy as np
import pytest
import scipy.sparse
import torch
from torch import Tensor

from nmf_nets.divergences.base import floor
from nmf_nets.kernels.hals import hals_sweeps, hals_sweeps_torch
from nmf_nets.kernels.scalar_newton import newton_sweeps, newton_sweeps_torch
from nmf_nets.matrix import Matrix, as_matrix

CLOSE = {torch.float32: 2e-5, torch.float64: 1e-12}
DTYPES = list(CLOSE)
KINDS = ["dense", "sparse"]
SWEEPS = [(1, 0.0), (2, 0.0), (20, 0.0), (20, 0.1), (20, 0.9), (3, 1.0)]
KERNELS = ["hals", "newton"]


def problem(n: int = 40, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Half of X is zero, one row wholly; W has zeros and a dead component, H has zeros."""
    generator = torch.Generator().manual_seed(0)
    u = [torch.rand(shape, generator=generator, dtype=torch.float64) for shape in ((n, 30), (n, 6), (6, 30))]
    X, H, W = u[0] * (u[0] > 0.5), u[1] * (u[1] > 0.2), u[2] * (u[2] > 0.2)
    X[3] = 0
    W[4] = 0
    return X.to(dtype), H.to(dtype), W.to(dtype)


def matrix(X: Tensor, kind: str) -> Matrix:
    return as_matrix(X if kind == "dense" else scipy.sparse.csr_array(X.numpy()))


def swept(kernel: str, X: Matrix, H: Tensor, W: Tensor, repeats: int, progress: float, twin: bool = False) -> Tensor:
    if kernel == "hals":
        return (hals_sweeps_torch if twin else hals_sweeps)(H, X @ W.T, W @ W.T, repeats, progress)
    return (newton_sweeps_torch if twin else newton_sweeps)(X, H, W, floor(X), repeats, progress)


def gap(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).abs().max() / expected.abs().max())


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("repeats", "progress"), SWEEPS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_compiled_sweeps_equal_their_torch_twin(kernel, repeats, progress, kind, dtype):
    X, H, W = problem(dtype=dtype)
    X = matrix(X, kind)
    compiled = swept(kernel, X, H, W, repeats, progress)
    assert compiled.dtype == dtype
    assert gap(compiled, swept(kernel, X, H, W, repeats, progress, twin=True)) < CLOSE[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_sweeps_are_the_same_on_dense_and_on_sparse_data(kernel, dtype):
    X, H, W = problem(dtype=dtype)
    dense, sparse = (swept(kernel, matrix(X, kind), H, W, 5, 0.0) for kind in KINDS)
    assert gap(sparse, dense) < CLOSE[dtype]


@pytest.mark.parametrize("twin", [False, True])
@pytest.mark.parametrize("kernel", KERNELS)
def test_more_sweeps_go_on_where_fewer_stopped(kernel, twin):
    X, H, W = problem()
    X = matrix(X, "dense")
    in_turn = swept(kernel, X, swept(kernel, X, H, W, 2, 0.0, twin), W, 3, 0.0, twin)
    assert gap(swept(kernel, X, H, W, 5, 0.0, twin), in_turn) < 1e-12


@pytest.mark.parametrize("twin", [False, True])
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_row_stops_by_itself_whatever_the_others_do(kernel, twin):
    X, H, W = problem()
    together = swept(kernel, matrix(X, "dense"), H, W, 30, 0.2, twin)
    assert gap(together, swept(kernel, matrix(X, "dense"), H, W, 30, 0.0, twin)) > 1e-6
    for i in (0, 7, 39):
        if kernel == "hals":
            sweeps = hals_sweeps_torch if twin else hals_sweeps
            alone = sweeps(H[[i]], X[[i]] @ W.T, W @ W.T, 30, 0.2)
        else:
            sweeps = newton_sweeps_torch if twin else newton_sweeps
            alone = sweeps(as_matrix(X[[i]]), H[[i]], W, floor(as_matrix(X)), 30, 0.2)
        assert gap(together[[i]], alone) < 1e-12


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_in_single_precision_thousands_of_sweeps_end_at_the_codes_of_double_precision(kernel, kind):
    X, H, W = problem()
    exact = swept(kernel, matrix(X, kind), H, W, 3000, 0.0)
    X, H, W = (M.float() for M in (X, H, W))
    assert gap(swept(kernel, matrix(X, kind), H, W, 3000, 0.0).double(), exact) < 1e-5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_inputs_are_left_as_they_are(kernel, kind):
    X, H, W = problem()
    X = matrix(X, kind)
    inputs = (X.values, H, W)
    before = [M.clone() for M in inputs]
    result = swept(kernel, X, H, W, 5, 0.0)
    assert not torch.equal(result, H)
    assert all(torch.equal(M, kept) for M, kept in zip(inputs, before, strict=True))


@pytest.mark.parametrize("kernel", KERNELS)
def test_strided_inputs_change_nothing(kernel):
    X, H, W = problem()
    expected = swept(kernel, matrix(X, "dense"), H, W, 5, 0.0)
    H_strided = torch.zeros(40, 12, dtype=H.dtype)[:, ::2].copy_(H)
    W_strided, X_strided = W.T.contiguous().T, X.T.contiguous().T
    assert not any(M.is_contiguous() for M in (H_strided, W_strided, X_strided))
    result = swept(kernel, as_matrix(X_strided), H_strided, W_strided, 5, 0.0)
    assert gap(result, expected) < 1e-12
    if kernel == "hals":
        B, G = X @ W.T, W @ W.T
        B_strided = B.T.contiguous().T
        assert not B_strided.is_contiguous()
        assert torch.equal(hals_sweeps(H_strided, B_strided, G.T, 5, 0.0), hals_sweeps(H, B, G.T.contiguous(), 5, 0.0))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_read_only_inputs_are_read_and_not_written(kernel, kind):
    arrays = [M.numpy() for M in problem()]
    expected = swept(kernel, matrix(torch.from_numpy(arrays[0]), kind), *map(torch.from_numpy, arrays[1:]), 5, 0.0)
    before = [array.copy() for array in arrays]
    for array in arrays:
        array.setflags(write=False)
    X = as_matrix(arrays[0] if kind == "dense" else scipy.sparse.csr_array(arrays[0]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, about tensors of read-only arrays
        H, W = map(torch.from_numpy, arrays[1:])
    assert torch.equal(swept(kernel, X, H, W, 5, 0.0), expected)
    assert all(np.array_equal(array, kept) for array, kept in zip(arrays, before, strict=True))


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_threads_do_not_change_a_bit(kernel, kind):
    X, H, W = problem(n=5001)  # enough work for two
    X = matrix(X, kind)
    products = X @ W.T, W @ W.T
    results = []
    for n_threads in (1, 2):
        torch.set_num_threads(n_threads)
        if kernel == "hals":
            results.append(hals_sweeps(H, *products, 5, 0.0))
        else:
            results.append(newton_sweeps(X, H, W, floor(X), 5, 0.0))
        assert numba.get_num_threads() == min(n_threads, numba.config.NUMBA_NUM_THREADS)
    assert torch.equal(*results)


FIRST_CALL = """
import torch
from nmf_nets.kernels.hals import hals_sweeps
torch.set_num_threads(1)
hals_sweeps(torch.ones(2, 1), torch.ones(2, 1), torch.ones(1, 1), 1, 0.0)
print(torch.get_num_threads())
"""


def test_the_first_compiled_call_of_a_process_leaves_the_threads_of_torch_as_they_are():
    done = subprocess.run([sys.executable, "-c", FIRST_CALL], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


@pytest.mark.parametrize(
    ("h", "expected"),
    [
        (0.5, 0.75),  # a = 0.25, uphill of nothing: g < 0
        (1.5, 0.75),  # a = −0.75, μ |a| = 0.5: as it is
        (1.8, 1.0),  # a = −1.44, μ |a| = 0.8: damped to −0.8
        (3.0, 1.5),  # a = −6, cut to −3, μ |a| = 1: damped to −1.5
    ],
)
@pytest.mark.parametrize("twin", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_newton_step_on_one_number_is_damped_where_it_is_long(kind, twin, h, expected):
    one = torch.ones(1, 1, dtype=torch.float64)
    assert float(swept("newton", matrix(one, kind), h * one, one, 1, 0.0, twin)) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("twin", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_one_sweep_makes_the_code_of_a_zero_row_zero(kernel, kind, twin):
    X, H, W = problem()
    H[3] = 1
    result = swept(kernel, matrix(X, kind), H, W, 1, 0.0, twin)
    assert result.isfinite().all()
    assert (result >= 0).all()
    # compiled HALS keeps a running gradient, so the last component is zero to the rounding of the code it had
    assert (result[3, W.sum(1) > 0] <= (1e-15 if kernel == "hals" and not twin else 0)).all()


@pytest.mark.parametrize("twin", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_the_codes_of_a_dead_component_are_left_alone(kernel, kind, twin):
    X, H, W = problem()
    result = swept(kernel, matrix(X, kind), H, W, 5, 0.0, twin)
    assert torch.equal(result[:, 4], H[:, 4])
    assert not torch.equal(result[:, 3], H[:, 3])


@pytest.mark.parametrize("twin", [False, True])
@pytest.mark.parametrize("kernel", KERNELS)
def test_data_and_components_of_zeros_are_left_alone(kernel, twin):
    X, H, _ = problem()
    result = swept(kernel, matrix(0 * X, "dense"), H, torch.zeros(6, 30, dtype=H.dtype), 3, 0.0, twin)
    assert torch.equal(result, H)

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

from nmf_nets.as_matrix import as_matrix
from nmf_nets.criterion import PLAIN, Terms
from nmf_nets.divergences.base import floor
from nmf_nets.kernels.entries import (
    Sweeps,
    cross_entropy,
    newton_sweeps,
    newton_sweeps_torch,
    squares_sweeps,
    squares_sweeps_torch,
)
from nmf_nets.kernels.hals import hals_sweeps, hals_sweeps_torch
from nmf_nets.kernels.multiplicative import gram_steps, gram_steps_torch
from nmf_nets.matrix import Matrix
from nmf_nets.penalties.l1 import L1
from nmf_nets.penalties.l2 import L2

CLOSE = {torch.float32: 2e-5, torch.float64: 1e-12}
DTYPES = list(CLOSE)
KINDS = ["dense", "sparse"]
SWEEPS = [(1, 0.0), (2, 0.0), (20, 0.0), (20, 0.1), (20, 0.9), (3, 1.0)]
GRAM_KERNELS = {"hals": (hals_sweeps, hals_sweeps_torch), "mu": (gram_steps, gram_steps_torch)}
REVIVING = ["hals", "newton", "ccd", "weighted newton", "squares"]
KERNELS = [*REVIVING, "mu"]
TERMS = {"plain": PLAIN, "penalties": Terms((L1(0.02), L2(0.05)), torch.tensor([0, 0, 1, 0, 0, 0]).bool())}


def problem(n: int = 40, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Half of X is zero, one row wholly; W has zeros and a dead component, H has zeros."""
    generator = torch.Generator().manual_seed(0)
    u = [torch.rand(shape, generator=generator, dtype=torch.float64) for shape in ((n, 30), (n, 6), (6, 30))]
    X, H, W = u[0] * (u[0] > 0.5), u[1] * (u[1] > 0.2), u[2] * (u[2] > 0.2)
    X[3] = 0
    W[4] = 0
    return X.to(dtype), H.to(dtype), W.to(dtype)


def matrix(X: Tensor, kind: str, kernel: str) -> Matrix:
    """Weighted, with entries that do not count, for the kernels that are about it."""
    data = X if kind == "dense" else scipy.sparse.csr_array(X.numpy())
    if kernel not in ("weighted newton", "squares"):
        return as_matrix(data)
    V = torch.rand(X.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(X.dtype)
    V = V * (V > 0.3)
    return as_matrix(data, weights=V if kind == "dense" else scipy.sparse.csr_array(V.numpy()))


def swept(
    kernel: str,
    X: Matrix,
    H: Tensor,
    W: Tensor,
    repeats: int,
    progress: float,
    twin: bool = False,
    terms: Terms = PLAIN,
) -> Tensor:
    if kernel in GRAM_KERNELS:
        linear = (terms.coefficients[0],) if kernel == "mu" else ()
        return GRAM_KERNELS[kernel][twin](H, X @ W.T, W @ W.T, *linear, repeats, progress)
    sweeps = Sweeps(repeats, progress, kernel != "ccd")
    if kernel == "squares":
        return (squares_sweeps_torch if twin else squares_sweeps)(X, H, W, sweeps, terms)
    if twin:
        return newton_sweeps_torch(X, H, W, floor(X), sweeps, terms)
    return newton_sweeps(X, H, W, floor(X), sweeps, terms)[0]


def gap(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).abs().max() / expected.abs().max())


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("terms", TERMS)
@pytest.mark.parametrize(("repeats", "progress"), SWEEPS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_compiled_sweeps_equal_their_torch_twin(kernel, repeats, progress, terms, kind, dtype):
    X, H, W = problem(dtype=dtype)
    X = matrix(X, kind, kernel)
    compiled = swept(kernel, X, H, W, repeats, progress, terms=TERMS[terms])
    assert compiled.dtype == dtype
    assert gap(compiled, swept(kernel, X, H, W, repeats, progress, twin=True, terms=TERMS[terms])) < CLOSE[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_sweeps_are_the_same_on_dense_and_on_sparse_data(kernel, dtype):
    X, H, W = problem(dtype=dtype)
    dense, sparse = (swept(kernel, matrix(X, kind, kernel), H, W, 5, 0.0) for kind in KINDS)
    assert gap(sparse, dense) < CLOSE[dtype]


@pytest.mark.parametrize("twin", [False, True])
@pytest.mark.parametrize("kernel", KERNELS)
def test_more_sweeps_go_on_where_fewer_stopped(kernel, twin):
    X, H, W = problem()
    X = matrix(X, "dense", kernel)
    in_turn = swept(kernel, X, swept(kernel, X, H, W, 2, 0.0, twin), W, 3, 0.0, twin)
    assert gap(swept(kernel, X, H, W, 5, 0.0, twin), in_turn) < 1e-12


@pytest.mark.parametrize("twin", [False, True])
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_row_stops_by_itself_whatever_the_others_do(kernel, twin):
    X, H, W = problem()
    together = swept(kernel, matrix(X, "dense", kernel), H, W, 30, 0.2, twin)
    assert gap(together, swept(kernel, matrix(X, "dense", kernel), H, W, 30, 0.0, twin)) > 1e-6
    for i in (0, 7, 39):
        alone = swept(kernel, matrix(X, "dense", kernel).rows(torch.tensor([i])), H[[i]], W, 30, 0.2, twin)
        assert gap(together[[i]], alone) < 1e-12


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kernel", REVIVING)  # multiplicative steps approach zeros for ever
def test_in_single_precision_thousands_of_sweeps_end_at_the_codes_of_double_precision(kernel, kind):
    X, H, W = problem()
    exact = swept(kernel, matrix(X, kind, kernel), H, W, 3000, 0.0)
    X, H, W = (M.float() for M in (X, H, W))
    assert gap(swept(kernel, matrix(X, kind, kernel), H, W, 3000, 0.0).double(), exact) < 1e-5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_inputs_are_left_as_they_are(kernel, kind):
    X, H, W = problem()
    X = matrix(X, kind, kernel)
    inputs = (X.values, H, W)
    before = [M.clone() for M in inputs]
    result = swept(kernel, X, H, W, 5, 0.0)
    assert not torch.equal(result, H)
    assert all(torch.equal(M, kept) for M, kept in zip(inputs, before, strict=True))


@pytest.mark.parametrize("kernel", KERNELS)
def test_strided_inputs_change_nothing(kernel):
    X, H, W = problem()
    expected = swept(kernel, matrix(X, "dense", kernel), H, W, 5, 0.0)
    H_strided = torch.zeros(40, 12, dtype=H.dtype)[:, ::2].copy_(H)
    W_strided, X_strided = W.T.contiguous().T, X.T.contiguous().T
    assert not any(M.is_contiguous() for M in (H_strided, W_strided, X_strided))
    strided = matrix(X_strided, "dense", kernel)
    assert strided.weights is not None or not strided.values.is_contiguous()
    result = swept(kernel, strided, H_strided, W_strided, 5, 0.0)
    assert gap(result, expected) < 1e-12
    if kernel in GRAM_KERNELS:
        B, G, linear = X @ W.T, W @ W.T, (0.1,) if kernel == "mu" else ()
        sweeps = GRAM_KERNELS[kernel][0]
        B_strided = B.T.contiguous().T
        assert not B_strided.is_contiguous()
        assert torch.equal(
            sweeps(H_strided, B_strided, G.T, *linear, 5, 0.0), sweeps(H, B, G.T.contiguous(), *linear, 5, 0.0)
        )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_read_only_inputs_are_read_and_not_written(kernel, kind):
    arrays = [M.numpy() for M in problem()]
    X = matrix(torch.from_numpy(arrays[0]), kind, kernel)
    expected = swept(kernel, X, *map(torch.from_numpy, arrays[1:]), 5, 0.0)
    before = [array.copy() for array in arrays]
    for array in arrays:
        array.setflags(write=False)
    if X.weights is None:
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
    X = matrix(X, kind, kernel)
    results = []
    for n_threads in (1, 2):
        torch.set_num_threads(n_threads)
        results.append(swept(kernel, X, H, W, 5, 0.0))
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
    stepped = swept("newton", matrix(one, kind, "newton"), h * one, one, 1, 0.0, twin)
    assert float(stepped) == pytest.approx(expected, rel=1e-14)
    undamped = swept("ccd", matrix(one, kind, "ccd"), h * one, one, 1, 0.0, twin)
    assert float(undamped) == pytest.approx(max(0.0, h * (2 - h)), rel=1e-14)


@pytest.mark.parametrize("twin", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_one_sweep_makes_the_code_of_a_zero_row_zero(kernel, kind, twin):
    X, H, W = problem()
    H[3] = 1
    result = swept(kernel, matrix(X, kind, kernel), H, W, 1, 0.0, twin)
    assert result.isfinite().all()
    assert (result >= 0).all()
    # weighted squares keep a running residual, so a component is zero to the rounding of the codes before it
    assert (result[3, W.sum(1) > 0] <= (1e-15 if kernel == "squares" else 0)).all()


@pytest.mark.parametrize("twin", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_the_codes_of_a_dead_component_are_left_alone(kernel, kind, twin):
    X, H, W = problem()
    result = swept(kernel, matrix(X, kind, kernel), H, W, 5, 0.0, twin)
    assert torch.equal(result[:, 4], H[:, 4])
    assert not torch.equal(result[:, 3], H[:, 3])


@pytest.mark.parametrize("twin", [False, True])
@pytest.mark.parametrize("kernel", KERNELS)
def test_data_and_components_of_zeros_are_left_alone(kernel, twin):
    X, H, _ = problem()
    result = swept(kernel, matrix(0 * X, "dense", kernel), H, torch.zeros(6, 30, dtype=H.dtype), 3, 0.0, twin)
    assert torch.equal(result, H)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_cross_entropy_is_that_of_float64(kind, weighted, dtype):
    X, H, W = problem(dtype=dtype)
    X = matrix(X, kind, "weighted newton" if weighted else "newton")
    x = (X.values if X.weights is None else X.weights * X.values).double()
    expected = torch.xlogy(x, X.to(torch.float64).sample(H.double(), W.double()).clamp(min=float(floor(X)))).sum()
    assert float(cross_entropy(X, H, W, floor(X))) == pytest.approx(
        float(expected), rel=1e-6 if dtype == torch.float32 else 1e-13
    )
    swept_H, cross = newton_sweeps(X, H, W, floor(X), Sweeps(3))
    assert float(cross) == pytest.approx(
        float(cross_entropy(X, swept_H, W, floor(X))), rel=1e-5 if dtype == torch.float32 else 1e-12
    )

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse
import torch
from torch import Tensor

from nmf_nets.as_matrix import as_matrix
from nmf_nets.criterion import PLAIN, Terms
from nmf_nets.matrix import Matrix
from nmf_nets.penalties.l1 import L1
from nmf_nets.penalties.l2 import L2
from nmf_nets.updates.active_set import ActiveSet
from nmf_nets.updates.base import Update
from nmf_nets.updates.least_squares import LeastSquares
from nmf_nets.updates.optimal_gradient import OptimalGradient
from nmf_nets.updates.pivoting import Pivoting
from nmf_nets.updates.projected_gradient import ProjectedGradient

MEMBERS: list[tuple[Update, int]] = [
    (Pivoting(), 1),
    (ActiveSet(), 1),
    (ProjectedGradient(), 5000),
    (OptimalGradient(), 5000),
]
"""With the repeats after which codes are exact."""

FROZEN = torch.tensor([False, True, False, False, True])
TERMS = {
    "plain": PLAIN,
    "L1": Terms((L1(0.3),)),
    "L2": Terms((L2(0.5),)),
    "L1 L2 frozen": Terms((L1(0.1), L2(0.2)), FROZEN),
    "frozen": Terms((), FROZEN),
}


def name(part: object) -> str | None:
    return type(part).__name__ if isinstance(part, Update) else None


every_member = pytest.mark.parametrize(("update", "repeats"), MEMBERS, ids=name)
every_exact_member = pytest.mark.parametrize(("update", "repeats"), MEMBERS[:2], ids=name)
every_gradient_member = pytest.mark.parametrize("update", [update for update, _ in MEMBERS[2:]], ids=name)


def uniform(*shape: int, seed: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def problem(n: int = 30, m: int = 20, r: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    """Of full rank for r ≤ m, with zeros in X, in H and in the solution."""
    X, H, W = uniform(n, m, seed=0), uniform(n, r, seed=1), uniform(r, m, seed=2)
    return X * (uniform(n, m, seed=3) > 0.4), H * (uniform(n, r, seed=4) > 0.3), W * (uniform(r, m, seed=5) > 0.2)


def nnls(X: Tensor, W: Tensor) -> Tensor:
    return torch.from_numpy(np.stack([scipy.optimize.nnls(W.T.numpy(), x)[0] for x in X.numpy()]))


def penalised_nnls(X: Tensor, H: Tensor, W: Tensor, terms: Terms) -> Tensor:
    """Of the free components, with L2 as more features: √λ₂ I against the entries −λ₁ / √λ₂ of L1.

    Without L2 the entries of L1 come through the pseudo-inverse instead: W (x − c) = W x − λ₁.
    """
    free = torch.ones(len(W), dtype=torch.bool) if terms.frozen is None else ~terms.frozen
    linear, ridge = terms.coefficients
    V, residual = W[free], X - H[:, ~free] @ W[~free]
    if ridge:
        V = torch.cat([V, ridge**0.5 * torch.eye(len(V), dtype=V.dtype)], 1)
        residual = torch.cat([residual, torch.full((len(X), len(V)), -linear / ridge**0.5, dtype=X.dtype)], 1)
    elif linear:
        residual = residual - linear * torch.linalg.pinv(V) @ torch.ones(len(V), dtype=V.dtype)
    codes = H.clone()
    codes[:, free] = nnls(residual, V)
    return codes


def value(X: Tensor, H: Tensor, W: Tensor) -> Tensor:
    """Of each row."""
    return 0.5 * (X - H @ W).square().sum(1)


def gap(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).abs().max() / expected.abs().max())


def sparse(X: Tensor) -> Matrix:
    return as_matrix(scipy.sparse.csr_array(X.numpy()))


@pytest.mark.parametrize(
    ("kind", "terms"),
    [(sparse, "plain"), *((as_matrix, terms) for terms in TERMS)],
    ids=lambda part: getattr(part, "__name__", part),
)
@every_member
def test_codes_are_those_of_non_negative_least_squares(update, repeats, kind, terms):
    X, H, W = problem()
    expected = penalised_nnls(X, H, W, TERMS[terms])
    assert (expected == 0).any()
    assert gap(expected, H) > 1e-2
    codes = update.on(kind(X), W, TERMS[terms]).codes(H, repeats)
    assert (codes >= 0).all()
    assert gap(codes, expected) < 1e-8


@every_member
def test_codes_of_a_cold_start_are_the_same(update, repeats):
    X, _, W = problem()
    assert gap(update(as_matrix(X), None, W, repeats), nnls(X, W)) < 1e-8


@pytest.mark.parametrize("r", [1, 3, 12, 30])
@pytest.mark.parametrize("n", [1, 2, 70])
@every_exact_member
def test_exact_codes_of_one_row_one_component_and_many(update, repeats, n, r):
    X, H, W = problem(n, 40, r)
    assert gap(update(as_matrix(X), H, W, repeats), nnls(X, W)) < 1e-10


@pytest.mark.parametrize("kind", ["more components than features", "a component twice", "few non-zeros"])
@every_member
def test_codes_are_as_good_where_components_depend_on_each_other(update, repeats, kind):
    X, H, W = problem(30, 6, 9) if kind == "more components than features" else problem()
    if kind == "a component twice":
        W[3] = 2 * W[1]
    if kind == "few non-zeros":
        W = W * (uniform(*W.shape, seed=6) > 0.7)
        W[4] = 0
    least = value(X, nnls(X, W), W)
    codes = update(as_matrix(X), H, W, repeats)
    assert codes.isfinite().all()
    assert (codes >= 0).all()
    assert (codes <= 1e4).all()
    assert (value(X, codes, W) <= least + 1e-10 * value(X, 0 * H, W)).all()
    slope, unit = (codes @ W - X) @ W.T, (X @ W.T).abs().max()
    assert (slope >= -1e-6 * unit).all()
    assert (slope * codes).abs().max() <= 1e-6 * unit * codes.max()


@every_exact_member
def test_exact_codes_do_not_depend_on_where_they_start(update, repeats):
    X, H, W = problem()
    once = update(as_matrix(X), H, W, repeats)
    for start in (None, torch.zeros_like(H), torch.ones_like(H), 1e6 * H, once):
        assert gap(update(as_matrix(X), start, W, 1), once) < 1e-11


@every_member
def test_single_precision_follows_double_precision(update, repeats):
    X, H, W = problem()
    codes = update(as_matrix(X.float()), H.float(), W.float(), min(repeats, 500))
    assert codes.dtype == torch.float32
    assert gap(codes.double(), nnls(X, W)) < 1e-4


@pytest.mark.parametrize("c", [1e-8, 1e8])
@every_member
def test_codes_scale_with_data(update, repeats, c):
    X, H, W = problem()
    expected = update(as_matrix(X), H, W, 5)
    assert gap(update(as_matrix(X * c), H * c, W, 5) / c, expected) < 1e-12
    assert gap(update(as_matrix(X), H / c, W * c, 5) * c, expected) < 1e-12


@every_exact_member  # gradients need far more steps then
def test_exact_codes_of_components_of_different_scales(update, repeats):
    X, H, W = problem()
    scale = torch.tensor([1, 10, 1, 0.1, 1], dtype=torch.float64)
    codes = update(as_matrix(X), H / scale, W * scale[:, None], repeats)
    assert gap(codes * scale, nnls(X, W)) < 1e-8


@pytest.mark.parametrize("kind", [as_matrix, sparse], ids=["dense", "sparse"])
@every_exact_member
def test_zero_rows_get_zero_codes_and_dead_components_keep_theirs(update, repeats, kind):
    X, H, W = problem()
    X[7], W[2] = 0, 0
    codes = update(kind(X), H, W, repeats)
    assert torch.equal(codes[:, 2], H[:, 2])
    others = torch.tensor([0, 1, 3, 4])
    assert (codes[7, others] == 0).all()
    assert gap(codes[:, others], nnls(X, W)[:, others]) < 1e-10


@every_gradient_member
def test_no_call_of_gradient_steps_raises_the_value_of_a_row(update):
    X, H, W = problem(30, 6, 9)
    for repeats in (1, 2, 3, 5, 10, 30, 100):
        before, codes = value(X, H, W), update(as_matrix(X), H, W, repeats)
        assert (value(X, codes, W) <= before * (1 + 1e-12)).all()
        assert (value(X, codes, W) < before).any()
        H = codes
    X = codes @ W  # where codes are exact, whatever moves them is rounding
    assert (value(X, update(as_matrix(X), codes, W, 30), W) <= 1e-28 * X.square().sum(1).max()).all()


@every_gradient_member
def test_gradient_steps_come_near_in_few_repeats(update):
    X, H, W = problem()
    least = value(X, nnls(X, W), W)
    worse = [(value(X, update(as_matrix(X), H, W, k), W) - least).sum() for k in (1, 10, 100, 1000)]
    assert worse[0] > 10 * worse[1] > 100 * worse[2]
    assert worse[3] <= 1e-12 * least.sum()


@pytest.mark.parametrize("update", [update for update, _ in MEMBERS], ids=name)
def test_with_weights_repeats_descend(update):
    X, H, W = problem()
    weights = uniform(30, 20, seed=7) * (uniform(30, 20, seed=8) > 0.5)
    half_step = update.on(as_matrix(X, weights=weights), W)
    values = [float(half_step.value(codes)) for codes in (H, *(half_step.codes(H, k) for k in (1, 5, 50)))]
    assert values[0] > values[1] > values[2] > values[3]
    root = weights.sqrt()
    least = sum(
        0.5 * scipy.optimize.nnls((W * v).T.numpy(), (x * v).numpy())[1] ** 2 for x, v in zip(X, root, strict=True)
    )
    assert float(half_step.value(half_step.codes(H, 2000))) == pytest.approx(least, rel=1e-4)


def test_least_squares_are_the_pseudo_inverse_cut_at_zero():
    for X, H, W in (problem(), problem(30, 6, 9)):
        expected = (X @ torch.linalg.pinv(W)).clamp(min=0)
        assert gap(LeastSquares()(as_matrix(X), H, W), expected) < 1e-10
        assert gap(LeastSquares()(as_matrix(X.float()), H.float(), W.float()).double(), expected) < 1e-4
    X, H, W = problem()
    codes = LeastSquares().on(as_matrix(X), W, TERMS["L1 L2 frozen"]).codes(H)
    free, held = [0, 2, 3], [1, 4]
    B = X @ W[free].T - H[:, held] @ W[held] @ W[free].T - 0.1
    expected = torch.linalg.solve(W[free] @ W[free].T + 0.2 * torch.eye(3, dtype=B.dtype), B.T).T.clamp(min=0)
    assert gap(codes[:, free], expected) < 1e-12
    assert torch.equal(codes[:, held], H[:, held])


def test_least_squares_may_rise():
    W = torch.tensor([[1.0, 0.9], [0.9, 1.0]], dtype=torch.float64)
    X, H = torch.tensor([[1.0, 0.0]], dtype=torch.float64), torch.tensor([[0.6, 0.0]], dtype=torch.float64)
    codes = LeastSquares()(as_matrix(X), H, W)
    assert not LeastSquares.descends
    assert (value(X, codes, W) > value(X, H, W)).all()

import pytest
import scipy.sparse
import torch
from torch import Tensor

from nmf_nets.as_matrix import as_matrix
from nmf_nets.criterion import Criterion
from nmf_nets.divergences.beta import Beta
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.divergences.itakura_saito import ItakuraSaito
from nmf_nets.divergences.kullback_leibler import KullbackLeibler
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.objective import Objective

DIVERGENCES = [Frobenius(), KullbackLeibler(), ItakuraSaito(), Beta(0.5), Beta(1.5), Beta(3.0)]
every_divergence = pytest.mark.parametrize("divergence", DIVERGENCES, ids=lambda d: f"{d.beta:g}")
every_kind = pytest.mark.parametrize("kind", ["dense", "sparse"])


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def data_for(divergence) -> Tensor:
    X = 0.1 + uniform(12, 9)
    return X if divergence.beta <= 0 else X * (uniform(12, 9, seed=1) > 0.5)


def matrix(X: Tensor, kind: str) -> Matrix:
    return as_matrix(X if kind == "dense" else scipy.sparse.csr_array(X.numpy()))


def factors(learn_H: bool = True, learn_W: bool = True) -> Factorization:
    H, W = 0.1 + uniform(12, 4, seed=2), 0.1 + uniform(4, 9, seed=3)
    return Factorization(H.requires_grad_(learn_H), W.requires_grad_(learn_W))


def gradients(divergence, X: Tensor) -> list[Tensor]:
    """By automatic differentiation of the value."""
    at = factors()
    divergence(X, at.H @ at.W).sum().backward()
    return [at.H.grad, at.W.grad]


def gap(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).abs().max() / expected.abs().max())


@every_kind
@every_divergence
def test_backward_is_the_gradient_of_the_value_in_units_of_the_data(divergence, kind):
    X, at = data_for(divergence), factors()
    Objective(matrix(X, kind), at, Criterion(divergence)).backward()
    unit = X.numel() * float(X.mean()) ** divergence.beta
    for gradient, expected in zip([at.H.grad, at.W.grad], gradients(divergence, X), strict=True):
        assert gap(gradient, expected / unit) < 1e-10


@pytest.mark.parametrize("c", [1e-8, 1e8])
@every_divergence
def test_backward_knows_no_scale_in_relative_steps(divergence, c):
    X = data_for(divergence)
    relative = []
    for scale in (1.0, c):
        at = factors().detach()
        at = Factorization((at.H * scale**0.5).requires_grad_(), (at.W * scale**0.5).requires_grad_())
        Objective(as_matrix(X * scale), at, Criterion(divergence)).backward()
        relative.append(at.H.grad * scale**0.5)
    assert gap(relative[1], relative[0]) < 1e-10


@every_kind
@every_divergence
def test_the_parts_of_the_gradient_are_non_negative_and_their_difference_is_the_gradient(divergence, kind):
    X, at = data_for(divergence), factors()
    splits = Objective(matrix(X, kind), at, Criterion(divergence)).split_gradient([at.H, at.W])
    for (P, N), expected in zip(splits, gradients(divergence, X), strict=True):
        assert (P >= 0).all()
        assert (N >= 0).all()
        assert gap(P - N, expected) < 1e-10


@every_divergence
def test_the_parts_are_those_of_the_divergence(divergence):
    X, at = as_matrix(data_for(divergence)), factors()
    of_H, of_W = Objective(X, at, Criterion(divergence)).split_gradient([at.H, at.W])
    H, W = at.H.detach(), at.W.detach()
    for ours, theirs in zip(of_H, divergence.split_gradient(X, H, W), strict=True):
        assert gap(ours, theirs) < 1e-14
    for ours, theirs in zip(of_W, divergence.split_gradient(X.T, W.T, H.T), strict=True):
        assert gap(ours, theirs.T) < 1e-14


def test_parts_go_back_through_a_net_with_non_negative_weights():
    X, A = data_for(Frobenius()), (0.1 + uniform(9, 4, seed=4)).requires_grad_()
    W = factors().W.detach()
    ((P, N),) = Objective(as_matrix(X), Factorization(as_matrix(X) @ A, W), Criterion(Frobenius())).split_gradient([A])
    assert gap(P, X.T @ X @ A.detach() @ W @ W.T) < 1e-12
    assert gap(N, X.T @ X @ W.T) < 1e-12


@every_divergence
def test_a_factor_without_a_graph_is_held_constant(divergence):
    X = as_matrix(data_for(divergence))
    both = factors()
    Objective(X, both, Criterion(divergence)).backward()
    for name, at in (("W", factors(learn_H=False)), ("H", factors(learn_W=False))):
        Objective(X, at, Criterion(divergence)).backward()
        assert torch.equal(getattr(at, name).grad, getattr(both, name).grad)
        assert (at.H if name == "W" else at.W).grad is None


def test_without_any_graph_both_parts_are_zero():
    at, theta = factors(learn_H=False, learn_W=False), uniform(3, 2).requires_grad_()
    ((P, N),) = Objective(as_matrix(data_for(Frobenius())), at, Criterion(Frobenius())).split_gradient([theta])
    assert P.shape == N.shape == theta.shape
    assert (P == 0).all()
    assert (N == 0).all()


def test_a_parameter_behind_neither_factor_has_parts_of_zero():
    at, theta = factors(), uniform(3, 2).requires_grad_()
    (P_H, _), (P, N) = Objective(as_matrix(data_for(Frobenius())), at, Criterion(Frobenius())).split_gradient(
        [at.H, theta]
    )
    assert (P_H > 0).all()
    assert (P == 0).all()
    assert (N == 0).all()


@every_kind
@every_divergence
def test_the_value_is_the_divergence_and_has_no_graph(divergence, kind):
    X, at = data_for(divergence), factors()
    value = Objective(matrix(X, kind), at, Criterion(divergence)).value()
    assert not value.requires_grad
    expected = divergence(X, (at.H @ at.W).detach()).sum()
    assert float(value) == pytest.approx(float(expected), rel=1e-12)

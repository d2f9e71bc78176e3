import pytest
import torch

from nmf_nets.constraints.exponential import Exponential
from nmf_nets.constraints.projected import Projected
from nmf_nets.constraints.softplus import Softplus
from nmf_nets.constraints.square import Square

MEMBERS = [(Projected(), "projected"), (Softplus(), "softplus"), (Square(), "square"), (Exponential(), "exponential")]

every_member = pytest.mark.parametrize("constraint", [c for c, _ in MEMBERS], ids=[name for _, name in MEMBERS])
every_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def thetas(dtype: torch.dtype) -> torch.Tensor:
    return torch.linspace(-60, 60, 242, dtype=dtype).reshape(2, 121)


def weights(dtype: torch.dtype) -> torch.Tensor:
    """From a little above ε to 1e4, densely around 20 and 40."""
    eps = torch.finfo(dtype).eps
    small = torch.logspace(torch.tensor(4 * eps).log10().item(), 4, 300, dtype=dtype)
    return torch.cat([small, torch.linspace(15, 45, 300, dtype=dtype)]).reshape(2, 300)


@every_dtype
@every_member
def test_the_right_inverse_is_one_for_positive_weights(constraint, dtype):
    W = weights(dtype)
    theta = constraint.right_inverse(W)
    assert theta.shape == W.shape
    assert theta.dtype == dtype
    torch.testing.assert_close(constraint.forward(theta), W, rtol=100 * torch.finfo(dtype).eps, atol=0)


@every_dtype
@every_member
def test_zero_is_reached_or_missed_by_epsilon(constraint, dtype):
    W = constraint.forward(constraint.right_inverse(torch.zeros(2, 3, dtype=dtype)))
    missed = 0.0 if isinstance(constraint, Projected | Square) else torch.finfo(dtype).eps
    torch.testing.assert_close(W, torch.full_like(W, missed), rtol=1e-4, atol=0)


@every_dtype
@every_member
def test_weights_are_non_negative_after_the_projection_of_any_theta(constraint, dtype):
    theta = thetas(dtype)
    constraint.project_(theta)
    W = constraint.forward(theta)
    assert bool((W >= 0).all())
    assert bool(W.isfinite().all())
    assert W.dtype == dtype


@every_member
def test_projecting_again_changes_nothing(constraint):
    theta = thetas(torch.float64)
    constraint.project_(theta)
    once = theta.clone()
    constraint.project_(theta)
    assert torch.equal(theta, once)


@every_member
def test_what_is_allowed_is_not_moved_by_the_projection(constraint):
    theta = constraint.right_inverse(weights(torch.float64)).clone()
    before = theta.clone()
    constraint.project_(theta)
    assert torch.equal(theta, before)


def test_the_projection_cuts_at_zero():
    theta = torch.tensor([[-1.0, 0.0, 2.0]], requires_grad=True)
    Projected().project_(theta)
    assert theta.tolist() == [[0, 0, 2]]
    assert theta.requires_grad


@every_dtype
@every_member
def test_gradients_are_finite(constraint, dtype):
    theta = thetas(dtype).requires_grad_()
    (gradient,) = torch.autograd.grad(constraint.forward(theta).sum(), theta)
    assert bool(gradient.isfinite().all())


@every_member
def test_gradients_are_finite_where_a_weight_started_at_zero(constraint):
    theta = constraint.right_inverse(torch.zeros(2, 3)).requires_grad_()
    (gradient,) = torch.autograd.grad(constraint.forward(theta).sum(), theta)
    assert bool(gradient.isfinite().all())


@every_member
def test_the_gradient_is_the_slope(constraint):
    theta = torch.linspace(-3, 50, 40, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(constraint.forward, theta)


@every_member
def test_a_small_weight_can_still_grow(constraint):
    theta = constraint.right_inverse(torch.full((1,), 1e-3, dtype=torch.float64)).clone().requires_grad_()
    (gradient,) = torch.autograd.grad(constraint.forward(theta).sum(), theta)
    assert float(gradient) > 0


@pytest.mark.parametrize("theta", [0.0, -1.0])
def test_a_projected_weight_can_leave_zero(theta):
    theta = torch.full((1,), theta, requires_grad=True)
    assert float(torch.autograd.grad(Projected().forward(theta).sum(), theta)[0]) == 1

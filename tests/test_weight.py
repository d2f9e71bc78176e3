import pytest
import torch
from torch import nn

from nmf_nets.constraints.exponential import Exponential
from nmf_nets.constraints.projected import Projected
from nmf_nets.constraints.softplus import Softplus
from nmf_nets.constraints.square import Square
from nmf_nets.weight import Weight, free_parameters_of, weights_of

MEMBERS = [(Projected(), "projected"), (Softplus(), "softplus"), (Square(), "square"), (Exponential(), "exponential")]
every_member = pytest.mark.parametrize("constraint", [c for c, _ in MEMBERS], ids=[name for _, name in MEMBERS])


def start(seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.rand(5, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype) + 0.01


@every_member
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_weight_begins_at_its_start_in_units_of_its_mean(constraint, dtype):
    W = start(dtype=dtype)
    weight = Weight(W, constraint)
    assert float(weight.unit) == pytest.approx(float(W.mean()), rel=1e-6)
    assert weight.unit.dtype == weight.theta.dtype == dtype
    assert float(constraint.forward(weight.theta.detach()).mean()) == pytest.approx(1, rel=1e-6)
    torch.testing.assert_close(weight.value, W, rtol=50 * torch.finfo(dtype).eps, atol=0)


@every_member
@pytest.mark.parametrize("scale", [1e-8, 3.0, 1e8])
def test_scaling_the_start_scales_the_unit_alone(constraint, scale):
    weight, scaled = Weight(start(), constraint), Weight(scale * start(), constraint)
    assert float(scaled.unit) == pytest.approx(scale * float(weight.unit), rel=1e-14)
    torch.testing.assert_close(scaled.theta, weight.theta, rtol=1e-12, atol=1e-14)


@every_member
@pytest.mark.parametrize("power", [-20, -1, 1, 20])
def test_scaling_the_start_by_a_power_of_four_changes_no_bit_of_theta(constraint, power):
    weight, scaled = Weight(start(), constraint), Weight(4.0**power * start(), constraint)
    assert torch.equal(scaled.theta, weight.theta)
    assert torch.equal(scaled.unit, 4.0**power * weight.unit)
    assert torch.equal(scaled.value, 4.0**power * weight.value)


@every_member
def test_a_weight_shares_nothing_with_its_start(constraint):
    W = start()
    weight = Weight(W, constraint)
    W.zero_()
    torch.testing.assert_close(weight.value, start(), rtol=1e-13, atol=0)


@every_member
def test_rows_are_rows_of_the_value(constraint):
    weight = Weight(start(), constraint)
    index = torch.tensor([3, 0, 3])
    torch.testing.assert_close(weight.rows(index), weight.value[index], rtol=1e-15, atol=0)


@every_member
def test_the_gradient_reaches_the_rows_that_were_read_and_no_others(constraint):
    weight = Weight(start(), constraint)
    weight.rows(torch.tensor([3, 1])).sum().backward()
    assert torch.nonzero(weight.theta.grad.abs().sum(1)).flatten().tolist() == [1, 3]


@every_member
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_a_whole_value_can_be_assigned(constraint, scale):
    weight = Weight(scale * start(), constraint)
    unit, theta = weight.unit.clone(), weight.theta
    weight.assign_(scale * start(1))
    torch.testing.assert_close(weight.value, scale * start(1), rtol=1e-12, atol=0)
    assert torch.equal(weight.unit, unit)
    assert weight.theta is theta
    assert theta.requires_grad
    assert theta.grad_fn is None


@every_member
def test_some_rows_can_be_assigned_and_the_others_stay(constraint):
    weight = Weight(start(), constraint)
    before = weight.value.detach().clone()
    rows = torch.tensor([4, 0])
    weight.assign_(start(1)[:2], rows)
    torch.testing.assert_close(weight.value[rows], start(1)[:2], rtol=1e-12, atol=0)
    assert torch.equal(weight.value[1:4], before[1:4])


@every_member
def test_what_is_assigned_is_copied(constraint):
    weight, W = Weight(start(), constraint), start(1)
    weight.assign_(W)
    W.zero_()
    torch.testing.assert_close(weight.value, start(1), rtol=1e-12, atol=0)


@every_member
def test_a_start_of_zeros_has_unit_one_and_can_be_left(constraint):
    weight = Weight(torch.zeros(3, 2, dtype=torch.float64), constraint)
    assert float(weight.unit) == 1
    assert bool((weight.value <= 1e-15).all())
    weight.assign_(torch.ones(3, 2, dtype=torch.float64))
    torch.testing.assert_close(weight.value, torch.ones(3, 2, dtype=torch.float64))


@every_member
def test_a_weight_stays_non_negative_through_gradient_steps(constraint):
    weight = Weight(start(), constraint)
    optimizer = torch.optim.SGD(weight.parameters(), lr=1.0)
    for _ in range(20):
        optimizer.zero_grad()
        weight.value.sum().backward()
        optimizer.step()
        weight.project_()
        assert bool((weight.value >= 0).all())
    assert float(weight.value.detach().mean()) < float(start().mean())


def test_the_unit_is_saved_and_not_trained():
    weight = Weight(start(), Projected())
    assert set(weight.state_dict()) == {"unit", "theta"}
    assert [name for name, _ in weight.named_parameters()] == ["theta"]
    other = Weight(5 * start(1), Projected())
    other.load_state_dict(weight.state_dict())
    assert torch.equal(other.value, weight.value)


class Part(nn.Module):
    def __init__(self):
        super().__init__()
        self.free = nn.Linear(2, 3)
        self.inner = nn.ModuleList([Weight(start(), Square()), nn.Linear(3, 1, bias=False)])
        self.outer = Weight(start(), Projected())
        self.scalar = nn.Parameter(torch.zeros(1))


def test_weights_and_free_parameters_share_a_part_among_them():
    part = Part()
    weights = weights_of(part)
    assert {id(w) for w in weights} == {id(part.inner[0]), id(part.outer)}
    assert len(weights) == 2
    free = free_parameters_of(part)
    assert set(free) == {"free.weight", "free.bias", "inner.1.weight", "scalar"}
    assert free["scalar"] is part.scalar
    assert len(free) + len(weights) == len(list(part.parameters()))


def test_a_weight_is_a_part_of_itself():
    weight = Weight(start(), Projected())
    assert weights_of(weight) == [weight]
    assert free_parameters_of(weight) == {}
    assert weights_of(nn.Linear(2, 2)) == []

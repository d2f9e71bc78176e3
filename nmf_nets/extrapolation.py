"""Going on beyond each half-step, for solvers and for nets that keep the codes of their rows."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

Number = Tensor | float
"""A tensor where the host would have to wait for the device."""


class Momentum(NamedTuple):
    """The last value of D, the weight b, its value before and the most that it may become."""

    value: Number
    b: Number
    b_before: Number
    b_most: Number


@dataclass(frozen=True)
class Extrapolation:
    """Each half-step goes on from [M + b (M − M_before)]₊; b grows while D falls, and shrinks when it does not.

    Source: Ang & Gillis (2019).
    """

    b: float = 0.5
    shrink: float = 1.5
    grow: float = 1.01
    grow_most: float = 1.005

    def begin(self, device: torch.device) -> Momentum:
        numbers = torch.tensor([math.inf, self.b, self.b, 1.0], dtype=torch.float64).to(device)
        return Momentum(*(on_host(number) for number in numbers))

    def judge(self, value: Number, momentum: Momentum) -> tuple[Any, Momentum]:
        """Whether D rose, so that the factors before have to be taken again, and what b is next."""
        last, b, b_before, b_most = momentum
        rose = either(value <= last, False, True)  # or is not a number
        grown, most = _least(self.grow * b, b_most), _least(self.grow_most * b_most, 1.0)
        return rose, Momentum(value, either(rose, b / self.shrink, grown), b, either(rose, b_before, most))


def beyond(before: Tensor, after: Tensor, b: Number) -> Tensor:
    """[after + b (after − before)]₊."""
    weight = 1 + b
    return torch.lerp(before, after, weight.to(after.dtype) if isinstance(weight, Tensor) else weight).clamp_(min=0)


def on_host(value: Tensor) -> Number:
    """A number, unless that would make the host wait for the device."""
    return float(value) if value.device.type == "cpu" else value


def either(condition: Any, one: Any, other: Any) -> Any:
    """`one if condition else other`, on whichever side the condition is known."""
    return torch.where(condition, one, other) if isinstance(condition, Tensor) else one if condition else other


def _least(one: Number, other: Number) -> Number:
    return either(one < other, one, other)

"""A weight under a constraint: what decoders, tables and non-negative encoders are made of."""

import torch
from torch import Tensor, nn

from nmf_nets.constraints.base import Constraint
from nmf_nets.criterion import PLAIN, Terms
from nmf_nets.division import divisor
from nmf_nets.shapes import Rows


class Weight(nn.Module):
    """W = unit · constraint(θ), with unit the mean size of the start, or 1 where the constraint is absolute.

    θ has no units: X → cX scales `unit` alone, so that neither a learning rate nor a constraint knows the scale of X.
    terms: penalties on Wᵀ, for a weight that is itself neither H nor W; of a decoder's weights every step heeds them.
    """

    unit: Tensor

    def __init__(self, start: Tensor, constraint: Constraint, terms: Terms = PLAIN):
        super().__init__()
        self.constraint, self.terms = constraint, terms
        mean = start.abs().mean()
        self.register_buffer("unit", torch.ones_like(mean) if constraint.absolute else divisor(mean))
        self.theta = nn.Parameter(constraint.right_inverse(start / self.unit))

    @property
    def value(self) -> Tensor:
        return self.unit * self.constraint.forward(self.theta)

    def rows(self, index: Rows) -> Tensor:
        return self.unit * self.constraint.forward(self.theta[index])

    @torch.no_grad()
    def assign_(self, value: Tensor, rows: Rows | None = None) -> None:
        theta = self.constraint.right_inverse(value / self.unit)
        if rows is None:
            self.theta.copy_(theta)
        else:
            self.theta[rows] = theta

    def project_(self) -> None:
        self.constraint.project_(self.theta)


def weights_of(part: nn.Module) -> list[Weight]:
    """In the order in which the part made them."""
    return [module for module in part.modules() if isinstance(module, Weight)]


def named_weights(part: nn.Module) -> dict[str, Weight]:
    """The same, by name."""
    return {name: module for name, module in part.named_modules() if isinstance(module, Weight)}


def free_parameters_of(part: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters, by name, that are not in a Weight."""
    owned = {id(weight.theta) for weight in weights_of(part)}
    return {name: parameter for name, parameter in part.named_parameters() if id(parameter) not in owned}

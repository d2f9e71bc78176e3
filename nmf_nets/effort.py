"""How often a half-step is worth repeating."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nmf_nets.matrix import Matrix
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Rows


@dataclass(frozen=True)
class Effort:
    """How often a half-step is repeated before the next product with X: `repeats` times at most, or where that is
    None 1 + `alpha` ρ times, ρ being the cost of the products in steps; rows that move by at most `progress` times
    what their first step did are left.

    Source: Gillis & Glineur (2012), who stop all rows at once.
    """

    repeats: int | None = 1
    alpha: float = 0.5
    progress: float = 0.0

    def most(self, X: Matrix, n_components: int) -> int:
        return self.most_of(X.whole.shape, X.whole.n_values, n_components)

    def most_of(self, shape: tuple[int, int], values: int, n_components: int) -> int:
        """For an X of that shape with so many values."""
        if self.repeats is not None:
            return self.repeats
        n, m = shape
        rho = 1 + (values + m * n_components) / (n * n_components + n)
        return math.floor(1 + self.alpha * rho)


ONCE = Effort()


class Ramp(nn.Module):
    """Half-steps that codes without a memory are worth in training: ⌊exp(t / length)⌋ − 1 more than at first in step t.

    Codes that are exact from the start lead W into worse local minima than codes that get exact with it, and cost more.
    length 0: all of them from the start. The number of steps taken is in the state of the module.
    """

    def __init__(self, length: float):
        if not length >= 0:
            raise Refusal(f"encoder.ramp is {length}, but must be 0, which takes all half-steps at once, or above.")
        super().__init__()
        self.length, self.taken = length, 0

    def steps(self, most: int, at_first: int, rows: Rows | None) -> int:
        """For the next step of training on these rows; `most` outside it and for rows without a place in it."""
        if not self.training or rows is None:
            return most
        t, self.taken = self.taken, self.taken + 1
        steps = math.inf if self.length == 0 or t > 50 * self.length else math.exp(t / self.length)
        return most if steps > most else min(most, at_first + math.floor(steps) - 1)

    def get_extra_state(self) -> Tensor:
        return torch.tensor(self.taken)

    def set_extra_state(self, state: Tensor) -> None:
        self.taken = int(state)

"""How often a half-step is worth repeating."""

import math
from dataclasses import dataclass

from nmf_nets.matrix import Matrix


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
        if self.repeats is not None:
            return self.repeats
        n, m = X.shape
        rho = 1 + (X.values.numel() + m * n_components) / (n * n_components + n)
        return math.floor(1 + self.alpha * rho)


ONCE = Effort()

"""What divergences and units know of X alone, summed over its rows."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from nmf_nets.group import Group
from nmf_nets.matrix import Matrix, Whole


@dataclass(frozen=True)
class Totals:
    """Of all rows of X, wherever they lie; sums count each entry v times.

    values: how many are stored. mass: how many entries count, n m or Σ v. heaviest: the largest weight, 1 without.
    least: of each feature, the least v x above 0; infinite where there is none.
    """

    n_samples: int
    values: int
    sum: float
    square_norm: float
    self_entropy: float
    mass: float
    weighted: bool
    heaviest: float
    least: Tensor

    @classmethod
    def none(cls, n_features: int) -> "Totals":
        """Of no rows."""
        return cls(0, 0, 0.0, 0.0, 0.0, 0.0, False, 0.0, torch.full((n_features,), math.inf, dtype=torch.float64))

    @classmethod
    def of(cls, X: Matrix) -> "Totals":
        v = X.weights
        return cls(
            X.shape[0],
            X.values.numel(),
            float(X.sum),
            float(X.square_norm),
            float(X.self_entropy),
            float(X.mass),
            v is not None,
            1.0 if v is None else float(v.max()) if len(v) else 0.0,
            _least(X),
        )

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(
            self.n_samples + other.n_samples,
            self.values + other.values,
            self.sum + other.sum,
            self.square_norm + other.square_norm,
            self.self_entropy + other.self_entropy,
            self.mass + other.mass,
            self.weighted or other.weighted,
            max(self.heaviest, other.heaviest),
            torch.minimum(self.least, other.least),
        )

    def over(self, group: Group) -> "Totals":
        """Of the rows of all ranks."""
        sums = torch.tensor(
            [self.n_samples, self.values, self.sum, self.square_norm, self.self_entropy, self.mass], dtype=torch.float64
        )
        most = torch.cat([torch.tensor([float(self.weighted), self.heaviest], dtype=torch.float64), -self.least])
        group.sum_(sums)
        group.max_(most)
        n, values, total, square_norm, self_entropy, mass = sums.tolist()
        weighted, heaviest = most[:2].tolist()
        return Totals(
            round(n), round(values), total, square_norm, self_entropy, mass, bool(weighted), heaviest, -most[2:]
        )

    def divided(self, unit: float) -> "Totals":
        """Of X / unit."""
        entropy = (self.self_entropy - math.log(unit) * self.sum) / unit
        return Totals(
            self.n_samples,
            self.values,
            self.sum / unit,
            self.square_norm / unit**2,
            entropy,
            self.mass,
            self.weighted,
            self.heaviest,
            self.least / unit,
        )

    @property
    def mean(self) -> float:
        return self.sum / (self.mass or 1.0)

    def whole(self, device: torch.device) -> Whole:
        """What blocks of X are some rows of."""
        total = torch.tensor(self.sum, dtype=torch.float64, device=device)
        return Whole((self.n_samples, len(self.least)), self.values, total, self.mass)


def _least(X: Matrix) -> Tensor:
    x = X.values if X.weights is None else X.weights * X.values
    x = torch.where(x > 0, x, math.inf).double().cpu()
    if not X.is_sparse:
        return x.amin(0)
    least = torch.full((X.shape[1],), math.inf, dtype=torch.float64)
    columns = X.columns(torch.arange(X.shape[1], device=X.device)).cpu()
    return least.scatter_reduce_(0, columns, x, "amin")

"""Data with planted factors, so that recovery can be measured."""

from typing import Any

import torch

from nmf_nets.as_matrix import as_matrix
from nmf_nets.data.base import Dataset, MatrixDataModule
from nmf_nets.refusal import Refusal, refuse_count, refuse_number


class Synthetic(MatrixDataModule):
    """X = [H W ∘ (1 + noise · ε)]₊, ε standard normal, H and W exponential with a part `density` of their entries kept.

    Every row of H and of W keeps at least one entry.
    density_W: of W, where it is another: with 1 no component has a feature to itself.
    """

    def __init__(
        self,
        n_samples: int = 500,
        n_features: int = 100,
        n_components: int = 8,
        density: float = 0.3,
        noise: float = 0.05,
        density_W: float | None = None,
        **rows: Any,
    ):
        super().__init__(**rows)
        densities = (density, density if density_W is None else density_W)
        counts = {"data.n_samples": n_samples, "data.n_features": n_features, "data.n_components": n_components}
        for name, value in counts.items():
            refuse_count(name, value)
        for name, value, most in (
            ("density", densities[0], 1.0),
            ("density_W", densities[1], 1.0),
            ("noise", noise, None),
        ):
            refuse_number(f"data.{name}", value, most)
        if not min(densities) > 0:
            raise Refusal(f"data.density and data.density_W must be above 0, but are {densities}.")
        self.shape, self.n_components = (n_samples, n_features), n_components
        self.densities, self.noise = densities, noise

    def load(self) -> Dataset:
        n, m = self.shape
        generator = torch.Generator().manual_seed(self.seed)

        def sparse_rows(height: int, width: int, density: float) -> torch.Tensor:
            values = torch.rand(height, width, generator=generator, dtype=torch.float64).log().neg()
            chance = torch.rand(height, width, generator=generator)
            return values * (chance <= chance.min(1, keepdim=True).values.clamp(min=density))

        r, (of_H, of_W) = self.n_components, self.densities
        H, W = sparse_rows(n, r, of_H), sparse_rows(r, m, of_W)
        noise = torch.randn(n, m, generator=generator, dtype=torch.float64)
        X = (H @ W * (1 + self.noise * noise)).clamp(min=0)
        return Dataset(as_matrix(X, self.dtype), truth=W.to(self.dtype))

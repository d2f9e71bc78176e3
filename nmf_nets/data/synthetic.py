"""Data with planted factors, so that recovery can be measured."""

from typing import Any

import torch

from nmf_nets.as_matrix import as_matrix
from nmf_nets.data.base import Dataset, MatrixDataModule
from nmf_nets.refusal import Refusal


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
        if min(n_samples, n_features, n_components) < 1 or not all(0 < part <= 1 for part in densities) or noise < 0:
            raise Refusal(
                f"data=synthetic needs n_samples, n_features, n_components ≥ 1, 0 < densities ≤ 1 and noise ≥ 0, but "
                f"they are {n_samples}, {n_features}, {n_components}, {densities} and {noise}."
            )
        self.shape, self.n_components, self.densities, self.noise = (
            (n_samples, n_features),
            n_components,
            densities,
            noise,
        )

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

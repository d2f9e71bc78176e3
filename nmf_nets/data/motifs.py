"""A sequence in which planted motifs are played, so that recovery can be measured."""

from typing import Any

import numpy as np
import torch

from nmf_nets.as_matrix import as_matrix
from nmf_nets.data.base import Dataset, MatrixDataModule
from nmf_nets.lags import delayed
from nmf_nets.refusal import Refusal


class Motifs(MatrixDataModule):
    """X = [Σ_τ S_τ H W_τ ∘ (1 + noise · ε)]₊, ε standard normal: `n_components` motifs of `lags` rows.

    Each begins in any row with the chance `density`, as loud as U(½, 1) says. Its entries are exponential, a part
    `sparsity` of them zero. Parts are contiguous unless told otherwise, and no motif is cut off where one ends.
    """

    def __init__(
        self,
        n_samples: int = 1500,
        n_features: int = 40,
        n_components: int = 3,
        lags: int = 10,
        density: float = 0.03,
        sparsity: float = 0.7,
        noise: float = 0.1,
        contiguous: bool = True,
        **rows: Any,
    ):
        super().__init__(contiguous=contiguous, **rows)
        if not (min(n_samples, n_features, n_components, lags) >= 1 and 0 < density <= 1 and 0 <= sparsity < 1):
            raise Refusal(
                "data=motifs needs n_samples, n_features, n_components, lags ≥ 1, 0 < density ≤ 1 and 0 ≤ sparsity < 1"
                f", but they are {n_samples}, {n_features}, {n_components}, {lags}, {density} and {sparsity}."
            )
        if not noise >= 0:
            raise Refusal(f"data.noise is {noise}, but must be 0 or more.")
        self.shape, self.n_components, self.lags = (n_samples, n_features), n_components, lags
        self.density, self.sparsity, self.noise = density, sparsity, noise

    def load(self) -> Dataset:
        (n, m), r = self.shape, self.n_components
        generator = torch.Generator().manual_seed(self.seed)

        def uniform(*shape: int) -> torch.Tensor:
            return torch.rand(shape, generator=generator, dtype=torch.float64)

        motifs = -uniform(r, self.lags, m).log() * (uniform(r, self.lags, m) >= self.sparsity)
        chance = uniform(n, r)
        begun = chance <= self.density
        for end in np.cumsum(self.sizes(n)):
            begun[max(0, end - self.lags + 1) : end] = False
        H = (0.5 + 0.5 * uniform(n, r)) * begun
        clean = delayed(H, self.lags) @ motifs.transpose(0, 1).reshape(-1, m)
        noise = torch.randn(n, m, generator=generator, dtype=torch.float64)
        X = (clean * (1 + self.noise * noise)).clamp(min=0)
        return Dataset(as_matrix(X, self.dtype), motifs=motifs.to(self.dtype))

"""Gaussian clusters: data of any sign, for semi-NMF."""

from typing import Any

import torch

from nmf_nets.as_matrix import as_matrix
from nmf_nets.data.base import Dataset, MatrixDataModule
from nmf_nets.refusal import Refusal


class Clusters(MatrixDataModule):
    """X = M[labels] + ε: centres M and noise ε standard normal, the centres times `separation`; the mean of X is zero.

    The classes of the samples are their clusters.
    """

    def __init__(
        self,
        n_samples: int = 600,
        n_features: int = 20,
        n_clusters: int = 6,
        separation: float = 1.0,
        **rows: Any,
    ):
        super().__init__(**rows)
        if min(n_samples, n_features, n_clusters) < 1 or not separation >= 0:
            raise Refusal(
                "data=clusters needs n_samples, n_features, n_clusters ≥ 1 and separation ≥ 0, but they are "
                f"{n_samples}, {n_features}, {n_clusters} and {separation}."
            )
        self.shape, self.n_clusters, self.separation = (n_samples, n_features), n_clusters, separation

    def load(self) -> Dataset:
        n, m = self.shape
        generator = torch.Generator().manual_seed(self.seed)
        labels = torch.arange(n) % self.n_clusters
        centres = self.separation * torch.randn(self.n_clusters, m, generator=generator, dtype=torch.float64)
        X = centres[labels] + torch.randn(n, m, generator=generator, dtype=torch.float64)
        return Dataset(as_matrix(X - X.mean(0), self.dtype, signed=True), labels=labels.numpy())

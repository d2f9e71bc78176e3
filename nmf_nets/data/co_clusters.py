"""Data with planted clusters of samples and of features, so that co-clustering can be measured."""

from typing import Any

import torch

from nmf_nets.as_matrix import as_matrix
from nmf_nets.data.base import Dataset, MatrixDataModule
from nmf_nets.refusal import Refusal


class CoClusters(MatrixDataModule):
    """x_ij = [b_(a_i, c_j) + noise · ε]₊: blocks of one mean each, in rows and columns that stand in any order.

    Means b are exponential of mean 1, a_i and c_j of equal numbers up to one, ε standard normal. Labels are a and c,
    the true components the rows of b on the features.
    """

    def __init__(
        self,
        n_samples: int = 300,
        n_features: int = 200,
        n_sample_clusters: int = 5,
        n_feature_clusters: int = 4,
        noise: float = 0.3,
        **rows: Any,
    ):
        super().__init__(**rows)
        sizes = n_samples, n_features, n_sample_clusters, n_feature_clusters
        if min(sizes) < 1 or n_sample_clusters > n_samples or n_feature_clusters > n_features or noise < 0:
            raise Refusal(
                f"data=co_clusters needs clusters ≥ 1, no more than there are samples and features, and noise ≥ 0, but "
                f"has n_samples={n_samples}, n_features={n_features}, n_sample_clusters={n_sample_clusters}, "
                f"n_feature_clusters={n_feature_clusters} and noise={noise}."
            )
        self.shape, self.clusters, self.noise = (n_samples, n_features), (n_sample_clusters, n_feature_clusters), noise

    def load(self) -> Dataset:
        generator = torch.Generator().manual_seed(self.seed)
        a, c = (
            torch.randperm(length, generator=generator) % number
            for length, number in zip(self.shape, self.clusters, strict=True)
        )
        means = torch.rand(self.clusters, generator=generator, dtype=torch.float64).log().neg()
        noise = torch.randn(self.shape, generator=generator, dtype=torch.float64)
        X = (means[a][:, c] + self.noise * noise).clamp(min=0)
        return Dataset(
            as_matrix(X, self.dtype), truth=means[:, c].to(self.dtype), labels=a.numpy(), feature_labels=c.numpy()
        )

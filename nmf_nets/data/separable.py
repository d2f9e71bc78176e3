"""Data with rows that all others are made of."""

from typing import Any

import numpy as np

from nmf_nets.as_matrix import as_matrix
from nmf_nets.data.base import Dataset, MatrixDataModule
from nmf_nets.refusal import Refusal


class Separable(MatrixDataModule):
    """X = [H X[J] ∘ (1 + noise · ε)]₊, ε standard normal, with the n_components rows J anywhere among the others.

    X[J] has exponential entries, in rows of unit sum; codes of the other rows are Dirichlet with that concentration.
    All rows are for training unless held-out parts are asked for, which may take rows of J away.
    """

    def __init__(
        self,
        n_samples: int = 500,
        n_features: int = 100,
        n_components: int = 8,
        concentration: float = 0.5,
        noise: float = 0.0,
        validation: float = 0.0,
        test: float = 0.0,
        **rows: Any,
    ):
        super().__init__(validation, test, **rows)
        if not (n_samples >= n_components >= 1 and n_features >= 1 and concentration > 0 and noise >= 0):
            raise Refusal(
                "data=separable needs n_samples ≥ n_components ≥ 1, n_features ≥ 1, concentration > 0 and noise ≥ 0, "
                f"but they are {n_samples}, {n_components}, {n_features}, {concentration} and {noise}."
            )
        self.shape, self.n_components = (n_samples, n_features), n_components
        self.concentration, self.noise = concentration, noise

    def load(self) -> Dataset:
        (n, m), r = self.shape, self.n_components
        chance = np.random.default_rng(self.seed)
        W = chance.dirichlet(np.ones(m), r)
        H = np.concatenate([np.eye(r), chance.dirichlet(np.full(r, self.concentration), n - r)])[chance.permutation(n)]
        X = np.maximum(H @ W * (1 + self.noise * chance.standard_normal((n, m))), 0)
        return Dataset(as_matrix(X, self.dtype), truth=as_matrix(W, self.dtype).dense())

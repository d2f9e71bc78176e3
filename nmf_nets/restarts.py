"""Many starts of many numbers of components."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nmf_nets.divergences.base import Divergence
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix


@dataclass(frozen=True)
class Fits:
    """Of one number of components: the factors that each start came to, and D(X | H W) with them, in float64."""

    H: Float[Tensor, "starts samples components"]
    W: Float[Tensor, "starts components features"]
    losses: Float[Tensor, " starts"]

    def __len__(self) -> int:
        return len(self.losses)

    def __getitem__(self, start: int) -> Factorization:
        return Factorization(self.H[start], self.W[start])


class Restarts:
    """X and the divergence, and for each of the `numbers` of components the fits from `seeds` random starts.

    Fits are made when they are first asked for, and kept until `forget`.
    """

    def __init__(
        self,
        X: Matrix,
        divergence: Divergence,
        numbers: Sequence[int],
        seeds: int = 50,
        max_iter: int = 1000,
        tol: float = 1e-5,
        seed: int = 0,
    ):
        self.X, self.divergence = X, divergence
        self.numbers, self.seeds, self.max_iter, self.tol, self.seed = numbers, seeds, max_iter, tol, seed
        self._fits: dict[int, Fits] = {}

    def __getitem__(self, n_components: int) -> Fits:
        raise NotImplementedError

    def forget(self, n_components: int) -> None:
        self._fits.pop(n_components, None)

"""The classical solver of symmetric NMF."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Codes
from nmf_nets.updates.base import GramUpdate
from nmf_nets.updates.pivoting import Pivoting


@dataclass(frozen=True)
class SymmetricSolver:
    """A ≈ H Hᵀ by alternating steps on ½ ‖A − H Uᵀ‖² + ½ α ‖H − U‖², so that the two factors become one.

    α is max(A) at first, and `growth` times as much in every iteration. Yields (U, Uᵀ), whose D may rise on the way.
    Sparse A stays sparse.
    Source: Kuang, Ding & Park (2012), whose α is constant.
    """

    update: GramUpdate = field(default_factory=Pivoting)
    growth: float = 1.01

    def iterates(self, X: Matrix, start: Factorization) -> Iterator[Factorization]:
        """For ever, from the H of the start."""
        if X.shape[0] != X.shape[1] or X.weights is not None:
            raise Refusal(f"symmetric NMF needs a square matrix without weights, but X has the shape {X.shape}.")
        H = U = start.H
        alpha = X.row_max(X.values).max()
        while True:
            H = self._step(X, H, U, alpha)
            U = self._step(X.T, U, H, alpha)
            alpha = alpha * self.growth
            yield Factorization(U, U.T)

    def _step(self, X: Matrix, H: Codes, U: Codes, alpha: torch.Tensor) -> Codes:
        one = torch.eye(U.shape[1], dtype=U.dtype, device=U.device)
        return self.update.solve(H, X @ U + alpha * U, U.T @ U + alpha * one, 1, 0.0)

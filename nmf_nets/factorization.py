"""The value that nets and solvers return and that metrics, plots and the benchmark eat."""

from dataclasses import dataclass
from typing import Any

import torch

from nmf_nets.division import ratio
from nmf_nets.shapes import Codes, Components, Data


@dataclass(frozen=True)
class Factorization:
    """X ≈ H W."""

    H: Codes
    W: Components

    @property
    def n_components(self) -> int:
        return self.W.shape[0]

    @property
    def reconstruction(self) -> Data:
        return self.H @ self.W

    def to(self, *args: Any) -> "Factorization":
        return Factorization(self.H.to(*args), self.W.to(*args))

    def detach(self) -> "Factorization":
        return Factorization(self.H.detach(), self.W.detach())

    def clone(self) -> "Factorization":
        return Factorization(self.H.clone(), self.W.clone())

    def balanced(self) -> "Factorization":
        """The same product with ‖h_k‖ = ‖w_k‖ for every component; a dead component becomes zero on both sides."""
        h, w = torch.linalg.vector_norm(self.H, dim=0), torch.linalg.vector_norm(self.W, dim=1)
        size = (h * w).sqrt()
        return Factorization(self.H * ratio(size, h), self.W * ratio(size, w)[:, None])

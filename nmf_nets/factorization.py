"""The value that nets and solvers return and that metrics, plots and the benchmark eat."""

from dataclasses import dataclass, replace
from typing import Any

import torch

from nmf_nets.division import ratio
from nmf_nets.matrix import Matrix
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Codes, Components, Data


@dataclass(frozen=True)
class Factorization:
    """X ≈ H W."""

    H: Codes
    W: Components
    copies: int = 1
    """How many columns of H, and rows of W, each component has: first the first ones of all components, and so on."""

    @property
    def n_components(self) -> int:
        return self.W.shape[0]

    @property
    def reconstruction(self) -> Data:
        return self.H @ self.W

    def to(self, *args: Any) -> "Factorization":
        return replace(self, H=self.H.to(*args), W=self.W.to(*args))

    def detach(self) -> "Factorization":
        return replace(self, H=self.H.detach(), W=self.W.detach())

    def clone(self) -> "Factorization":
        return replace(self, H=self.H.clone(), W=self.W.clone())

    def balanced(self) -> "Factorization":
        """The same product with ‖h_k‖ = ‖w_k‖ for every component; a dead component becomes zero on both sides."""
        h, w = (torch.linalg.vector_norm(M, dim=k, dtype=torch.float64) for k, M in enumerate((self.H, self.W)))
        size = h.sqrt() * w.sqrt()
        of_H, of_W = ratio(size, h).to(self.H.dtype), ratio(size, w).to(self.W.dtype)
        return replace(self, H=self.H * of_H, W=self.W * of_W[:, None])


def finite(M: torch.Tensor, name: str, X: Matrix) -> torch.Tensor:
    """The factor, or its half. Raises Refusal where numbers of its dtype have overflowed; this waits for the device."""
    if not bool(M.isfinite().all()):
        raise Refusal(
            f"{name} would not be finite: X, with a mean of {float(X.mean):.3g}, and what it is to be factored by or "
            f"penalised with are too far apart for {M.dtype}; divide X by its largest entry, or work in float64."
        )
    return M


def refuse_equal_components(start: Factorization) -> None:
    """Raises Refusal where no step could tell one component from another."""
    if start.n_components > 1 and bool((start.H[:, :1] == start.H).all() & (start.W[:1] == start.W).all()):
        raise Refusal("all components of start are the same, and would stay so; start from different ones.")

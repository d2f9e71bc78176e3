"""Lee and Seung's step, for every β."""

import torch

from nmf_nets.cold_start import lifted_codes
from nmf_nets.divergences.base import Divergence
from nmf_nets.matrix import Matrix
from nmf_nets.shapes import Codes, Components
from nmf_nets.updates.base import Update


def multiplied(M: torch.Tensor, P: torch.Tensor, N: torch.Tensor, exponent: float) -> torch.Tensor:
    """M ∘ (N / P)^exponent; where P = 0 nothing pulls, and M is left as it is.

    Where M is nearly nothing P is too, and the ratio overflows; a smaller one is still on the way to the minimum.
    """
    ratio = torch.where(P > 0, N / P, 1).clamp(max=torch.finfo(M.dtype).max)
    return M * (ratio if exponent == 1 else ratio**exponent)


class Multiplicative(Update):
    """H ← H ∘ (N / P)^γ(β); monotone. An exact zero stays zero: start strictly positive.

    Cold start: lifted least squares.
    Source: Lee & Seung (2001), Févotte & Idier (2011).
    """

    def __init__(self, divergence: Divergence):
        self.divergence = divergence

    def lowers(self, divergence: Divergence) -> bool:
        return divergence.beta == self.divergence.beta

    def __call__(self, X: Matrix, H: Codes | None, W: Components, repeats: int = 1, progress: float = 0.0) -> Codes:
        H = lifted_codes(X, W) if H is None else H
        first: torch.Tensor | None = None
        going = torch.ones_like(H[:, :1], dtype=torch.bool)
        for repeat in range(repeats):
            if repeat % 20 == 19 and not bool(going.any()):  # seldom, as it waits for the device
                break
            new = multiplied(H, *self.divergence.split_gradient(X, H, W), self.divergence.exponent)
            new = torch.where(going, new, H)
            if repeats > 1:
                moved = torch.linalg.vector_norm(new - H, dim=1, keepdim=True)
                first = moved if first is None else first
                going = moved > progress * first
            H = new
        return H

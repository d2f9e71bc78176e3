"""The interface of a divergence and the arithmetic that every β shares."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor

from nmf_nets.factorization import Factorization
from nmf_nets.matrix import DenseMatrix, Matrix
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Codes, Components, Data, PerSample, Scalar


class Divergence(ABC):
    """D(X | X̂) = Σ d_β(x | x̂), a sum over entries; stateless.

    d_β(cx | cy) = c^β d_β(x | y), so a divergence is compared across data only relative to `unit`.
    Source: Févotte & Idier (2011).
    """

    beta: float

    @abstractmethod
    def __call__(self, X: Data, X_hat: Data) -> PerSample:
        """The divergence of each sample."""

    @abstractmethod
    def total(self, X: Matrix, factors: Factorization) -> Scalar:
        """Σ over all entries, in float64, without forming H W as a whole."""

    @abstractmethod
    def split_gradient(self, X: Matrix, H: Codes, W: Components) -> tuple[Codes, Codes]:
        """P, N ≥ 0 with ∂D/∂H = P − N; for W pass X.T, W.T, H.T."""

    @property
    def exponent(self) -> float:
        """γ(β) of the multiplicative step (N / P)^γ, with which D never rises."""
        return 1 / (2 - self.beta) if self.beta < 1 else 1 / (self.beta - 1) if self.beta > 2 else 1.0

    def unit(self, X: Matrix) -> Scalar:
        """n m mean(X)^β: what D is worth on these data, for learning rates that do not depend on scale or size."""
        n, m = X.shape
        return n * m * X.mean.double().clamp(min=torch.finfo(X.dtype).tiny) ** self.beta

    def rounding(self, X: Matrix) -> float:
        """What is left of D when factors in float32 are exact: values below are no more than that."""
        return 1e-12 * float(self.unit(X))

    def refuse(self, X: Matrix) -> None:
        """Raises Refusal if X holds zeros and β ≤ 0, where D is infinite."""
        if self.beta > 0 or int((X.values > 0).sum()) == X.shape[0] * X.shape[1]:
            return
        i, j = next(
            (rows.start + int(i), int(j))
            for rows, block in _dense_blocks(X)
            for i, j in torch.nonzero(block.dense() == 0)[:1]
        )
        raise Refusal(
            f"divergence with β = {self.beta:g} needs X > 0, but X[{i}, {j}] is 0; use β > 0 "
            "(divergence=kullback_leibler, say), or add a small constant to X."
        )


def floor(X: Matrix) -> Scalar:
    """ε² mean(X): under x̂ where it is divided by or logged, so that a dead reconstruction costs much, not infinity."""
    return (X.mean * torch.finfo(X.dtype).eps ** 2).clamp(min=torch.finfo(X.dtype).tiny)


def floored(X: Data, X_hat: Data) -> Data:
    """x̂ where it is divided by or logged; the floor is that of these samples."""
    return X_hat.clamp(min=floor(DenseMatrix(X)))


def blockwise_total(divergence: Divergence, X: Matrix, factors: Factorization) -> Scalar:
    """Σ over row blocks that are dense one at a time, in float64."""
    H, W = factors.H.double(), factors.W.double()
    parts = [divergence(block.dense().double(), H[rows] @ W).sum() for rows, block in _dense_blocks(X)]
    return torch.stack(parts).sum()


def power_split(beta: float, X: Matrix, H: Codes, W: Components) -> tuple[Codes, Codes]:
    """P = X̂^(β−1) Wᵀ over all entries, N = (X ∘ X̂^(β−2)) Wᵀ over the stored ones."""
    least = floor(X)
    X_hat = X.sample(H, W).clamp(min=least)
    N = X.with_values(X.values / X_hat * X_hat ** (beta - 1)) @ W.T  # so, 0 X̂^(β−2) does not become 0 · ∞
    P = torch.cat([(H[rows] @ W).clamp(min=least) ** (beta - 1) @ W.T for rows, _ in _dense_blocks(X)])
    return P, N


def _dense_blocks(X: Matrix) -> Iterator[tuple[slice, Matrix]]:
    n, m = X.shape
    height = max(1, 2**22 // m)
    for start in range(0, n, height):
        stop = min(n, start + height)
        yield slice(start, stop), X.span(start, stop)


def xlogy_ratio(x: Tensor, y: Tensor) -> Tensor:
    """x log(x / y) with 0 log 0 = 0."""
    return torch.xlogy(x, x) - torch.xlogy(x, y)

"""The interface of a divergence and the arithmetic that every β shares."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor

from nmf_nets.factorization import Factorization
from nmf_nets.matrix import DenseMatrix, Matrix
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Codes, Components, Data, PerSample, Scalar

DECADES = 280
"""Powers of ten of mean(X)^β, up and down, that leave room in float64 for a sum over many and uneven entries."""


class Divergence(ABC):
    """D(X | X̂) = Σ v d_β(x | x̂), a sum over entries with the weights of X; stateless.

    d_β(cx | cy) = c^β d_β(x | y), so a divergence is compared across data only relative to `unit`.
    Source: Févotte & Idier (2011).
    """

    beta: float

    @abstractmethod
    def entries(self, x: Tensor, x_hat: Tensor, least: Scalar) -> Tensor:
        """d_β(x | x̂) of each entry, x̂ floored at `least` where it is divided by or logged."""

    @abstractmethod
    def unweighted_total(self, X: Matrix, factors: Factorization) -> Scalar:
        """`total` where every entry counts once."""

    @abstractmethod
    def unweighted_split(self, X: Matrix, H: Codes, W: Components) -> tuple[Codes, Codes]:
        """`split_gradient` where every entry counts once."""

    def __call__(self, X: Data, X_hat: Data) -> PerSample:
        """The divergence of each sample; the floor is that of these samples."""
        return self.entries(X, X_hat, floor(DenseMatrix(X))).sum(1)

    def total(self, X: Matrix, factors: Factorization) -> Scalar:
        """Σ over all entries, in float64, without forming H W as a whole."""
        if X.weights is None:
            return self.unweighted_total(X, factors)
        H, W = factors.H.double(), factors.W.double()
        least = floor(X).double()
        parts = []
        for rows, block in X.blocks():
            block = block.to(torch.float64)
            seen = block.given_weights > 0
            x = torch.where(
                seen, block.values, 1
            )  # whatever stands elsewhere, its slope is finite, and 0 times it is 0
            entries = self.entries(x, block.sample(H[rows], W), least)
            parts.append(torch.where(seen, block.given_weights * entries, 0).sum())
        return torch.stack(parts).sum()

    def split_gradient(self, X: Matrix, H: Codes, W: Components) -> tuple[Codes, Codes]:
        """P, N ≥ 0 with ∂D/∂H = P − N; for W pass X.T, W.T, H.T."""
        if X.weights is None:
            return self.unweighted_split(X, H, W)
        X_hat = X.sample(H, W)
        floored = X_hat.clamp(min=floor(X))
        pull = X.weights * (X_hat if self.beta >= 1 else floored) ** (self.beta - 1)
        push = X.weights * X.values / floored * floored ** (self.beta - 1)
        return X.with_values(pull) @ W.T, X.with_values(push) @ W.T

    @property
    def powers(self) -> tuple[float, float]:
        """The power of t = h_new / h in P of the separable majoriser, and in its N."""
        return max(0.0, self.beta - 1), min(0.0, self.beta - 2)

    @property
    def exponent(self) -> float:
        """γ(β) of the multiplicative step (N / P)^γ, with which D never rises."""
        high, low = self.powers
        return 1 / (high - low)

    @property
    def tied_exponent(self) -> float:
        """The exponent with which D never rises where X̂ is of the second degree in the weight, as X Wᵀ W is.

        By the means of the pairs t_a t_b, the power of t is 2β − 1 in P and −1 in N for β ≥ 1, else 1 and 2β − 3.
        """
        return 0.5 / max(self.beta, 2 - self.beta)

    def unit(self, X: Matrix) -> Scalar:
        """n m mean(X)^β: what D is worth on these data, for learning rates that do not depend on scale or size; on
        those of the whole batch, where X is a part of one.
        """
        return X.whole.mass * X.mean.double().clamp(min=torch.finfo(X.dtype).tiny) ** self.beta

    def rounding(self, X: Matrix) -> float:
        """What is left of D when factors in float32 are exact: values below are no more than that."""
        return 1e-12 * float(self.unit(X))

    def refuse(self, X: Matrix, first_row: int = 0) -> None:
        """Raises Refusal where there is no D: for negative entries and β ≠ 2, for zeros that count and β ≤ 0; and for
        units in which float64 cannot hold mean(X)^β.

        first_row: the number of its first row in a larger matrix, which is what it says.
        """
        if X.signed and self.beta != 2:
            raise Refusal(
                f"X has negative entries, for which there is no divergence with β = {self.beta:g}; use "
                "divergence=frobenius, or shift, clip or drop them."
            )
        mean = float(X.mean)
        if mean != 0 and not abs(self.beta * math.log10(mean)) <= DECADES:  # or is not a number
            raise Refusal(
                f"X has the mean {mean:.3g}, and divergence with β = {self.beta:g} is as its power β, which no float64 "
                "holds; divide X by its largest entry, or choose β nearer to 0."
            )
        if self.beta > 0:
            return
        if X.weights is None and int((X.values > 0).sum()) == X.shape[0] * X.shape[1]:
            return
        zeros = (
            (first_row + rows.start + int(i), int(j))
            for rows, block in _dense_blocks(X)
            for i, j in torch.nonzero((block.dense() == 0) & (_dense_weights(block) > 0))[:1]
        )
        for i, j in zeros:
            raise Refusal(
                f"divergence with β = {self.beta:g} needs X > 0, but X[{i}, {j}] is 0; use β > 0 "
                "(divergence=kullback_leibler, say), or add a small constant to X."
            )


def floor(X: Matrix) -> Scalar:
    """ε² mean(X): under x̂ where it is divided by or logged, so that a dead reconstruction costs much, not infinity."""
    return (X.mean * torch.finfo(X.dtype).eps ** 2).clamp(min=torch.finfo(X.dtype).tiny)


def blockwise_total(divergence: Divergence, X: Matrix, factors: Factorization) -> Scalar:
    """Σ over row blocks that are dense one at a time, in float64."""
    H, W = factors.H.double(), factors.W.double()
    parts = [divergence(block.dense().double(), H[rows] @ W).sum() for rows, block in _dense_blocks(X)]
    return torch.stack(parts).sum()


def power_split(beta: float, X: Matrix, H: Codes, W: Components) -> tuple[Codes, Codes]:
    """P = X̂^(β−1) Wᵀ over all entries, N = (X ∘ X̂^(β−2)) Wᵀ over the stored ones."""
    least = floor(X)
    if not X.is_sparse:  # what dense blocks need stays in the cache
        parts = [_dense_split(beta, block.values, H[rows], W, least) for rows, block in X.blocks(2**18)]
        return torch.cat([P for P, _ in parts]), torch.cat([N for _, N in parts])
    X_hat = X.sample(H, W).clamp(min=least)
    N = X.with_values(X.values / X_hat * X_hat ** (beta - 1)) @ W.T  # so, 0 X̂^(β−2) does not become 0 · ∞
    P = torch.cat([(H[rows] @ W).clamp(min=least) ** (beta - 1) @ W.T for rows, _ in _dense_blocks(X)])
    return P, N


def _dense_split(beta: float, X: Data, H: Codes, W: Components, least: Scalar) -> tuple[Codes, Codes]:
    by_columns = X.stride(0) < X.stride(1)  # as a transpose; reading across would cost more than all else
    X_hat = ((W.T @ H.T).T if by_columns else H @ W).clamp_(min=least)
    if beta == 0:
        power = X_hat.reciprocal_()
        return power @ W.T, (X * power).mul_(power) @ W.T
    power = X_hat ** (beta - 1)
    return power @ W.T, (X / X_hat).mul_(power) @ W.T


def _dense_blocks(X: Matrix) -> Iterator[tuple[slice, Matrix]]:
    n, m = X.shape
    height = max(1, 2**22 // m)
    for start in range(0, n or 1, height):
        stop = min(n, start + height)
        yield slice(start, stop), X.span(start, stop)


def _dense_weights(X: Matrix) -> Tensor:
    return X.values.new_ones(()) if X.weights is None else X.with_values(X.weights).dense()


def xlogy_ratio(x: Tensor, y: Tensor) -> Tensor:
    """x log(x / y) with 0 log 0 = 0."""
    return torch.xlogy(x, x) - torch.xlogy(x, y)

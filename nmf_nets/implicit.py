"""The gradient of the best code, without going back through the solver that found it."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nmf_nets.divergences.base import floor
from nmf_nets.matrix import DenseMatrix, Matrix
from nmf_nets.shapes import Codes, Components, Scalar

SINGULAR = 1e-8
"""Of a curvature with ones on its diagonal: what is less of it has no direction that counts."""


def with_implicit_gradient(X: Matrix, H: Codes, W: Components, beta: float) -> Codes:
    """H = argmin_{H ≥ 0} D(X | H W), found already, as a function of W, and of dense X that carry a graph; β is 1 or 2.

    With the support S = {k: h_k > 0} of each row held, ∂D/∂h_S = 0 gives for g = ∂ℓ/∂h, C = ∂²D/∂h² and v = C_S⁻¹ g_S,
    zero off S,

        ∂ℓ/∂(W, X) = −∂/∂(W, X) d/dt D(X | (H + t V) W)   at t = 0, V constant.

    For Frobenius ∂ℓ/∂X = V W and ∂ℓ/∂W = Vᵀ (X − H W) − Hᵀ V W, the backward pass of non-negative least squares.
    Where C_S is singular, and the code not unique, C_S⁻¹ is the pseudo-inverse.
    Source: Gao, Haddock & Needell (2019) for Frobenius.
    """
    return _BestCodes.apply(X.values, W, H, X.detach(), beta)  # pyright: ignore[reportReturnType]


class _BestCodes(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, W: Components, H: Codes, X: Matrix, beta: float) -> Codes:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.save_for_backward(H, W)
        ctx.X, ctx.beta = X, beta
        return H.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Codes) -> tuple[Tensor | None, Tensor, None, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (H, W), X = ctx.saved_tensors, ctx.X
        V = _newton_direction(X, H, W, gradient, ctx.beta)
        of_X = None
        with torch.enable_grad():
            W = W.detach().requires_grad_()
            if ctx.needs_input_grad[0]:
                X = DenseMatrix(X.values.detach().requires_grad_(), X.weights)
                of_X, of_W = torch.autograd.grad(-_change(X, H, V, W, ctx.beta), (X.values, W))
            else:
                (of_W,) = torch.autograd.grad(-_change(X, H, V, W, ctx.beta), W)
        return of_X, of_W, None, None, None


def _change(X: Matrix, H: Codes, V: Codes, W: Components, beta: float) -> Scalar:
    """d/dt D(X | (H + t V) W) at t = 0, on the stored entries alone where the others are known from sums."""
    if beta == 2 and X.weights is None:
        return (V * (H @ (W @ W.T) - X @ W.T)).sum()
    X_hat, change = X.sample(H, W), X.sample(V, W)
    if beta == 2:
        return (X.given_weights * (X_hat - X.values) * change).sum()
    X_hat = X_hat.clamp(min=floor(X))
    if X.weights is None:
        return V.sum(0) @ W.sum(1) - (X.values / X_hat * change).sum()
    return ((X.weights - X.weights * X.values / X_hat) * change).sum()


def _newton_direction(X: Matrix, H: Codes, W: Components, gradient: Codes, beta: float) -> Codes:
    """v = C_S⁻¹ g_S of each row, in float64, for as many rows at a time as have 2²² curvatures."""
    W, least, height = W.double(), floor(X).double(), max(1, 2**22 // len(W) ** 2)
    parts = []
    for start in range(0, X.shape[0], height):
        rows = slice(start, min(X.shape[0], start + height))
        block, h = X.span(rows.start, rows.stop).to(torch.float64), H[rows].double()
        C, support = _curvature(block, h, W, beta, least), (h > 0).double()
        size = C.diagonal(dim1=1, dim2=2).sqrt()
        support = support * (size > 0)
        inverse = torch.where(support > 0, 1 / size, 0)
        one = torch.eye(len(W), dtype=C.dtype, device=C.device)
        C = C * inverse[:, :, None] * inverse[:, None, :] * (1 - one) + one  # off the support the identity
        g = (gradient[rows].double() * inverse)[:, :, None]
        factor, failed = torch.linalg.cholesky_ex(C)
        v = torch.cholesky_solve(g, factor)
        poor = (failed > 0) | ~(factor.diagonal(dim1=1, dim2=2).amin(1).square() > SINGULAR)
        if poor.any():
            v[poor] = torch.linalg.pinv(C[poor], hermitian=True, rtol=SINGULAR) @ g[poor]
        parts.append(v[:, :, 0] * inverse)
    return torch.cat(parts).to(H.dtype)


def _curvature(X: Matrix, H: Codes, W: Components, beta: float, least: Scalar) -> Tensor:
    """∂²D/∂h² of each row: Σ_j c_ij w_kj w_lj, c = v for Frobenius and v x / x̂² for KL."""
    if beta == 2 and X.weights is None:
        return (W @ W.T).expand(len(H), -1, -1)
    c = torch.ones_like(X.values) if X.weights is None else X.weights
    if beta == 1:
        X_hat = X.sample(H, W).clamp(min=least)
        c = c * X.values / X_hat / X_hat  # its square may be 0
    C = X.with_values(c)
    return torch.stack([C @ (w * W).T for w in W], 1)

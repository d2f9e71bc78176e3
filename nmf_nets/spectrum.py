"""The singular value decomposition: the floor under every Frobenius error, and a start."""

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse.linalg
import torch

from nmf_nets.matrix import Matrix

# scipy types them as if they took no functions and returned nothing.
LinearOperator: Any = scipy.sparse.linalg.LinearOperator
svds: Any = scipy.sparse.linalg.svds

SMALL = 2000
"""Up to so many rows or columns a dense matrix, or its Gram matrix, is decomposed quicker than by iteration."""

TINY = 128
"""Up to so many the whole decomposition is at once there."""

RESOLVED = 1e-5
"""Least σ_k / σ₁ that a Gram matrix, which holds their squares, tells from rounding."""


def truncated_svd(X: Matrix, n_components: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """U, σ, Vᵀ of the leading components in float64 on the CPU, σ falling; at most min(n, m) of them.

    Deterministic: the iteration starts from one fixed random vector (a vector of ones would miss whatever is orthogonal
    to it, such as all but one of several equal blocks). Sparse X is only multiplied, unless one of its sides is hardly
    longer than n_components, so that X is no larger than a factor.
    """
    side = min(X.shape)
    k = min(n_components, side)
    if k >= side - 1 or (side <= SMALL and not X.is_sparse):
        A = X.dense().double().cpu()
        if side > TINY and 4 * k <= side:
            U, s, Vt = _by_gram(A, k)
            if s[-1] > RESOLVED * s[0]:
                return U, s, Vt
        U, s, Vt = torch.linalg.svd(A, full_matrices=False)
        return U[:, :k], s[:k], Vt[:k]
    X = X.to(torch.float64)
    scale = float(torch.linalg.vector_norm(X.values))
    if scale == 0:
        U, Vt = (torch.eye(*shape, dtype=torch.float64) for shape in ((X.shape[0], k), (k, X.shape[1])))
        return U, torch.zeros(k, dtype=torch.float64), Vt
    # ARPACK's tolerance is absolute below 1e-5, and an eigenvector exact to the last bit makes it go on from a vector
    # without a seed: hence unit scale, and 1.1, whose rounding leaves no product exact.
    scale *= 1.1
    A, At = _product(X, scale), _product(X.T, scale)
    operator = LinearOperator(X.shape, dtype=np.float64, matvec=A, rmatvec=At, matmat=A, rmatmat=At)
    U, s, Vt = svds(operator, k, v0=np.random.default_rng(0).random(side))
    order = np.argsort(-s)
    return torch.from_numpy(U[:, order]), torch.from_numpy(s[order] * scale), torch.from_numpy(Vt[order])


def _by_gram(A: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The subspace of the k leading eigenvectors of A Aᵀ, or of AᵀA, multiplied by A once more, and the decomposition
    of A in it: two products of A with k columns make up for most of the digits that its squares have lost.
    """
    if len(A) > A.shape[1]:
        Vt, s, U = (part.mT if part.dim() == 2 else part for part in _by_gram(A.T, k))
        return U, s, Vt
    V = torch.linalg.qr(A.T @ torch.linalg.eigh(A @ A.T)[1][:, -k:])[0]
    U, s, rotation = torch.linalg.svd(A @ V, full_matrices=False)
    return U, s, rotation @ V.T


def numerical_rank(X: Matrix) -> int:
    """How many singular values exceed max(n, m) ε σ₁, with ε of the dtype of X.

    Of sparse X, which is only multiplied, those that exceed √ε in float64: smaller ones are not known.
    """
    if not X.is_sparse:
        s = torch.linalg.svdvals(X.dense().double())
        return int((s > max(X.shape) * torch.finfo(X.dtype).eps * s[0]).sum())
    least = max(max(X.shape) * torch.finfo(X.dtype).eps, torch.finfo(torch.float64).eps ** 0.5)
    k = 8
    while True:
        s = truncated_svd(X, k)[1]
        if k >= min(X.shape) or s[-1] <= least * s[0]:
            return int((s > least * s[0]).sum())
        k *= 2


def _product(X: Matrix, scale: float) -> Callable[[np.ndarray], np.ndarray]:
    def product(v: np.ndarray) -> np.ndarray:
        return (X @ torch.from_numpy(v.reshape(X.shape[1], -1)).to(X.device)).cpu().numpy() / scale

    return product

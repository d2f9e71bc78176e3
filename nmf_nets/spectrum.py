"""The singular value decomposition: the floor under every Frobenius error, and a start."""

from collections.abc import Callable

import numpy as np
import scipy.sparse.linalg
import torch

from nmf_nets.matrix import Matrix

SMALL = 2000
"""Up to so many rows or columns the whole decomposition of a dense matrix is quicker than an iterative one."""


def truncated_svd(X: Matrix, n_components: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """U, σ, Vᵀ of the leading components in float64 on the CPU, σ falling; at most min(n, m) of them.

    Deterministic: the iteration starts from the vector of ones. Sparse X is only multiplied, unless one of its sides is
    hardly longer than n_components, so that X is no larger than a factor.
    """
    side = min(X.shape)
    k = min(n_components, side)
    if k >= side - 1 or (side <= SMALL and not X.is_sparse):
        U, s, Vt = torch.linalg.svd(X.dense().double().cpu(), full_matrices=False)
        return U[:, :k], s[:k], Vt[:k]
    X = X.to(torch.float64)
    operator = scipy.sparse.linalg.LinearOperator(
        X.shape, dtype=np.float64, matvec=_product(X), rmatvec=_product(X.T), matmat=_product(X), rmatmat=_product(X.T)
    )
    U, s, Vt = scipy.sparse.linalg.svds(operator, k, v0=np.ones(side))
    order = np.argsort(-s)
    return torch.from_numpy(U[:, order]), torch.from_numpy(s[order]), torch.from_numpy(Vt[order])


def _product(X: Matrix) -> Callable[[np.ndarray], np.ndarray]:
    def product(v: np.ndarray) -> np.ndarray:
        return (X @ torch.from_numpy(v.reshape(X.shape[1], -1)).to(X.device)).cpu().numpy()

    return product

"""The successive projection algorithm (SPA)."""

import torch

from nmf_nets.exact.base import Selection
from nmf_nets.matrix import Matrix
from nmf_nets.shapes import Rows


def successive_projection(X: Matrix, n_components: int) -> Rows:
    """Again and again j = argmax_i ‖r_i‖, then every r_i loses its part along r_j; at first r_i is x_i / Σ x_i.

    Finds J of X = H X[J] exactly where X[J] has full row rank; with noise of length ε in every row the error is
    O(ε κ²), κ the condition number of X[J]. X is only multiplied, and squared norms are downdated.
    Raises Refusal where no residual is left, as when n_components exceeds the rank of X, and for weights.
    Source: Gillis & Vavasis (2014); Araújo et al. (2001).
    """
    selection = Selection(X, n_components)
    residuals = selection.norms
    basis = selection.X.values.new_zeros(0, X.shape[1])
    while not selection.complete:
        j = selection.farthest(residuals)
        selection.found.append(j)
        u = selection.row(j)
        for _ in range(2):  # the second time removes what the first has rounded
            u = u - u @ basis.T @ basis
        u = u / torch.linalg.vector_norm(u)
        basis = torch.cat([basis, u])
        residuals = residuals - (selection.X @ u.T)[:, 0].square()
    return selection.rows

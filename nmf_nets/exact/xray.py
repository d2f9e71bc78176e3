"""XRAY."""

import torch

from nmf_nets.exact.base import Selection, exact_codes, with_one_more
from nmf_nets.matrix import Matrix
from nmf_nets.shapes import Rows


def xray(X: Matrix, n_components: int) -> Rows:
    """Again and again i = argmax_i ‖r_i‖, R = X − H X[J] with the best H ≥ 0, and J ← J ∪ argmax_j ⟨r_i, x_j⟩; rows of
    X have unit sum.

    Every row that it finds is an extreme ray of the cone of all rows, also where X[J] has not full row rank; X is only
    multiplied.
    Raises Refusal where no residual is left, and for weights.
    Source: Kumar, Sindhwani & Kambadur (2013), the rule `max`.
    """
    selection = Selection(X, n_components)
    H, residuals = selection.B, selection.norms
    while not selection.complete:
        i = selection.farthest(residuals)
        r = selection.row(i) - H[i] @ selection.X.rows(selection.rows).dense()
        slopes = (selection.X @ r.T)[:, 0]
        selection.take(int(slopes.index_fill(0, selection.rows, -torch.inf).argmax()))
        H = exact_codes(with_one_more(H), selection.B, selection.G)
        residuals = selection.residuals(H)
    return selection.rows

"""½ λ Σ_{i<j} a_ij ‖m_i − m_j‖², a_ij > 0 where rows of X are near each other."""

from typing import Any, Literal, get_args

import numpy as np
import scipy.sparse
import torch
from sklearn.neighbors import kneighbors_graph

from nmf_nets.as_matrix import as_matrix
from nmf_nets.division import divisor
from nmf_nets.penalties.base import LaplacianPenalty
from nmf_nets.refusal import Refusal

Weights = Literal["heat", "binary"]


class Graph(LaplacianPenalty):
    """R = ½ λ tr(Mᵀ (Δ − A) M) on the graph of nearest neighbours: on H samples that look alike get codes that do.

    Rows are joined if one is among the `neighbors` nearest of the other, by Euclidean distance d; empty rows are near
    each other, too.
    X: with a row for each of M: the data for H, their transpose for W. Whatever `as_matrix` takes; sparse stays sparse.
    weights: heat, exp(−d² / mean d² of the joined), or binary, 1. Neither knows the scale of X.
    Refuses data with weights, whose distances are not known. Source: Cai, He, Han & Huang (2011), GNMF.
    """

    def __init__(self, strength: float, X: Any, neighbors: int = 5, weights: Weights = "heat"):
        super().__init__(strength, neighbor_graph(X, neighbors, weights))


def neighbor_graph(X: Any, neighbors: int, weights: Weights) -> scipy.sparse.csr_array:
    """A of shape (n, n), symmetric, in float64."""
    X = as_matrix(X)
    if weights not in get_args(Weights):
        raise Refusal(f"the weights of a graph must be heat or binary, but are {weights!r}.")
    if X.weights is not None:
        raise Refusal("a graph of neighbours needs all of X, but X has weights; impute it, or leave the penalty out.")
    if isinstance(neighbors, bool) or not isinstance(neighbors, int) or not 1 <= neighbors < X.shape[0]:
        raise Refusal(
            f"neighbors of a graph must be an integer from 1 to {X.shape[0] - 1}, one less than there are rows, but is "
            f"{neighbors!r}."
        )
    exponent = torch.frexp(divisor(X.mean)).exponent
    rows = X.with_values(torch.ldexp(X.values, -exponent)).numpy()  # squares of what is very small would be 0
    A = scipy.sparse.csr_array(kneighbors_graph(rows, neighbors, mode="distance"), dtype=np.float64)
    squares = np.square(A.data)
    A.data = np.exp(-squares / (squares.mean() or 1.0)) if weights == "heat" else np.ones_like(squares)
    return scipy.sparse.csr_array(A.maximum(A.T))

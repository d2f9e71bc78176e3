"""Centroids of the directions of the rows."""

from typing import Any

import torch
from sklearn.cluster import kmeans_plusplus

from nmf_nets.factorization import Factorization
from nmf_nets.inits.base import centroids, coded, completed, integer, nonzero_rows, too_few_rows
from nmf_nets.matrix import Matrix
from nmf_nets.shapes import Components, Rows

ITERATIONS = 100
"""At most; fewer where no row changes its cluster."""

SAME = 1 - 1e-12
"""A cosine from which on two rows have one direction."""


def spherical_kmeans(X: Matrix, n_components: int, generator: torch.Generator, positive: bool = False) -> Factorization:
    """W = the centroids of spherical k-means, w_k = Σ y_i / ‖Σ y_i‖ over the cluster of k, and the best H ≥ 0.

    Rows y_i = x_i / ‖x_i‖, without those that are zero, are in the cluster of the w_k with the largest cosine; from one
    k-means++ start. An empty cluster begins anew with the row that is least like its own. Sparse X stays sparse.
    positive: fills zeros, which multiplicative updates cannot leave.
    What was not observed is guessed (`completed`).
    Raises Refusal for rows of fewer different directions than components.
    Source: Dhillon & Modha (2001); Wild, Curry & Dougherty (2004).
    """
    X = completed(X)
    Y = X.rows(nonzero_rows(X, n_components)).to(torch.float64)
    Y = Y.with_values(Y.values / Y.of_rows(Y.row_max(Y.values)))  # or squares of the smallest would be nothing
    Y = Y.with_values(Y.values / Y.of_rows(Y.row_sum(Y.values.square()).sqrt()))
    plusplus: Any = kmeans_plusplus  # scikit-learn types its sparse matrices as none
    seeds = plusplus(Y.numpy(), n_components, random_state=integer(generator))[1]
    W = Y.rows(torch.from_numpy(seeds).long().to(X.device)).dense()
    return coded(X, clustered(Y, W)[0].to(X.dtype), positive)


def clustered(Y: Matrix, W: Components) -> tuple[Components, Rows]:
    """The centroids and the labels that follow from these centroids; rows of both have unit length."""
    before = None
    for _ in range(ITERATIONS):
        cosines, labels = (Y @ W.T).max(1)
        empty = torch.nonzero(torch.bincount(labels, minlength=len(W)) == 0)[:, 0]
        if len(empty):
            worst = cosines.argmin()
            if cosines[worst] >= SAME:
                raise too_few_rows(len(W))
            labels[worst] = empty[0]
        elif before is not None and torch.equal(labels, before):
            break
        before = labels
        W = torch.nn.functional.normalize(centroids(Y, labels, W), dim=1)
    assert before is not None
    return W, before

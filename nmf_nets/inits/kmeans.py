"""Centroids of the rows."""

import warnings
from typing import Any

import torch
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from nmf_nets.factorization import Factorization
from nmf_nets.inits.base import centroids, coded, completed, integer, nonzero_rows
from nmf_nets.matrix import Matrix


def kmeans(X: Matrix, n_components: int, generator: torch.Generator, positive: bool = False) -> Factorization:
    """W = the centroids of the rows of X, without those that are zero, and the best H ≥ 0.

    scikit-learn's k-means from one k-means++ start. Sparse X stays sparse.
    positive: fills zeros, which multiplicative updates cannot leave.
    What was not observed is guessed (`completed`). Raises Refusal for fewer different rows than components.
    Source: Wild, Curry & Dougherty (2004), who normalise rows first: spherical_kmeans.
    """
    X = completed(X)
    Y = X.rows(nonzero_rows(X, n_components))
    once: Any = 1  # its annotation says a string
    of = KMeans(n_components, n_init=once, random_state=integer(generator))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # too few different rows, which is refused below
        of.fit(Y.to(torch.float64).numpy())
    labels, centers = (torch.from_numpy(found).to(X.device) for found in (of.labels_, of.cluster_centers_))
    # Means of the members once more: scikit-learn's threads add up in no fixed order.
    return coded(X, centroids(Y, labels.long(), centers.to(X.dtype)), positive)

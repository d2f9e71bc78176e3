"""Means of a few random rows."""

import torch

from nmf_nets.factorization import Factorization
from nmf_nets.inits.base import centroids, coded, completed, nonzero_rows
from nmf_nets.matrix import Matrix
from nmf_nets.refusal import refuse_count


def random_acol(
    X: Matrix, n_components: int, generator: torch.Generator, rows: int = 20, positive: bool = False
) -> Factorization:
    """w_k = the mean of so many rows of X, drawn at random without those that are zero, and the best H ≥ 0.

    No row is drawn twice: components take fewer, at least one each, where there are not so many.
    positive: fills zeros, which multiplicative updates cannot leave.
    What was not observed is guessed (`completed`). Raises Refusal for fewer different rows than components.
    Source: Langville, Meyer, Albright, Cox & Duling (2006), whose samples are columns.
    """
    refuse_count("init.rows", rows)
    X = completed(X)
    among = nonzero_rows(X, n_components)
    order = torch.randperm(len(among), generator=generator, device=generator.device).to(X.device)
    each = min(rows, len(among) // n_components)
    Y = X.rows(among[order[: each * n_components]])
    labels = torch.arange(n_components, device=X.device).repeat_interleave(each)
    return coded(X, centroids(Y, labels, Y.values.new_zeros(n_components, X.shape[1])), positive)

"""Words that belong to one topic alone."""

import torch

from nmf_nets.as_matrix import as_matrix
from nmf_nets.exact.base import Select, refuse_weights
from nmf_nets.exact.successive_projection import successive_projection
from nmf_nets.matrix import Matrix
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Rows


def anchor_words(X: Matrix, n_components: int, least_documents: int, select: Select = successive_projection) -> Rows:
    """Features j of counts X that `select` finds among the rows of the co-occurrence X[:, K]ᵀ X, of unit sum.

    K: the features that at least so many rows have. Without that bound the anchors of text are its rarest words, which
    are nearly orthogonal to all others. Sparse X gives a sparse product, of up to |K| m entries.
    Raises Refusal for weights, and where fewer than n_components features are so frequent.
    Source: Arora et al. (2013), who correct the diagonal and weigh documents by their length besides.
    """
    refuse_weights(X)
    frequency = X.T.row_sum((X.T.values > 0).to(X.dtype))
    frequent = torch.nonzero(frequency >= least_documents)[:, 0]
    if len(frequent) < n_components:
        raise Refusal(
            f"n_components is {n_components}, but only {len(frequent)} features have {least_documents} rows or more; "
            "lower least_documents or n_components."
        )
    together = X.T.rows(frequent).numpy() @ X.numpy()
    return frequent[select(as_matrix(together).to(X.device), n_components)]

"""Counts of terms as weights of terms."""

import torch
from sklearn.feature_extraction.text import TfidfTransformer
from torch import Tensor

from nmf_nets.division import divisor
from nmf_nets.matrix import Matrix
from nmf_nets.preprocessing.base import Preprocessing
from nmf_nets.refusal import Refusal


class TfIdf(Preprocessing):
    """x_ij (1 + log((1 + n) / (1 + n_j))), n_j of the n training rows holding feature j; rows then of unit length.

    Rows of zeros stay. Refuses data with weights: of what was not observed nobody knows whether a row holds it.
    Source: scikit-learn's TfidfTransformer.
    """

    idf: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("idf", torch.ones(0))

    def fit(self, X: Matrix) -> None:
        _refuse_weights(X)
        self.idf = torch.from_numpy(TfidfTransformer().fit(X.numpy()).idf_).to(X.device, X.dtype)

    def forward(self, X: Matrix) -> Matrix:
        _refuse_weights(X)
        weighed = X.values * X.columns(self.idf)
        return X.with_values(weighed / X.of_rows(divisor(X.row_sum(weighed.square()).sqrt())))


def _refuse_weights(X: Matrix) -> None:
    if X.weights is not None:
        raise Refusal(
            "preprocessing=tf_idf needs all counts, but some were not observed; impute them, or leave it out."
        )

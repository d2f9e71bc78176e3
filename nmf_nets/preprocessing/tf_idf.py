"""Counts of terms as weights of terms."""

from collections.abc import Callable

from sklearn.feature_extraction.text import TfidfTransformer

from nmf_nets.as_matrix import as_matrix
from nmf_nets.matrix import Matrix
from nmf_nets.preprocessing.base import Preprocessing


class TfIdf(Preprocessing):
    """x_ij (1 + log((1 + n) / (1 + n_j))), n_j of the n training rows holding feature j; rows then of unit length.

    Rows of zeros stay. Source: scikit-learn's TfidfTransformer.
    """

    def fit(self, X: Matrix) -> Callable[[Matrix], Matrix]:
        model = TfidfTransformer().fit(X.numpy())
        return lambda rows: as_matrix(model.transform(rows.numpy()), rows.dtype).to(rows.device)

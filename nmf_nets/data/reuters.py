"""News of Reuters as counts of terms, as the package lda brings them."""

import scipy.sparse

from nmf_nets.as_matrix import as_matrix
from nmf_nets.data.base import Dataset, MatrixDataModule
from nmf_nets.extras import extra


class Reuters(MatrixDataModule):
    """395 documents, 4,258 terms, sparse. Raises Missing without the package."""

    def load(self) -> Dataset:
        datasets = extra("lda.datasets", "reuters")
        counts, terms = datasets.load_reuters(), datasets.load_reuters_vocab()
        return Dataset(as_matrix(scipy.sparse.csr_array(counts), self.dtype), feature_names=tuple(terms))

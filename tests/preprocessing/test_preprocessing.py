"""What every preprocessing keeps: it learns from the training rows, sparse stays sparse, and its state is all of it."""

import numpy as np
import pytest
import scipy.sparse
import torch
from sklearn.feature_extraction.text import TfidfTransformer

from nmf_nets.as_matrix import as_matrix
from nmf_nets.preprocessing.divided import Divided
from nmf_nets.preprocessing.tf_idf import TfIdf
from nmf_nets.refusal import Refusal

COUNTS = np.random.default_rng(0).poisson(0.7, size=(12, 9)).astype(float)
COUNTS[4] = 0
NEW = np.random.default_rng(1).poisson(0.7, size=(5, 9)).astype(float)

# what makes it -> what it makes of new rows
MEMBERS = {
    "divided": (lambda: Divided(4.0), lambda: NEW / 4),
    "tf_idf": (TfIdf, lambda: TfidfTransformer().fit(COUNTS).transform(scipy.sparse.csr_array(NEW)).toarray()),
}


@pytest.mark.parametrize("of", [np.asarray, scipy.sparse.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize("member", MEMBERS)
def test_new_rows_are_prepared_by_what_the_training_rows_taught(member, of):
    make, expected = MEMBERS[member]
    preprocessing = make()
    preprocessing.fit(as_matrix(of(COUNTS)))
    prepared = preprocessing(as_matrix(of(NEW)))
    assert prepared.is_sparse == scipy.sparse.issparse(of(NEW))
    assert np.allclose(prepared.dense().numpy(), expected(), rtol=1e-12, atol=0)
    assert not preprocessing(as_matrix(of(COUNTS))).rows(torch.tensor([4])).dense().any()


@pytest.mark.parametrize("member", MEMBERS)
def test_a_state_makes_another_one_the_same_to_the_bit(member):
    make, _ = MEMBERS[member]
    taught, other = make(), make()
    taught.fit(as_matrix(COUNTS))
    other.fit(as_matrix(np.ones((1, 9))))
    other.load_state_dict(taught.state_dict())
    assert torch.equal(other(as_matrix(NEW)).dense(), taught(as_matrix(NEW)).dense())


def test_division_keeps_what_was_not_observed_and_tf_idf_refuses_it():
    X = as_matrix(COUNTS, weights=COUNTS > 0)
    assert torch.equal(Divided(2.0)(X).given_weights, X.given_weights)
    with pytest.raises(Refusal, match="needs all counts"):
        TfIdf().fit(X)

import numpy as np
import pytest
import scipy.sparse

from nmf_nets.as_matrix import as_matrix
from nmf_nets.exact.anchor_words import anchor_words
from nmf_nets.exact.successive_projection import successive_projection
from nmf_nets.refusal import Refusal


def documents() -> np.ndarray:
    """Three topics of a word of their own, the first three, and ten in common; the last three words are rare."""
    chance = np.random.default_rng(0)
    topics = np.concatenate([np.diag([6.0, 6, 6]), chance.gamma(0.5, 3, size=(3, 10))], 1)
    counts = chance.poisson(chance.dirichlet(np.full(3, 0.2), 600) @ topics)
    rare = np.zeros((600, 3))
    rare[[5, 50, 500], [0, 1, 2]] = 40
    return np.concatenate([counts, rare], 1)


@pytest.mark.parametrize("form", [np.asarray, scipy.sparse.csr_array], ids=["dense", "sparse"])
def test_a_word_of_each_topic_is_found_where_rare_words_do_not_stand(form):
    X = as_matrix(form(documents()))
    assert set(anchor_words(X, 3, least_documents=10).tolist()) == {0, 1, 2}
    assert set(successive_projection(X.T, 3).tolist()) == {13, 14, 15}


def test_too_few_frequent_words_are_refused():
    with pytest.raises(Refusal, match="n_components is 3, but only 0 features have 601 rows or more; lower least_doc"):
        anchor_words(as_matrix(documents()), 3, least_documents=601)
    with pytest.raises(Refusal, match="X has weights"):
        anchor_words(as_matrix(np.ones((3, 3)), weights=np.ones((3, 3))), 1, 1)

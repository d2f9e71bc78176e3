import json

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from scipy.spatial.distance import jensenshannon

import nmf_nets
from nmf_nets.as_matrix import as_matrix
from nmf_nets.factorization import Factorization
from nmf_nets.metrics.topics import npmi
from nmf_nets.refusal import Refusal
from nmf_nets.topics.topics import Topics

R, N, M = 3, 60, 12


def counts():
    chance = np.random.default_rng(0)
    topics = np.kron(np.eye(R), np.ones(M // R)) + 0.05
    parts = np.concatenate([np.eye(R), chance.dirichlet(np.full(R, 0.3), N - R)])
    return chance.poisson(3 * parts @ topics).astype(float)


def made(form=scipy.sparse.csr_array, **more):
    A = counts()
    found = nmf_nets.factorize(A, R, divergence="kullback_leibler", init="random")
    X = as_matrix(form(A))
    factors = Factorization(*map(torch.from_numpy, (found.H, found.W)))
    return Topics(X, factors, [f"word{j}" for j in range(M)], **more)


@pytest.mark.parametrize("form", [np.asarray, scipy.sparse.csr_array], ids=["dense", "sparse"])
def test_distributions_are_those_of_the_factors(form):
    topics = made(form)
    H, W = topics.factors.H, topics.factors.W
    n = topics.X.row_totals
    torch.testing.assert_close(topics.topic_word.sum(1), torch.ones(R, dtype=torch.float64))
    torch.testing.assert_close(n * topics.document_topic @ topics.topic_word, H @ W, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(topics.word_topic.sum(0), torch.ones(M, dtype=torch.float64))
    assert float(topics.sizes.sum()) == pytest.approx(1)
    torch.testing.assert_close(topics.coherence, npmi(topics.X, W))
    assert topics.clusters[:R].tolist() == [topics.top_words(1).index([f"word{j}"]) for j in _strongest(topics)]
    assert topics.order == sorted(range(R), key=lambda k: -topics.sizes[k])


def _strongest(topics):
    """The first word of the topic of each pure document."""
    return [int(topics.topic_word[k].argmax()) for k in topics.document_topic[:R].argmax(1)]


def test_scales_of_components_change_nothing():
    topics = made()
    scale = torch.tensor([1e-3, 1.0, 1e4], dtype=torch.float64)
    moved = Topics(topics.X, Factorization(topics.factors.H / scale, scale[:, None] * topics.factors.W), topics.words)
    for name in ("topic_word", "document_topic", "sizes", "distances", "positions"):
        torch.testing.assert_close(getattr(moved, name), getattr(topics, name))


def test_relevance_orders_by_frequency_at_one_and_by_lift_at_zero():
    topics = made()
    p = topics.frequencies / topics.frequencies.sum()
    torch.testing.assert_close(topics.relevance(1), topics.topic_word.log())
    torch.testing.assert_close(topics.relevance(0), (topics.topic_word / p).log())
    torch.testing.assert_close(topics.relevance(0.25), 0.25 * topics.relevance(1) + 0.75 * topics.relevance(0))
    with pytest.raises(Refusal, match="relevance is 2"):
        topics.relevance(2)


def test_distances_are_scipys_and_the_plane_keeps_those_of_three_topics():
    topics = made()
    for k in range(R):
        for l in range(R):
            expected = jensenshannon(topics.topic_word[k].numpy(), topics.topic_word[l].numpy(), base=2)
            assert float(topics.distances[k, l]) == pytest.approx(expected, abs=1e-10)
    torch.testing.assert_close(torch.cdist(topics.positions, topics.positions), topics.distances, rtol=1e-8, atol=1e-8)


def test_representative_documents_are_of_the_topic_and_long():
    A = np.zeros((4, 4))
    A[:, :2] = [[1, 0], [30, 30], [29, 30], [0, 0]]
    A[2, 2] = 40
    W = torch.tensor([[1.0, 1, 0, 0], [0, 0, 1, 1]], dtype=torch.float64)
    H = torch.tensor([[1.0, 0], [30, 0], [29, 40], [0, 0]], dtype=torch.float64)
    topics = Topics(as_matrix(A), Factorization(H, W), list("abcd"), names=["short", "pure", "mixed", "empty"])
    assert [[topics.name(i) for i in row] for row in topics.representative(4)] == [
        ["pure", "mixed", "short"],
        ["mixed"],
    ]
    assert topics.top_words(4) == [["a", "b"], ["c"]], "no document says d"


def test_a_dead_component_and_an_empty_document_are_nothing():
    W = torch.tensor([[1.0, 2], [0, 0]], dtype=torch.float64)
    H = torch.tensor([[1.0, 1], [0, 0]], dtype=torch.float64)
    topics = Topics(as_matrix(np.array([[1.0, 2], [0, 0]])), Factorization(H, W), ["a", "b"])
    assert topics.sizes.tolist() == [1, 0]
    assert topics.top_words() == [["b", "a"], []]
    assert topics.representative() == [[0], []]
    assert bool(torch.isfinite(topics.positions).all())


def test_the_table_is_saved_as_csv_and_as_json(tmp_path):
    topics = made()
    topics.save(tmp_path / "t.csv")
    topics.save(tmp_path / "t.json")
    table, described = pd.read_csv(tmp_path / "t.csv"), json.loads((tmp_path / "t.json").read_text())
    assert table["topic"].tolist() == topics.order == [topic["topic"] for topic in described]
    assert table["words"].tolist() == [" ".join(topics.top_words()[k]) for k in topics.order]
    first = described[0]
    assert [first["words"][word] for word in topics.top_words()[topics.order[0]]] == sorted(
        first["words"].values(), reverse=True
    )
    assert first["size"] == pytest.approx(float(topics.sizes.max()))
    with pytest.raises(Refusal, match="must end with"):
        topics.save(tmp_path / "t.txt")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"words": ["a"]}, "words must be 12"),
        ({"names": ["a"]}, "names must be 60"),
        ({"factors": Factorization(torch.ones(2, R), torch.ones(R, M))}, "H must have the shape"),
        ({"factors": Factorization(torch.ones(N, R), -torch.ones(R, M))}, "least entry of W is -1"),
        ({"factors": Factorization(torch.ones(N, R), torch.ones(R, M), 3)}, "motifs"),
    ],
)
def test_what_is_no_topic_is_refused(change, sentence):
    topics = made()
    given = {"X": topics.X, "factors": topics.factors, "words": topics.words, **change}
    with pytest.raises(Refusal, match=sentence):
        Topics(**given)

import math

import numpy as np
import pytest
import scipy.sparse
import torch

from nmf_nets.as_matrix import as_matrix
from nmf_nets.metrics.topics import c_v, folded_in, halves, held_out_perplexity, npmi, top_features, topic_diversity
from nmf_nets.refusal import Refusal


def forms(A: np.ndarray) -> list:
    return [as_matrix(A), as_matrix(scipy.sparse.csr_array(A))]


def words(n: int = 60, m: int = 15) -> np.ndarray:
    return np.random.default_rng(0).poisson(0.5, size=(n, m)).astype(float)


def components(r: int = 4, m: int = 15) -> torch.Tensor:
    return torch.rand(r, m, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


# Top features ---------------------------------------------------------------------------------------------------------


def test_top_features_are_the_greatest_of_each_component():
    W = torch.tensor([[0.0, 3, 1, 2], [5, 0, 5, 5]])
    assert top_features(W, 2).tolist() == [[1, 3], [0, 2]]
    assert top_features(torch.tensor([[1e-9], [1e9]]) * W, 3).tolist() == [[1, 3, 2], [0, 2, 3]]
    assert top_features(W, 9).shape == (2, 4)


# Coherence ------------------------------------------------------------------------------------------------------------

DOCUMENTS = np.array(
    [
        [1.0, 2, 0, 1, 0],
        [3, 1, 0, 1, 0],
        [0, 0, 4, 1, 0],
        [0, 0, 1, 1, 0],
        [0, 0, 0, 1, 7],
        [0, 5, 0, 1, 0],
        [0, 0, 0, 1, 0],
        [0, 0, 0, 1, 0],
    ]
)


def pair(i: int, j: int) -> torch.Tensor:
    return torch.zeros(1, 5).index_fill_(1, torch.tensor([i, j]), 1.0)


@pytest.mark.parametrize(
    ("i", "j", "expected"),
    [
        (0, 1, math.log((2 / 8) / (2 / 8 * 3 / 8)) / math.log(8 / 2)),
        (0, 2, -1),  # never in one document
        (0, 3, 0),  # one is everywhere
    ],
)
def test_pairs_by_hand(i, j, expected):
    for X in forms(DOCUMENTS):
        assert npmi(X, pair(i, j)).tolist() == [pytest.approx(expected, abs=1e-12)]


def test_features_that_come_together_or_not_at_all_have_one():
    A = np.array([[1.0, 1, 0], [2, 1, 0], [0, 0, 1]])
    for X in forms(A):
        assert npmi(X, torch.tensor([[1.0, 1, 0]])).tolist() == [pytest.approx(1)]
    for X in forms(np.ones((4, 3))):
        assert npmi(X, torch.ones(2, 3)).tolist() == [0, 0]


def test_a_word_of_no_document_meets_none():
    for X in forms(np.array([[1.0, 0], [1, 0]])):
        assert npmi(X, torch.ones(1, 2)).tolist() == [-1]


def expected_npmi(A: np.ndarray, features: list[int]) -> float:
    present, scores = A > 0, []
    for a, i in enumerate(features):
        for j in features[a + 1 :]:
            both, of_i, of_j = (present[:, i] & present[:, j]).mean(), present[:, i].mean(), present[:, j].mean()
            scores.append(math.log(both / (of_i * of_j)) / -math.log(both) if both > 0 else -1)
    return float(np.mean(scores))


@pytest.mark.parametrize("count", [2, 5, 10, 40])
def test_a_component_has_the_mean_over_its_pairs(count):
    A, W = words(), components()
    expected = [expected_npmi(A, row) for row in top_features(W, count).tolist()]
    for X in forms(A):
        found = npmi(X, W, count)
        assert found.dtype == torch.float64
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)
        assert bool((found.abs() <= 1).all())


def test_coherence_knows_neither_counts_nor_scales_nor_order():
    A, W = words(), components()
    expected = npmi(as_matrix(A), W, 4)
    for X in forms(A * np.random.default_rng(1).random(A.shape)):
        torch.testing.assert_close(npmi(X, W, 4), expected)
    for X in forms(A.astype(np.float32)):
        torch.testing.assert_close(npmi(X, (100 * W).float()[[2, 0, 3, 1]], 4), expected[[2, 0, 3, 1]])
    for X in forms(A[::-1].copy()):
        torch.testing.assert_close(npmi(X, W, 4), expected)


def test_features_of_no_weight_are_left_out():
    A = words()
    W = torch.zeros(3, 15)
    W[0, [2, 5, 11]] = torch.tensor([1.0, 2, 3])
    W[1, 4] = 1
    for X in forms(A):
        assert npmi(X, W).tolist() == [pytest.approx(expected_npmi(A, [2, 5, 11])), -1, -1]


def test_true_topics_are_more_coherent_than_shuffled_ones():
    chance = np.random.default_rng(0)
    W = chance.dirichlet(np.full(200, 0.05), size=4)
    A = chance.poisson(30 * chance.dirichlet(np.full(4, 0.1), size=300) @ W).astype(float)
    true, shuffled = torch.from_numpy(W), torch.from_numpy(chance.permuted(W, axis=1))
    for X in forms(A):
        assert npmi(X, true).mean() > npmi(X, shuffled).mean() + 0.2


def test_a_wide_sparse_matrix_stays_sparse():
    X = as_matrix(scipy.sparse.random_array((50_000, 100_000), density=2e-5, rng=np.random.default_rng(0)))  # 40 GB
    assert npmi(X, torch.rand(3, 100_000), 5).shape == (3,)


# Diversity ------------------------------------------------------------------------------------------------------------


def test_diversity_is_the_part_that_is_distinct():
    W = torch.tensor([[9.0, 8, 7, 1, 0], [0, 9, 1, 8, 7], [1, 9, 8, 7, 0]])
    assert topic_diversity(W, 1) == pytest.approx(2 / 3)
    assert topic_diversity(W, 3) == pytest.approx(5 / 9)
    assert topic_diversity(1e-6 * W, 3) == pytest.approx(5 / 9)


def test_separate_components_are_diverse_and_copies_are_not():
    W = torch.block_diag(*(torch.ones(1, 25) for _ in range(4)))
    assert topic_diversity(W) == 1
    assert topic_diversity(W[:1].repeat(4, 1)) == 0.25
    assert topic_diversity(W[:1]) == 1


def test_dead_components_are_not_diverse():
    W = torch.block_diag(*(torch.ones(1, 25) for _ in range(4)))
    W[1:3] = 0
    assert topic_diversity(W) == 0.5
    assert topic_diversity(0 * W) == 0


# C_V ------------------------------------------------------------------------------------------------------------------


def expected_c_v(A: np.ndarray, features: list[int]) -> float:
    present, eps = A > 0, 1e-12

    def score(i: int, j: int) -> float:
        both = (present[:, i] & present[:, j]).mean() + eps
        return math.log(both / (present[:, i].mean() * present[:, j].mean())) / -math.log(both)

    vectors = np.array([[score(i, j) for j in features] for i in features])
    whole = vectors.sum(0)
    return float(np.mean(vectors @ whole / np.linalg.norm(vectors, axis=1) / np.linalg.norm(whole)))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_c_v_is_the_cosine_with_all_top_features_by_documents():
    pytest.importorskip("gensim")
    A, W = words(), components()
    W[3] = 0
    names = [f"word{j}" for j in range(A.shape[1])]
    for X in forms(A):
        found = c_v(X, W, names, 5)
        expected = [expected_c_v(A, row) for row in top_features(W, 5).tolist()[:3]]
        np.testing.assert_allclose(found[:3].numpy(), expected, rtol=1e-6)
        assert bool(found[3].isnan()), "of a dead component"


# New documents --------------------------------------------------------------------------------------------------------


def test_halves_add_up_to_the_words_of_each_document():
    A = 10 * words()
    for X in forms(A):
        first, second = halves(X, torch.Generator().manual_seed(0))
        np.testing.assert_array_equal((first.dense() + second.dense()).numpy(), A)
        assert float(first.sum) == pytest.approx(A.sum() / 2, rel=0.05)
        assert bool((second.values >= 0).all())
    with pytest.raises(Refusal, match=r"X holds 0.5; give counts"):
        halves(as_matrix(np.array([[1.0, 0.5]])), torch.Generator())


def test_perplexity_is_the_number_of_words_where_all_are_as_likely():
    for seen in forms(words()):
        assert held_out_perplexity(seen, seen, torch.ones(4, 15), torch.full((15,), 7.0)) == pytest.approx(15)


def test_perplexity_by_hand():
    W = torch.tensor([[3.0, 1, 0], [0, 0, 5]])
    seen, asked = as_matrix(np.array([[4.0, 0, 0], [0, 0, 2]])), as_matrix(np.array([[1.0, 1, 0], [0, 0, 3]]))
    frequencies = torch.tensor([9.0, 4, 4])
    common = (frequencies + 1) / 20
    topics = 0.9 * torch.tensor([[0.75, 0.25, 0], [0, 0, 1]]) + 0.1 * common
    theta = folded_in(seen, topics.double(), 0.1)
    assert theta.sum(1).tolist() == pytest.approx([1, 1])
    p = (theta @ topics.double()).numpy()
    expected = math.exp(-(math.log(p[0, 0]) + math.log(p[0, 1]) + 3 * math.log(p[1, 2])) / 5)
    for scale in (1.0, 1e3):
        found = held_out_perplexity(seen, asked, scale * W, frequencies, background=0.1)
        assert found == pytest.approx(expected, rel=1e-6)


def test_the_topics_that_made_documents_have_a_lower_perplexity_than_others():
    chance = np.random.default_rng(0)
    W = chance.dirichlet(np.full(50, 0.1), size=3)
    A = chance.poisson(40 * chance.dirichlet(np.full(3, 0.2), size=80) @ W).astype(float)
    parts = halves(as_matrix(A), torch.Generator().manual_seed(0))
    true, other = (
        held_out_perplexity(*parts, torch.from_numpy(topics), torch.from_numpy(A.sum(0)))
        for topics in (W, chance.permuted(W, axis=1))
    )
    assert true < 0.8 * other
    with pytest.raises(Refusal, match="least entry of W is -0"):
        held_out_perplexity(*parts, -torch.from_numpy(W), torch.from_numpy(A.sum(0)))

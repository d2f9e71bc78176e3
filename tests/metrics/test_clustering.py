from itertools import permutations

import numpy as np
import pytest
import torch

from nmf_nets.factorization import Factorization
from nmf_nets.metrics.clustering import adjusted_rand, cluster_of, clustering_accuracy, normalized_mutual_information

MEASURES = [clustering_accuracy, normalized_mutual_information, adjusted_rand]
LABELS = np.repeat([3, 0, 7], [5, 8, 4])


def test_the_size_of_components_counts():
    H = torch.tensor([[1.0, 2], [3, 1], [1, 1], [0, 0]])
    W = torch.tensor([[3.0, 4], [0, 1]])  # norms 5 and 1
    assert cluster_of(Factorization(H, W)).tolist() == [0, 0, 0, 0]
    assert cluster_of(Factorization(H, W / torch.tensor([[5.0], [1.0]]))).tolist() == [1, 0, 0, 0]


def test_clusters_do_not_know_the_scale_of_a_component():
    chance = torch.Generator().manual_seed(0)
    F = Factorization(torch.rand(30, 4, generator=chance), torch.rand(4, 9, generator=chance))
    D = torch.tensor([1e-6, 1.0, 50.0, 1e6])
    expected = cluster_of(F)
    assert len(expected.unique()) == 4
    torch.testing.assert_close(cluster_of(Factorization(F.H * D, F.W / D[:, None])), expected)
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(order[cluster_of(Factorization(F.H[:, order], F.W[order]))], expected)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("names", list(permutations([0, 1, 2]))[::2])
def test_names_of_clusters_make_no_difference(measure, names):
    clusters = np.array(names)[np.unique(LABELS, return_inverse=True)[1]]
    assert measure(LABELS, clusters) == pytest.approx(1)
    assert measure(torch.from_numpy(LABELS), torch.from_numpy(clusters)) == pytest.approx(1)
    clusters[:3] = names[2]
    assert 0 < measure(LABELS, clusters) < 0.95


def test_the_accuracy_is_the_best_of_all_matchings():
    chance = np.random.default_rng(0)
    labels, clusters = chance.integers(4, size=60), chance.integers(4, size=60)
    best = max(np.mean(np.array(names)[clusters] == labels) for names in permutations(range(4)))
    assert clustering_accuracy(labels, clusters) == pytest.approx(best)


def test_left_over_clusters_and_classes_are_wrong():
    labels = np.array([0, 0, 0, 1, 1, 1])
    assert clustering_accuracy(labels, np.array([5, 5, 9, 2, 2, 2])) == pytest.approx(5 / 6)
    assert clustering_accuracy(labels, np.arange(6)) == pytest.approx(2 / 6)
    assert clustering_accuracy(labels, np.zeros(6, dtype=int)) == pytest.approx(0.5)


def test_information_by_hand():
    labels, clusters = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 2])
    # I = log 2, H(labels) = log 2, H(clusters) = 1.5 log 2.
    assert normalized_mutual_information(labels, clusters) == pytest.approx(2 / 2.5)
    assert normalized_mutual_information(labels, np.array([0, 1, 0, 1])) == pytest.approx(0, abs=1e-12)
    # Of 6 pairs: 1 together in both, 2 in labels, 1 in clusters; (1 − 1/3) / (1.5 − 1/3).
    assert adjusted_rand(labels, clusters) == pytest.approx(4 / 7)


def test_only_the_rand_index_is_free_of_chance_for_many_clusters():
    chance = np.random.default_rng(1)
    labels, clusters = chance.integers(3, size=300), chance.integers(60, size=300)
    assert adjusted_rand(labels, clusters) == pytest.approx(0, abs=0.02)
    assert normalized_mutual_information(labels, clusters) > 0.05

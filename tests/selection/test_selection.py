import numpy as np
import pytest
import torch
from scipy.cluster import hierarchy

from nmf_nets.as_matrix import as_matrix
from nmf_nets.data.synthetic import Synthetic
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.divergences.kullback_leibler import KullbackLeibler
from nmf_nets.recommendation import Recommendation
from nmf_nets.refusal import Refusal
from nmf_nets.restarts import Fits, Restarts
from nmf_nets.selection.base import Choice, Judgement, subsets
from nmf_nets.selection.consensus import (
    Consensus,
    average_linkage,
    consensus_matrix,
    cophenetic_correlation,
    dispersion,
    last_before_the_fall,
)
from nmf_nets.selection.stability import Stability, density, matched, perturbed, silhouettes_of

SELECTORS = [Consensus(), Stability(), Stability(perturbation=0.03)]


def synthetic(r, noise=0.05, seed=0, n=100, m=40):
    data = Synthetic(n, m, r, noise=noise, validation=0.0, test=0.0, seed=seed)
    data.setup()
    return data.training


def judged(selector, X, numbers, seeds=10, divergence=None):
    restarts = Restarts(X, divergence or Frobenius(), numbers, seeds=seeds)
    return {n: selector.judge(restarts, n, torch.Generator().manual_seed(0)) for n in numbers}


@pytest.mark.parametrize("selector", SELECTORS, ids=["consensus", "stability", "perturbed"])
@pytest.mark.parametrize("divergence", [Frobenius(), KullbackLeibler()], ids=["frobenius", "kullback_leibler"])
def test_a_planted_number_is_found(selector, divergence):
    choice = selector.choose(judged(selector, synthetic(4), [2, 3, 4, 5, 6], divergence=divergence))
    assert choice.n_components == 4
    assert 0.5 <= choice.sureness <= 1
    assert choice.sentence


def test_where_no_number_is_stable_stability_cannot_tell():
    X = as_matrix(np.random.default_rng(0).random((60, 30)))
    selector = Stability(threshold=1.0)
    choice = selector.choose(judged(selector, X, [3, 4, 5]))
    assert choice.n_components is None
    assert choice.sentence == "no number of components has a least silhouette of 1"


def test_the_same_generator_gives_the_same_judgement():
    X = synthetic(3)
    one, other = (judged(Consensus(most=50), X, [3, 4]) for _ in range(2))
    for n in (3, 4):
        np.testing.assert_array_equal(one[n].values, other[n].values)
        np.testing.assert_array_equal(one[n].arrays["rows"], other[n].arrays["rows"])
        assert one[n].arrays["consensus"].shape == (50, 50)
    np.testing.assert_array_equal(one[3].arrays["rows"], one[4].arrays["rows"])


CLUSTERS = np.random.default_rng(0).integers(0, 3, (8, 20))


def test_a_consensus_matrix_has_parts_of_the_starts():
    C = consensus_matrix(CLUSTERS)
    assert C[2, 5] == pytest.approx(np.mean(CLUSTERS[:, 2] == CLUSTERS[:, 5]))
    np.testing.assert_array_equal(C, C.T)
    np.testing.assert_array_equal(np.diag(C), 1)
    assert C.min() >= 0
    assert C.max() <= 1


def test_a_consensus_matrix_follows_the_samples_and_not_the_order_of_components():
    order = np.random.default_rng(1).permutation(20)
    C = consensus_matrix(CLUSTERS)
    np.testing.assert_array_equal(consensus_matrix(CLUSTERS[:, order]), C[np.ix_(order, order)])
    renamed = np.stack([np.random.default_rng(start).permutation(3)[each] for start, each in enumerate(CLUSTERS)])
    np.testing.assert_array_equal(consensus_matrix(renamed), C)


def test_perfect_agreement_has_correlation_and_dispersion_1_and_none_has_less():
    perfect, mixed = consensus_matrix(np.tile(CLUSTERS[0], (5, 1))), consensus_matrix(CLUSTERS)
    assert cophenetic_correlation(perfect) == pytest.approx(1)
    assert dispersion(perfect) == 1
    assert cophenetic_correlation(mixed) < 0.9
    assert dispersion(mixed) < 0.6
    assert dispersion(np.full((4, 4), 0.5)) == 0
    assert cophenetic_correlation(np.ones((4, 4))) == 1


def test_the_cophenetic_correlation_is_pearsons_of_the_heights_at_which_pairs_join():
    C = consensus_matrix(CLUSTERS)
    members, heights = [{i} for i in range(20)], np.zeros((20, 20))
    for left, right, height, _ in average_linkage(C):
        for i in members[int(left)]:
            for j in members[int(right)]:
                heights[i, j] = heights[j, i] = height
        members.append(members[int(left)] | members[int(right)])
    pairs = np.triu_indices(20, 1)
    assert cophenetic_correlation(C) == pytest.approx(np.corrcoef(1 - C[pairs], heights[pairs])[0, 1])


TIED = """
    2422262522022222222222 1311141511611111111111 1311151611011111111111 1311161011511111111111 2144434144614444444444
    1311151411211121111111 1511131611211111111111 5033353033203353333033 4144404544644444444444 6455525455145555555555
"""
"""Clusters of 22 samples by ten starts. From their distances, as they are, scipy 1.17 makes a tree that is none."""


def test_equal_distances_make_a_tree_whatever_their_rounding():
    C = consensus_matrix(np.array([[int(cluster) for cluster in start] for start in TIED.split()]))
    tree = average_linkage(C)
    assert hierarchy.is_valid_linkage(tree)
    assert sorted(tree[:, :2].ravel()) == list(range(2 * 22 - 2))
    assert 0 < cophenetic_correlation(C) < 1


@pytest.mark.parametrize(
    ("scores", "used", "expected"),
    [
        ({2: 0.990, 3: 0.988, 4: 0.954, 5: 0.950}, {2, 3, 4, 5}, 3),  # ALL/AML, twelve starts
        ({2: 1.0, 3: 1.0, 4: 1.0, 5: 0.97}, {2, 3, 5}, 3),  # three clean clusters, a fourth component stays unused
        ({2: 1.0, 3: 0.9, 4: 1.0, 5: 0.9}, {2, 3, 4, 5}, 4),
        ({2: 1.0, 3: 1.0, 4: 0.9995}, {2, 3, 4}, None),  # nothing has fallen
        ({2: 1.0, 3: 0.9}, {2, 3}, 2),
        ({1: 1.0, 2: 0.8, 3: 0.7}, {1, 2, 3}, 1),
    ],
)
def test_the_last_number_before_the_fall(scores, used, expected):
    assert last_before_the_fall(scores, used) == expected


def fits_of(W):
    starts, r, _ = W.shape
    return Fits(torch.ones(starts, 2, r, dtype=W.dtype), W, torch.arange(starts, dtype=torch.float64))


def shuffled_starts(noise, starts=12, r=4, m=30):
    generator = torch.Generator().manual_seed(0)
    true = torch.rand(r, m, generator=generator, dtype=torch.float64).square()
    W = true + noise * torch.rand(starts, r, m, generator=generator, dtype=torch.float64)
    scales = torch.rand(starts, r, 1, generator=generator, dtype=torch.float64) + 0.5
    orders = torch.stack([torch.randperm(r, generator=generator) for _ in range(starts)])
    return true, (W * scales).gather(1, orders[..., None].expand(W.shape))


def test_matched_components_are_one_of_every_start_whatever_their_order_and_scale():
    true, W = shuffled_starts(0.05)
    found = matched(fits_of(W))
    cosines = torch.nn.functional.normalize(true, dim=1) @ found[0].T
    places = cosines.argmax(0)
    assert sorted(places.tolist()) == [0, 1, 2, 3]
    for start in found:
        assert bool(((torch.nn.functional.normalize(true, dim=1)[places] * start).sum(1) > 0.98).all())


def test_silhouettes_are_1_for_equal_starts_and_low_for_unlike_ones():
    _, equal = shuffled_starts(0.0)
    generator = torch.Generator().manual_seed(1)
    unlike = torch.rand(12, 4, 30, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(silhouettes_of(matched(fits_of(equal))), torch.ones(4, dtype=torch.float64))
    assert float(silhouettes_of(matched(fits_of(unlike))).max()) < 0.3
    assert silhouettes_of(equal[:, :1]).tolist() == [1]


@pytest.mark.untyped
def test_outliers_do_not_move_the_medians():
    true, W = shuffled_starts(0.02, starts=11)
    W[3] = (
        torch.rand(4, 30, generator=torch.Generator().manual_seed(5), dtype=torch.float64) * torch.eye(30).double()[:4]
    )

    class Given:
        seeds = 11

        def __getitem__(self, n_components):
            return fits_of(W)

    judgement = Stability(best=1.0).judge(Given(), 4, torch.Generator().manual_seed(0))
    assert judgement.figures["outliers"] == pytest.approx(4 / 44)
    for name in ("components", "medoids"):
        cosines = torch.nn.functional.normalize(true, dim=1) @ torch.from_numpy(judgement.arrays[name]).T
        assert float(cosines.amax(0).min()) > 0.99


def test_the_density_of_a_component_is_its_mean_distance_to_its_neighbours():
    distances = 1 - torch.eye(5, dtype=torch.float64)
    torch.testing.assert_close(density(distances, 5), torch.full((5,), 2**0.5, dtype=torch.float64))


def test_perturbed_data_stay_within_their_bounds():
    X = synthetic(3)
    ratio = perturbed(X, 0.1, torch.Generator().manual_seed(0)).values / X.values
    seen = ratio[X.values > 0]
    assert 0.9 - 1e-6 <= float(seen.min()) < 0.92
    assert 1.08 < float(seen.max()) <= 1.1 + 1e-6
    with pytest.raises(Refusal, match="perturbation=0"):
        perturbed(as_matrix(X.numpy(), None, torch.ones(X.shape)), 0.1, torch.Generator())


@pytest.mark.parametrize("selector", SELECTORS, ids=["consensus", "stability", "perturbed"])
def test_one_start_alone_is_refused(selector):
    with pytest.raises(Refusal, match="seeds is 1"):
        judged(selector, synthetic(3), [3], seeds=1)


@pytest.mark.parametrize("given", [{"threshold": 0.0}, {"best": 1.5}, {"perturbation": 1.0}, {"outlier": -1.0}])
def test_settings_that_mean_nothing_are_refused(given):
    with pytest.raises(Refusal, match=next(iter(given))):
        Stability(**given)


def test_halves_are_as_many_different_starts():
    for seeds, size in ((20, 10), (3, 2), (2, 2)):
        for half in subsets(seeds, torch.Generator().manual_seed(0)):
            assert len(half) == size == len(half.unique())


def test_a_judgement_sums_its_repeats_up():
    judgement = Judgement(np.array([1.0, 2.0, 3.0]))
    assert (judgement.score, judgement.spread) == (2.0, 1.0)
    assert Judgement(np.array([1.0]), 5.0).score == 5.0
    assert Judgement(np.array([1.0])).spread == 0.0


def test_a_recommendation_is_what_has_the_most_support_and_says_who_disagrees():
    said = {"a": Choice(3, 1.0, "…"), "b": Choice(4, 0.4, "…"), "c": Choice(3, 0.9, "…"), "d": Choice(None, 1.0, "…")}
    recommendation = Recommendation(said, (2, 3, 4, 5))
    assert recommendation.n_components == 3
    assert recommendation.supports == pytest.approx({3: 1.9 / 4, 4: 0.1})
    assert recommendation.sentence == (
        "n_components = 3: 2 of 4 criteria say so (a, c); b says 4; d cannot tell; support 0.47, not sure."
    )
    assert recommendation.table().cells[3][:2] == ["d", "—"]


def test_a_recommendation_at_the_end_of_the_range_asks_for_more_and_none_is_none():
    assert Recommendation({"a": Choice(5, 1.0, "…")}, (2, 5)).sentence.endswith(
        "sure; it is the largest that was tried: try more."
    )
    nothing = Recommendation({"a": Choice(None, 1.0, "…")}, (2, 5))
    assert nothing.n_components is None
    assert nothing.sentence == "no recommendation: none of 1 criterion can tell among 2, 5."

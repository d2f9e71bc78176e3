from itertools import permutations

import numpy as np
import pytest
import torch

from nmf_nets.metrics.stability import amari_distance, chance_level, matched_cosine, stability

R, M = 5, 40


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def components(seed: int = 0, r: int = R, m: int = M) -> torch.Tensor:
    return torch.rand(r, m, generator=generator(seed), dtype=torch.float64) ** 3


SCALES = torch.tensor([[1e-8], [1.0], [30.0], [1e-9], [1e9]], dtype=torch.float64)


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [4, 2, 0, 1, 3]])
@pytest.mark.parametrize(("measure", "same"), [(matched_cosine, 1), (amari_distance, 0)])
def test_order_and_scale_make_no_difference(measure, same, order):
    W, other = components(0), components(1)
    assert measure(W, (SCALES * W)[order]) == pytest.approx(same, abs=1e-9)
    distance = measure(W, other)
    assert 0.05 < distance < 0.95
    assert measure((W / SCALES)[order], other) == pytest.approx(distance, rel=1e-9)
    assert measure(W, (other * SCALES)[order]) == pytest.approx(distance, rel=1e-9)
    assert measure(W[:, torch.randperm(M, generator=generator())], W) != pytest.approx(same, abs=0.05)
    assert measure(W.float(), other.float()) == pytest.approx(distance, rel=1e-4)


def test_the_distance_is_that_of_the_formula():
    W, other = components(0), components(1)
    A, B = (V.numpy() / np.linalg.norm(V.numpy(), axis=1, keepdims=True) for V in (W, other))
    P = np.abs(A @ np.linalg.pinv(B))
    rows = sum(sum(P[i, j] / max(P[i]) for j in range(R)) - 1 for i in range(R))
    columns = sum(sum(P[i, j] / max(P[:, j]) for i in range(R)) - 1 for j in range(R))
    assert amari_distance(W, other) == pytest.approx((rows + columns) / (2 * R * (R - 1)), rel=1e-9)


def test_no_component_is_too_faint_for_the_distance():
    W, other = components(0), components(1)
    assert amari_distance(1e-60 * W, 1e-60 * other) == pytest.approx(amari_distance(W, other), rel=1e-9)


def test_a_mixture_by_hand():
    unit = torch.eye(2, 4, dtype=torch.float64)
    tilted = torch.tensor([[4.0, 3, 0, 0], [0, 1, 0, 0]], dtype=torch.float64)  # P = [[.8, .6], [0, 1]]
    assert amari_distance(tilted, unit) == pytest.approx((0.75 + 0 + 0 + 0.6) / 4)
    assert matched_cosine(tilted, unit) == pytest.approx(0.9)
    assert amari_distance(torch.ones(2, 4, dtype=torch.float64), unit) == pytest.approx(1)


@pytest.mark.parametrize(("r", "dead"), [(2, [0]), (3, [2]), (5, [1, 3]), (12, [3, 4, 7]), (20, [9, 13, 15])])
def test_dead_components_are_like_none(r, dead):
    W = components(0, r)
    W[dead] = 0
    assert matched_cosine(W, W) == pytest.approx(1 - len(dead) / r)
    # Their rows and columns are constant; every other has a single entry.
    assert amari_distance(W, W) == pytest.approx(len(dead) / r)
    for A, B in ((W, 0 * W), (0 * W, W), (0 * W, 0 * W)):
        assert (matched_cosine(A, B), amari_distance(A, B)) == (0, 1)


def test_a_single_component_is_itself_unless_dead():
    w = components(0, 1)
    assert amari_distance(w, components(1, 1)) == 0
    assert amari_distance(w, 0 * w) == amari_distance(0 * w, w) == 1


def test_components_of_separate_features_are_as_unlike_as_can_be():
    A, B = torch.eye(6)[:3], torch.eye(6)[3:]
    assert (matched_cosine(A, B), amari_distance(A, B)) == (0, 1)


def test_a_copy_within_a_run_is_like_none_for_the_distance():
    W = components()
    W[1] = 2 * W[0]
    assert 0.1 < amari_distance(W, W) <= 1
    assert matched_cosine(W, W) == pytest.approx(1)


def test_uniform_matrices_are_alike_by_chance():
    assert chance_level(R, M, generator(), matched_cosine) == pytest.approx(0.79, abs=0.02)
    assert chance_level(R, M, generator(), amari_distance) == pytest.approx(0.45, abs=0.06)
    assert chance_level(3, 20_000, generator(), matched_cosine) == pytest.approx(0.75, abs=0.01)
    first, again, other = (chance_level(R, M, generator(seed), matched_cosine) for seed in (0, 0, 1))
    assert first == again != other


def test_stability_is_the_mean_over_pairs():
    runs = [components(seed) for seed in range(3)]
    found = stability(runs, generator())
    pairs = list(permutations(runs, 2))
    assert found.matched_cosine == pytest.approx(np.mean([matched_cosine(*pair) for pair in pairs]))
    assert found.amari_distance == pytest.approx(np.mean([amari_distance(*pair) for pair in pairs]))
    assert found == stability(runs, generator())


def test_runs_that_agree_are_far_from_chance_and_random_ones_at_it():
    W = torch.rand(R, M, generator=generator(), dtype=torch.float64)
    agree = stability([W, 3 * W[[1, 0, 2, 4, 3]], SCALES * W], generator())
    assert agree.matched_cosine == pytest.approx(1)
    assert agree.amari_distance == pytest.approx(0, abs=1e-9)
    drawn = stability([torch.rand(R, M, generator=generator(seed)) for seed in range(1, 6)], generator())
    for found in (agree, drawn):
        assert found.uniform_cosine == pytest.approx(0.79, abs=0.02)
        assert found.shuffled_cosine == pytest.approx(0.79, abs=0.04)
        assert found.uniform_amari == pytest.approx(0.45, abs=0.1)
        assert found.shuffled_amari == pytest.approx(0.45, abs=0.1)
    assert drawn.matched_cosine == pytest.approx(0.79, abs=0.03)
    assert drawn.amari_distance == pytest.approx(0.45, abs=0.1)


def test_sparse_components_hardly_meet_by_chance():
    W = components(0, R, 1000)
    sparse = torch.where(torch.rand(W.shape, generator=generator(1)) < 0.02, W, 0)
    found = stability([sparse, sparse.clone()], generator())
    assert found.shuffled_cosine < 0.2
    assert found.uniform_cosine > 0.7


def test_one_run_has_no_pairs():
    with pytest.raises(ValueError, match="at least one"):
        stability([components()], generator())


def test_many_features_are_no_trouble():
    W = components(0, 20, 28_550)
    assert amari_distance(W, W.flip(0)) == pytest.approx(0, abs=1e-9)
    assert matched_cosine(W, W.flip(0)) == pytest.approx(1)

import numpy as np
import pytest

from nmf_nets.benchmark.robustness import PLANTED, SELECTIONS, bound, draw, recovered, robustness


def test_selections_find_all_without_noise_and_hardly_anything_in_much():
    table = robustness(n_components=4, n_features=12, trials=3, levels=(1e-6, 3.0))
    assert list(table.frame["data"]) == [data for data in PLANTED for _ in range(2)]
    little, much = (table.frame[table.frame["noise"] == noise] for noise in (1e-6, 3.0))
    assert (little[list(SELECTIONS)] == 1).all(axis=None)
    assert (much[list(SELECTIONS)] < 0.9).all(axis=None)
    figure = draw(table)
    assert len(figure.axes) == len(PLANTED)
    assert all(len(axes.lines) == len(SELECTIONS) for axes in figure.axes)


@pytest.mark.parametrize("data", PLANTED)
def test_within_the_bound_successive_projection_finds_all(data):
    for seed in range(5):
        X, noise = PLANTED[data](np.random.default_rng(seed), 4, 12)
        assert np.linalg.norm(noise, axis=1).max() == pytest.approx(np.linalg.norm(X[:4], axis=1).max())
        assert recovered(SELECTIONS["SPA"], X, bound(X[:4]) * noise, 4) == 1


def test_the_bound_of_orthonormal_rows():
    assert bound(np.eye(5)) == pytest.approx(0.25 / 81)
    assert bound(3 * np.eye(10)) == pytest.approx(1 / 6 / 81)

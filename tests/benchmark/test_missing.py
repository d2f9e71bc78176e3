"""Imputation and ratings: the rivals, and what the tables say."""

import numpy as np
import pytest

from nmf_nets.benchmark import missing
from nmf_nets.benchmark.missing import Ratings, biases, chosen, mean, nmf, pixels, ratings, read_ratings, rmse
from nmf_nets.extras import Missing

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # as the program does


def given(n: int = 60, m: int = 40, part: float = 0.6, noise: float = 0.1) -> Ratings:
    """Of two tastes."""
    chance = np.random.default_rng(0)
    X = 5 * np.kron(np.eye(2), np.ones((n // 2, m // 2))) + chance.random((n, m)) * noise + 1
    users, items = np.nonzero(chance.random((n, m)) < part)
    return Ratings(users, items, X[users, items], (n, m))


def halves(of: Ratings) -> tuple[Ratings, Ratings]:
    first = np.random.default_rng(1).random(len(of.values)) < 0.8
    return of.part(np.flatnonzero(first)), of.part(np.flatnonzero(~first))


@pytest.mark.parametrize("header", ["", "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"])
def test_ratings_are_read_with_and_without_a_header(tmp_path, header):
    (tmp_path / "ratings").write_text(header + "7\t9\t4\t881\n8\t9\t2\t882\n7\t5\t3.5\t883\n")
    found = read_ratings(tmp_path / "ratings")
    assert found.shape == (2, 2)
    assert found.users.tolist() == [0, 1, 0]
    assert found.items.tolist() == [0, 0, 1]
    assert found.values.tolist() == [4, 2, 3.5]


def test_biases_are_the_ridge_regression_on_users_and_items():
    known, asked = halves(given(20, 10))
    left = known.values - known.values.mean()
    design = np.zeros((len(left), 30))
    design[np.arange(len(left)), known.users] = design[np.arange(len(left)), 20 + known.items] = 1
    b = np.linalg.solve(design.T @ design + np.diag([15.0] * 20 + [10.0] * 10), design.T @ left)
    expected = known.values.mean() + b[asked.users] + b[20 + asked.items]
    np.testing.assert_allclose(biases(known, asked, passes=200), expected, rtol=1e-8)
    np.testing.assert_allclose(biases(known, asked), expected, rtol=1e-2)


def test_nmf_finds_what_biases_cannot():
    known, asked = halves(given())
    errors = [rmse(method(known, asked), asked, known) for method in (mean, biases)]
    assert rmse(nmf(known, asked, 2, 0.1), asked, known) < 0.1 * min(errors)


def test_settings_are_chosen_without_a_look_at_what_is_asked():
    seen = []

    def method(known, asked, size):
        seen.append((size, len(known.values), len(asked.values)))
        return asked.values + abs(size - 3) if len(seen) <= 4 else np.full(len(asked.values), float(size))

    known, asked = halves(given())
    found = chosen(method, {"size": [1, 2, 3, 4]})(known, asked)
    n = len(known.values)
    assert (found == 3).all()
    assert seen == [(size, n - int(0.1 * n), int(0.1 * n)) for size in (1, 2, 3, 4)] + [(3, n, len(asked.values))]


def test_the_table_of_ratings_leaves_out_what_is_not_installed(monkeypatch, capsys):
    def absent(name, known, asked, **settings):
        raise Missing("surprise is not installed")

    monkeypatch.setattr(missing, "surprise", absent)
    frame = ratings(given(30, 20), folds=2).frame.set_index("method")["RMSE"]
    assert list(frame.index) == ["mean", "mean, user and item", "NMF"]
    assert frame["NMF"] < 0.5 * frame["mean"]
    assert capsys.readouterr().err.count("is left out: surprise is not installed") == 2


def test_hidden_pixels_of_low_rank_are_found_by_nmf_best():
    chance = np.random.default_rng(0)
    frame = pixels(chance.random((150, 4)) @ chance.random((4, 30)), sizes=(4,)).frame.set_index("imputation")["RMSE"]
    assert frame["NMF, 4 components"] < 0.5 * frame.drop("NMF, 4 components").min()
    assert frame["mean of the pixel"] == frame.max()

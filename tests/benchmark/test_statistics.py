import math
from itertools import permutations, product

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from nmf_nets.benchmark.statistics import (
    Interval,
    TimeToTarget,
    bootstrap_interval,
    censored_median,
    holm,
    improvement_interval,
    interquartile_mean,
    median,
    paired_difference,
    performance_profile,
    probability_of_improvement,
    time_to_target,
)
from nmf_nets.refusal import Refusal

INF = math.inf


def chance(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def table(seeds: int = 6, tasks: int = 3) -> np.ndarray:
    return chance(1).lognormal(size=(seeds, tasks)) + np.arange(tasks)


# The interquartile mean -----------------------------------------------------------------------------------------------


def test_a_quarter_is_cut_off_at_either_end():
    assert interquartile_mean(np.array([100.0, 1, 2, 3, -100])) == pytest.approx(2)
    assert interquartile_mean(np.array([[8.0, 1], [2, 7], [3, 6], [5, 1000]])) == pytest.approx((3 + 5 + 6 + 7) / 4)
    assert interquartile_mean(np.array([1.0, 2, 6])) == pytest.approx(3)


def test_all_entries_count_alike_unless_an_axis_is_given():
    x = table(8, 3)
    assert interquartile_mean(x) == pytest.approx(np.sort(x.ravel())[6:-6].mean())
    np.testing.assert_allclose(interquartile_mean(x, axis=0), np.sort(x, axis=0)[2:-2].mean(0))


# Intervals ------------------------------------------------------------------------------------------------------------

STATISTICS = [interquartile_mean, np.mean, np.median]


@pytest.mark.parametrize("statistic", STATISTICS)
def test_the_interval_of_one_task_is_scipys(statistic):
    x = chance(2).exponential(size=12)
    ours = bootstrap_interval(x, statistic, chance(), repeats=20_000)
    theirs = scipy.stats.bootstrap((x,), statistic, n_resamples=20_000, method="percentile", rng=chance(3))
    assert ours.value == pytest.approx(statistic(x))
    width = ours.high - ours.low
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.03 * width)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.03 * width)


def test_the_interval_is_that_of_all_samples_which_can_be_drawn():
    x = np.array([[0.0, 10], [1, 30], [5, 70]])
    means = [np.mean([*a, *b]) for a, b in product(product(x[:, 0], repeat=3), product(x[:, 1], repeat=3))]
    found = bootstrap_interval(x, np.mean, chance(), repeats=20_000, level=0.8)
    low, high = np.quantile(means, [0.1, 0.9])
    assert (found.low, found.high) == (pytest.approx(low, abs=0.5), pytest.approx(high, abs=0.5))


@pytest.mark.parametrize("statistic", STATISTICS)
def test_tasks_differ_without_widening_the_interval(statistic):
    x = np.tile([1.0, 50, 900], (5, 1))
    found = bootstrap_interval(x, statistic, chance())
    assert (found.low, found.high) == (pytest.approx(found.value), pytest.approx(found.value))


def test_each_task_draws_seeds_of_its_own():
    x = np.array([1.0, 2, 3, 4, 5])
    found = bootstrap_interval(np.stack([x, -x], axis=1), np.mean, chance())
    assert found.low < -0.3
    assert found.high > 0.3


def test_the_interval_follows_scale_and_shift_and_the_generator_alone():
    x = table()
    found = bootstrap_interval(x, interquartile_mean, chance(5))
    moved = bootstrap_interval(7 - 1e6 * x, interquartile_mean, chance(5))
    assert bootstrap_interval(x, interquartile_mean, chance(5)) == found
    assert bootstrap_interval(x, interquartile_mean, chance(6)) != found
    for ours, theirs in ((moved.value, found.value), (moved.low, found.high), (moved.high, found.low)):
        assert ours == pytest.approx(7 - 1e6 * theirs)


def test_a_higher_level_is_wider_and_one_seed_has_no_width():
    x = table()
    wide, narrow = (bootstrap_interval(x, np.mean, chance(), level=level) for level in (0.99, 0.5))
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high
    assert bootstrap_interval(x[:1], np.mean, chance()) == Interval(x[0].mean(), x[0].mean(), x[0].mean())


# How to draw, E[X | lower quartile < X < upper quartile] and E[X].
LAWS = {
    "normal": (np.random.Generator.standard_normal, 0.0, 0.0),
    "exponential": (np.random.Generator.standard_exponential, 0.73838, 1.0),
}


@pytest.mark.parametrize(("seeds", "least"), [(5, 0.75), (10, 0.85), (50, 0.9)])
@pytest.mark.parametrize("law", LAWS)
def test_intervals_hold_the_true_value_about_as_often_as_they_say(law, seeds, least):
    draw, *truths = LAWS[law]
    rng = chance(7)
    for statistic, truth in zip((interquartile_mean, np.mean), truths, strict=True):
        found = [bootstrap_interval(draw(rng, size=(seeds, 3)), statistic, rng, 400) for _ in range(300)]
        assert least <= np.mean([interval.low <= truth <= interval.high for interval in found]) <= 0.99


def test_intervals_overlap_from_both_sides():
    a, b, c = Interval(1, 0, 2), Interval(2.5, 2, 3), Interval(9, 8, 10)
    inner = Interval(1, 0.5, 1.5)
    assert a.overlaps(b)
    assert b.overlaps(a)
    assert a.overlaps(inner)
    assert inner.overlaps(a)
    assert not a.overlaps(c)
    assert not c.overlaps(a)


@pytest.mark.parametrize("bad", [math.nan, INF])
def test_what_is_not_finite_has_no_interval(bad):
    x = table()
    x[4, 1] = bad
    with pytest.raises(Refusal, match=rf"x\[4, 1\] is {bad}"):
        bootstrap_interval(x, np.mean, chance())


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (2, 2, 2)])
def test_what_is_no_table_is_refused(shape):
    with pytest.raises(Refusal, match="dimensions"):
        bootstrap_interval(np.zeros(shape), np.mean, chance())


# The probability of improvement ---------------------------------------------------------------------------------------


def test_the_probability_of_improvement_by_hand():
    assert probability_of_improvement(np.array([1.0, 2]), np.array([3.0, 4, 5])) == 1
    assert probability_of_improvement(np.array([3.0, 4]), np.array([1.0])) == 0
    assert probability_of_improvement(np.array([1.0, 3]), np.array([2.0, 3])) == pytest.approx((1 + 1 + 0 + 0.5) / 4)


def test_it_is_mann_and_whitneys_statistic_averaged_over_tasks():
    x, y = chance(0).integers(9, size=(6, 3)).astype(float), chance(1).integers(9, size=(8, 3)).astype(float)
    U = [scipy.stats.mannwhitneyu(y[:, t], x[:, t]).statistic for t in range(3)]
    assert probability_of_improvement(x, y) == pytest.approx(np.mean(U) / 48)
    assert probability_of_improvement(y, x) == pytest.approx(1 - np.mean(U) / 48)
    assert probability_of_improvement(x, x) == 0.5
    assert probability_of_improvement(np.exp(x), np.exp(y)) == probability_of_improvement(x, y)


def test_times_that_were_never_reached_tie():
    never, some = np.array([INF, INF]), np.array([1.0, INF])
    assert probability_of_improvement(never, never) == 0.5
    assert probability_of_improvement(some, never) == 0.75
    with pytest.raises(Refusal, match=r"y\[1\] is nan"):
        probability_of_improvement(some, np.array([1.0, math.nan]))
    with pytest.raises(Refusal, match="x has 3 tasks, but y has 2"):
        probability_of_improvement(table(), table()[:, :2])


def test_its_interval_is_that_of_draws_one_by_one():
    x, y = table(5, 2), table(7, 2)[::-1] * 1.2
    found = improvement_interval(x, y, chance(), repeats=8000)
    rng, draws = chance(9), []
    for _ in range(3000):
        a, b = (np.take_along_axis(z, rng.integers(len(z), size=z.shape), 0) for z in (x, y))
        draws.append(probability_of_improvement(a, b))
    assert found.value == pytest.approx(probability_of_improvement(x, y))
    np.testing.assert_allclose((found.low, found.high), np.quantile(draws, [0.025, 0.975]), atol=0.03)


def test_a_clean_sweep_has_an_interval_without_width():
    assert improvement_interval(table(), table() + 100, chance()) == Interval(1, 1, 1)


# Paired differences ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 5, 10, 25])
def test_without_ties_the_p_value_is_scipys_exact_one(n):
    for seed in range(5):
        x, y = chance(seed).normal(size=n), chance(seed + 100).normal(0.5, size=n)
        found = paired_difference(x, y, chance())
        assert found.n == n
        _, expected = scipy.stats.wilcoxon(x, y, method="exact")
        assert found.p_value == pytest.approx(expected, rel=1e-12)


def test_with_ties_and_zeros_the_p_value_is_that_of_all_signs():
    difference = np.array([0.0, 1, 1, -1, 2, 2, -3, 0, 4, 4])
    kept = difference[difference != 0]
    ranks = scipy.stats.rankdata(np.abs(kept))
    sums = np.array([ranks[np.array(signs)].sum() for signs in product([True, False], repeat=len(kept))])
    seen = ranks[kept > 0].sum()
    expected = 2 * min((sums >= seen).mean(), (sums <= seen).mean())
    assert paired_difference(difference, 0 * difference, chance()).p_value == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("n", "least"), [(5, 0.0625), (6, 0.03125), (10, 2**-9)])
def test_a_clean_sweep_has_the_least_p_value_of_so_many_pairs(n, least):
    x = np.arange(n, dtype=float)
    for a, b in ((x, x + 1), (x + 1, x)):
        assert paired_difference(a, b, chance()).p_value == least


def test_no_difference_is_no_evidence():
    found = paired_difference(np.ones(5), np.ones(5), chance())
    assert (found.p_value, found.median) == (1, Interval(0, 0, 0))


def test_the_median_is_that_of_the_differences():
    x, y = np.array([1.0, 20, 300]), np.array([0.0, 30, 100])
    found = paired_difference(x, y, chance())
    assert (found.median.value, found.median.low, found.median.high) == (1, -10, 200)
    swapped = paired_difference(y, x, chance())
    assert swapped.median.value == -1
    assert swapped.p_value == found.p_value


def test_pairs_are_of_one_task_and_finite():
    for x, y in ((np.ones(3), np.ones(4)), (np.ones((3, 2)), np.ones((3, 2)))):
        with pytest.raises(Refusal, match="pairs of one task"):
            paired_difference(x, y, chance())
    with pytest.raises(Refusal, match=r"y\[1\] is inf"):
        paired_difference(np.ones(2), np.array([1, INF]), chance())


@pytest.mark.parametrize(
    ("p", "adjusted"),
    [
        ([0.01, 0.02, 0.03, 0.04, 0.05], [0.05, 0.08, 0.09, 0.09, 0.09]),
        ([0.04, 0.01, 0.03], [0.06, 0.03, 0.06]),
        ([0.5, 0.6, 0.001], [1, 1, 0.003]),
        ([0.02], [0.02]),
        ([], []),
    ],
)
def test_holm_by_hand(p, adjusted):
    np.testing.assert_allclose(holm(p), adjusted, rtol=1e-12)


def test_holm_keeps_the_order_and_lies_between_nothing_and_bonferroni():
    p = chance().random(9) ** 3
    for order in ([0, 1, 2, 3, 4, 5, 6, 7, 8], [5, 3, 8, 0, 7, 1, 2, 6, 4]):
        adjusted = holm(p[order])
        np.testing.assert_array_equal(adjusted, holm(p)[order])
        assert (np.diff(adjusted[np.argsort(p[order])]) >= 0).all()
        assert ((adjusted >= p[order]) & (adjusted <= np.minimum(1, 9 * p[order]))).all()


@pytest.mark.parametrize("bad", [-0.1, 1.1, math.nan])
def test_what_is_no_p_value_is_not_adjusted(bad):
    with pytest.raises(Refusal, match="between 0 and 1"):
        holm([0.5, bad])


# Times to a target ----------------------------------------------------------------------------------------------------


def test_the_time_is_that_of_the_first_value_at_the_target():
    seconds, values = np.array([0.5, 1, 2, 4]), np.array([9.0, math.nan, 3, 5])
    assert time_to_target(seconds, values, 9) == 0.5
    assert time_to_target(seconds, values, 3) == 2
    assert time_to_target(seconds, values, 2.999) == INF
    assert time_to_target(seconds[:0], values[:0], 9) == INF


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([3, 1, 2, 4, 5], TimeToTarget(5, 5, 2, 3, 4)),
        ([3, INF, 2, INF, 1], TimeToTarget(3, 5, 2, 3, INF)),
        ([INF, INF, 2, INF, 1], TimeToTarget(2, 5, 2, INF, INF)),
        ([INF, 3, 2, INF], TimeToTarget(2, 4, 2, 3, INF)),
        ([7], TimeToTarget(1, 1, 7, 7, 7)),
        ([INF, INF], TimeToTarget(0, 2, INF, INF, INF)),
    ],
)
def test_runs_that_never_arrived_are_later_than_any(times, expected):
    for order in list(permutations(times))[:24]:
        assert censored_median(np.array(order, dtype=float)) == expected


def test_failing_never_improves_the_median():
    times = chance().exponential(size=10)
    medians = []
    for failed in range(11):
        times[:failed] = INF
        medians.append(censored_median(times).median)
    assert medians == sorted(medians)
    with pytest.raises(Refusal, match="nan"):
        censored_median(np.array([1, math.nan]))


def test_a_performance_profile_by_hand():
    times = np.array([[1.0, 2, INF], [3, 3, 9], [INF, INF, INF], [8, 2, INF]])
    profile = performance_profile(times, np.array([1, 2, 3, 4, 1e9]))
    expected = [[0.5, 0.5, 0.5, 0.75, 0.75], [0.5, 0.75, 0.75, 0.75, 0.75], [0, 0, 0.25, 0.25, 0.25]]
    np.testing.assert_array_equal(profile, expected)


def test_a_profile_rises_to_the_part_solved_and_knows_no_unit_of_time():
    times = chance().exponential(size=(20, 4))
    times[chance(1).random(times.shape) < 0.3] = INF
    taus = np.geomspace(1, 1e9, 50)
    profile = performance_profile(times, taus)
    assert (np.diff(profile, axis=1) >= 0).all()
    np.testing.assert_array_equal(profile[:, -1], np.isfinite(times).mean(0))
    assert profile[:, 0].sum() == pytest.approx(np.isfinite(times).any(1).mean())
    units = 2.0 ** np.arange(-10, 10)[:, None]
    np.testing.assert_array_equal(performance_profile(times * units, taus), profile)


def test_who_starts_at_the_target_is_best():
    np.testing.assert_array_equal(performance_profile(np.array([[0.0, 1, 0]]), np.array([1.0, 100])).T, [[1, 0, 1]] * 2)


@pytest.mark.parametrize(
    ("values", "expected"),
    [([3.0, 1.0, 2.0], 2.0), ([1.0, np.nan, 2.0], 1.5), ([None, 4.0], 4.0), ([np.nan, np.nan], np.nan), ([], np.nan)],
)
def test_the_median_is_of_what_is_known(values, expected):
    np.testing.assert_equal(median(pd.Series(values, dtype=object)), expected)

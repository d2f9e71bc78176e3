import numpy as np
import pandas as pd
import pytest

from nmf_nets.benchmark.selection_hits import (
    BETAS,
    COLUMNS,
    SELECTORS,
    SHAPE,
    chosen,
    draw,
    drawn,
    hits,
    hits_by_number,
    noisy,
    planted,
    with_recommendations,
)
from nmf_nets.selection.bi_cross_validation import BiCrossValidation


@pytest.mark.parametrize("n_components", [3, 12])
def test_what_is_planted_has_that_rank_and_no_empty_row_or_column(n_components):
    clean = planted(np.random.default_rng(0), n_components)
    assert clean.shape == SHAPE
    assert np.linalg.matrix_rank(clean) == n_components
    assert clean.sum(0).min() > 0
    assert clean.sum(1).min() > 0


@pytest.mark.parametrize("noise", BETAS)
def test_the_signal_to_noise_is_what_is_asked(noise):
    clean = 10 + planted(np.random.default_rng(0), 6)  # far enough from zero that nothing is cut
    X = noisy(np.random.default_rng(1), clean, noise, 4.0)
    scale = 1.0 if noise == "Gaussian" else 4.0 * clean.mean() / clean.var()
    assert np.var(scale * clean) / np.mean((X - scale * clean) ** 2) == pytest.approx(4.0, rel=0.1)


def test_criteria_choose_from_fits_that_they_share():
    X = drawn("Gaussian", 10.0, 3, 0)
    choices = chosen(X, 2.0, {"one": BiCrossValidation(repeats=1, starts=1)}, (2, 3, 4), 2, 0)
    assert choices["one"].n_components == 3


def test_tables_count_what_was_found():
    lines = [
        [noise, 10.0, r, number, name, r if number < 3 else 0, 0.5]
        for noise in BETAS for r in (3, 4) for number in range(4) for name in SELECTORS
    ]  # fmt: skip
    lines[0][5], lines[0][6] = 9, 1.0  # one criterion against four
    found = with_recommendations(pd.DataFrame(lines, columns=COLUMNS))
    assert len(found) == len(lines) + len(lines) // len(SELECTORS)
    table = hits(found).frame.set_index("noise")
    first = next(iter(SELECTORS))
    assert table.loc["Gaussian", first] == 5 / 8
    assert table.loc["Gaussian", "recommended"] == table.loc["Poisson", first] == 6 / 8
    assert list(table["sets"]) == [8, 8]
    by_number = hits_by_number(found, 10.0).frame
    assert list(by_number["recommended"]) == [3, 3, 3, 3]
    figure = draw(found)
    assert len(figure.axes) == len(BETAS)
    assert all(len(axes.lines) == len(SELECTORS) + 1 for axes in figure.axes)

import csv
import io
import math

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from rich.console import Console
from scipy.stats import trim_mean

from nmf_nets.benchmark.clock import Spent
from nmf_nets.benchmark.evaluator import Measurement
from nmf_nets.benchmark.recorder import Evaluation, Run, Status
from nmf_nets.benchmark.report.figures import figures, profiles
from nmf_nets.benchmark.report.findings import Findings
from nmf_nets.benchmark.report.tables import overall, summaries, tables
from nmf_nets.benchmark.results import Cell, ResultFolder, Results
from nmf_nets.factorization import Factorization
from nmf_nets.pages.palette import styles
from nmf_nets.pages.table import Table

FACTS = {
    "task": "toy",
    "divergence": "frobenius",
    "beta": 2.0,
    "n_components": 2,
    "n_samples": 4,
    "n_features": 6,
    "n_held_out": 5,
    "filled": 1.0,
    "sparse": False,
    "dtype": "float64",
    "device": "cpu",
    "fingerprint": "f",
    "identity": "toy beta=2",
    "rounding": 1e-12,
    "svd_error": 0.05,
    "independent_value": 1000.0,
    "image_shape": None,
    "best_known": 100.0,
}


def curve(*points):
    """(iteration, seconds, value) as evaluations."""
    return [
        Evaluation(i, Spent(s, 2 * s, 0.1 * s, int(10 * s), 2**20), Measurement(value, value / 1000, 0.5, 0, 0.25))
        for i, s, value in points
    ]


SLOW = ((1, 1.0, 200.0), (2, 2.0, 109.0), (10, 10.0, 100.5))
FAST = ((1, 0.1, 150.0), (5, 0.5, 100.9), (10, 1.0, 100.05))
NEVER = ((1, 1.0, 400.0), (10, 10.0, 300.0))


@pytest.fixture
def results(tmp_path):
    """slow: two seeds; fast: one seed arrives, one does not; absent: cannot serve; broken: fails at its second seed."""
    folder = ResultFolder(tmp_path)
    folder.claim({}, [FACTS])
    generator = torch.Generator().manual_seed(0)

    def fill(method, seed, status, points, error=None, **outcome):
        factors = Factorization(torch.rand(4, 2, generator=generator), torch.rand(2, 6, generator=generator))
        outcome = {"attempts": 1, "switches_per_second": 10.0, "warm_up_seconds": 0.5, "start": f"s{seed}", **outcome}
        run = Run(status, curve(*points), error, factors if points else None)
        folder.save(Cell("toy", "shared", method, seed, {}), outcome, run)

    codes = {
        f"{who}_codes_{what}": value for who, value in (("own", 2.2), ("exact", 2.0)) for what in ("value", "seconds")
    }
    codes |= {"own_codes_row_seconds": 1e-3, "exact_codes_row_seconds": 2e-3}
    for seed in (0, 1):
        fill("slow", seed, Status.BUDGET, SLOW, accuracy=0.5, **codes)
    fill("fast", 0, Status.CONVERGED, FAST, own_codes_error="ValueError: no codes today")
    fill("fast", 1, Status.BUDGET, NEVER)
    for seed in (0, 1):
        fill("absent", seed, Status.UNSUPPORTED, (), "it serves nothing")
    fill("broken", 0, Status.BUDGET, FAST)
    fill("broken", 1, Status.FAILED, SLOW, "ValueError: no")
    return Results.of(folder)


@pytest.fixture
def findings(results):
    return Findings(results)


def test_gaps_are_to_the_best_known_value_and_not_to_the_best_shown(findings, results):
    gaps = findings.records.query("method == 'slow' and seed == 0")["gap"]
    assert gaps.tolist() == pytest.approx([1.0, 0.09, 0.005])
    results.tasks["best_known"] = None
    assert Findings(results).best == {"toy": 100.05}
    results.tasks["best_known"] = 100.1  # worse than what was reached
    assert Findings(results).best == {"toy": 100.05}


def test_times_to_a_target_by_hand(findings):
    assert findings.times_to(0.1, "toy", "shared", "slow").tolist() == [2.0, 2.0]
    assert findings.times_to(0.01, "toy", "shared", "fast").tolist() == [0.5, math.inf]
    assert findings.times_to(0.001, "toy", "shared", "slow").tolist() == [math.inf, math.inf]
    assert findings.times_to(0.01, "toy", "shared", "broken").tolist() == [0.5, math.inf]  # failing is not arriving


def test_the_middle_holds_the_last_gap_of_a_seed_that_has_ended(findings):
    middle = findings.middle("toy", "shared", "fast", "seconds")
    assert middle["seconds"].iloc[[0, -1]].tolist() == pytest.approx([1.0, 10.0])
    assert middle["gap"].iloc[-1] == pytest.approx((0.0005 + 2.0) / 2)
    assert middle["gap"].iloc[0] == pytest.approx((0.0005 + 3.0) / 2)
    assert (middle["low"] <= middle["gap"]).all()
    assert (middle["gap"] <= middle["high"]).all()


def named(found, start):
    return next(table for table in found if table.name.startswith(start))


def test_the_final_table_by_hand(findings):
    frame = named(tables(findings), "final").frame.set_index("method")
    assert list(frame.index) == ["broken", "slow", "fast"]  # by the gap of the seed in the middle
    assert frame.loc["slow", "gap"] == pytest.approx(0.005)
    assert frame.loc["fast", "gap"] == pytest.approx((0.0005 + 2.0) / 2)
    assert frame.loc["fast", "worst"] == pytest.approx(2.0)
    assert frame.loc["fast", "from"] <= frame.loc["fast", "gap"] <= frame.loc["fast", "to"]
    assert frame.loc["slow", "above SVD"] == pytest.approx(0.1005 - 0.05)
    assert frame.loc["slow", "ms/iteration"] == pytest.approx(1000)
    assert frame.loc["fast", "ended"] == "1 converged, 1 budget"


def test_the_table_of_times_counts_who_arrived(findings):
    frame = named(tables(findings), "times").frame.set_index("method")
    assert frame.loc["slow", "to 10 %"] == 2.0
    assert frame.loc["slow", "seeds to 0.1 %"] == "0 of 2"
    assert math.isinf(frame.loc["slow", "to 0.1 %"])
    assert frame.loc["fast", "seeds to 1 %"] == "1 of 2"


def test_races_are_to_the_values_of_scikit_learn_by_hand(tmp_path):
    folder = ResultFolder(tmp_path)
    folder.claim({}, [FACTS])
    theirs = [((100, 1.0, 150.0), (200, 2.0, 120.0 + seed), (500, 5.0, 101.0)) for seed in (0, 1)]
    ours = [((1, 0.1, 120.5), (2, 0.2, 119.0), (3, 0.4, 100.9)), ((1, 0.1, 120.5), (2, 0.3, 102.0))]
    for method, runs in {"scikit_learn_cd": theirs, "ours": ours, "slow": [SLOW, SLOW]}.items():
        for seed, points in enumerate(runs):
            factors = Factorization(torch.ones(4, 2), torch.ones(2, 6))
            outcome = {"attempts": 1, "switches_per_second": 10.0, "warm_up_seconds": 0.5, "start": f"s{seed}"}
            run = Run(Status.BUDGET, curve(*points), None, factors)
            folder.save(Cell("toy", "shared", method, seed, {}), outcome, run)
    found = tables(Findings(Results.of(folder)))
    race = named(found, "race").frame.set_index("method")
    assert race.loc["ours", ["after 200", "after 200: ratio"]].tolist() == pytest.approx([0.1, 20.0])  # 0.2 and 0.1
    assert race.loc["scikit_learn_cd", "after 200: ratio"] == 1.0
    assert race.loc["slow", "after 200"] == 2.0
    assert race.loc["ours", "after 400"] == pytest.approx(0.4)  # the other seed never
    assert race.loc["slow", "its end + 1e-4"] == 10.0
    assert "| ours | 0.1 | × 20 |" in named(found, "race").markdown()


def test_the_paired_table_compares_the_seeds_that_both_have(findings):
    frame = named(tables(findings), "paired").frame.set_index("method")
    assert frame.loc["slow", "pairs"] == 1
    assert frame.loc["slow", "behind by"] == pytest.approx(0.005 - 0.0005)
    assert frame.loc["fast", "behind by"] == pytest.approx(0)


def test_held_out_rows_and_what_the_loss_does_not_say(findings):
    frame = named(tables(findings), "held_out").frame.set_index("method")
    assert frame.loc["slow", "own above exact"] == pytest.approx(0.1)
    assert frame.loc["slow", "own, ms one row"] == pytest.approx(1.0)
    assert np.isnan(frame.loc["fast", "own codes"])
    beyond = named(tables(findings), "beyond").frame.set_index("method")
    assert beyond.loc["slow", "accuracy"] == 0.5
    assert 0 < beyond.loc["slow", "cosine"] < 1


def test_who_was_left_out_and_why_is_always_said(findings):
    frame = named(tables(findings), "left_out").frame.set_index("method")
    assert frame.loc["absent"].tolist() == ["unsupported", 2, "it serves nothing"]
    assert frame.loc["broken"].tolist() == ["failed", 1, "ValueError: no"]
    assert frame.loc["fast"].tolist() == ["no codes", 1, "ValueError: no codes today"]


def test_the_summary_says_never_later_and_how_many(findings):
    console = Console(width=200, record=True, file=io.StringIO())
    for table in summaries(findings):
        console.print(table.rich())
    lines = {line.split()[0]: line for line in reversed(console.export_text().splitlines()) if line.strip()}
    assert "never" in lines["slow"]
    assert "0.5 (1/2)" in lines["fast"]
    assert "it serves nothing" in lines["absent"]


def test_profiles_by_hand(findings):
    found = profiles(findings, ["toy"], "shared")
    assert set(found) == {"broken", "slow", "fast"}
    taus, part = found["slow"]
    assert part[taus < 19].max() == 0.5  # seed 1 is reached by slow alone, and so at once
    assert part[taus > 21].min() == 1.0  # seed 0 in 10 s, twenty times the 0.5 s of fast
    assert found["fast"][1].tolist() == [0.5] * len(taus)


def test_figures_draw_every_method(findings):
    drawn = dict(figures(findings))
    assert set(drawn) == {"curves_toy_shared", "profile_frobenius_shared"}
    for figure in drawn.values():
        FigureCanvasAgg(figure).draw()
    labels = [text.get_text() for text in drawn["curves_toy_shared"].legends[0].get_texts()]
    assert labels == ["broken", "slow", "fast"]


def test_over_all_tasks_count_the_methods_that_serve_them_all(tmp_path):
    folder = ResultFolder(tmp_path)
    folder.claim({}, [FACTS, {**FACTS, "task": "other", "identity": "other"}])
    ends = {"good": (101, 102, 103), "bad": (110, 111, 130), "partial": (100.5, 100.5, 100.5)}
    for task, shift in (("toy", 0), ("other", 5)):
        for method, values in ends.items():
            for seed, value in enumerate(values):
                if method != "partial" or task == "toy":
                    run = Run(Status.BUDGET, curve((1, 1.0, value + shift)))
                    folder.save(Cell(task, "shared", method, seed, {}), {"switches_per_second": 1.0}, run)
    found = Findings(Results.of(folder))
    frame = next(overall(found, "shared")).frame.set_index("method")
    assert list(frame.index) == ["good", "bad"]
    gaps = np.array([[0.01, 0.06], [0.02, 0.07], [0.03, 0.08]])
    assert frame.loc["good", "gap"] == pytest.approx(trim_mean(gaps.ravel(), 0.25))
    assert frame.loc["bad", "better with"] == 0.0
    assert np.isnan(frame.loc["good", "better with"])  # against itself
    assert frame.loc["good", "from"] <= frame.loc["good", "gap"] <= frame.loc["good", "to"]


def test_a_comparison_of_which_nothing_ended_still_says_so(results):
    cells = results.cells[results.cells["method"] == "absent"]
    nothing = Findings(Results(cells, results.records.iloc[:0], results.tasks, {}, results.folders))
    assert [table.name for table in tables(nothing)] == ["left_out_toy_shared"]
    assert not dict(figures(nothing))
    assert nothing.best == {"toy": 100.0}


TABLE = Table(
    "t",
    "A & B",
    pd.DataFrame({"method": ["a_b", "c|d"], "gap": [0.125, math.nan], "time": [math.inf, 2.0], "n": [1, 2]}),
    {"gap": "{:.1%}", "time": "{:.1f}"},
    "50 % of it",
)


def test_a_table_in_every_form():
    assert TABLE.cells == [["a_b", "12.5%", "never", "1"], ["c|d", "—", "2.0", "2"]]
    read = list(csv.reader(io.StringIO(TABLE.csv())))
    assert read == [["method", "gap", "time", "n"], ["a_b", "0.125", "inf", "1"], ["c|d", "", "2.0", "2"]]
    assert "| :-- | --: | --: | --: |" in TABLE.markdown()
    assert "| c\\|d | — | 2.0 | 2 |" in TABLE.markdown()
    latex = TABLE.latex()
    assert r"a\_b & 12.5\% & never & 1 \\" in latex
    assert r"\caption{A \& B. 50 \% of it}" in latex
    assert r"\toprule" in latex
    assert "{lrrr}" in latex


def test_more_methods_than_colors_are_told_apart():
    drawn = styles(f"method {k}" for k in range(20))
    assert len({(style.color, style.line) for style in drawn.values()}) == 20

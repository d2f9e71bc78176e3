import json
import re
from datetime import date
from io import BytesIO
from urllib.request import urlopen

import numpy as np
import pandas as pd
import pytest
import torch
from browsing import CONTRAST, PAPER_IS_DARK, Elements
from matplotlib.image import imread
from plotly.offline import get_plotlyjs

from nmf_nets.benchmark.clock import Spent
from nmf_nets.benchmark.evaluator import Measurement
from nmf_nets.benchmark.recorder import Evaluation, Run, Status
from nmf_nets.benchmark.report.findings import Findings
from nmf_nets.benchmark.report.page import page
from nmf_nets.benchmark.report.pictures import PAPER, PICTURES
from nmf_nets.benchmark.report.sentences import ending, speed, starts
from nmf_nets.benchmark.report.tables import tables
from nmf_nets.benchmark.results import Cell, ResultFolder, Results
from nmf_nets.factorization import Factorization
from nmf_nets.pages.table import Table
from nmf_nets.whole_file import write

FACTS = {
    "task": "toy",
    "divergence": "frobenius",
    "beta": 2.0,
    "n_components": 3,
    "n_samples": 4,
    "n_features": 6,
    "n_held_out": 0,
    "filled": 0.5,
    "dtype": "float64",
    "device": "cpu",
    "identity": "toy beta=2",
    "rounding": 1e-12,
    "svd_error": 0.05,
    "independent_value": 1000.0,
    "image_shape": None,
    "best_known": 100.0,
}
ENVIRONMENT = {
    "python": "3.11.7",
    "packages": {"torch": "2.13.0", "tensorly": None},
    "processor": "Abacus <4>",
    "threads": 2,
    "git": {"commit": "9b27097", "changed": True},
    "command": ["/somewhere/benchmark/__main__.py", "method=[mu,hals]", "seeds=3"],
}
PLOTLY = get_plotlyjs()
EVIL = "</script><script>alert(1)</script>"
BOLD = "<b>hals</b></script> %{x} \"&amp;'"


def curve(end, pace=1.0):
    """Gaps from 300 % down to `end`, an evaluation after each power of two of iterations."""
    gaps = [end + (3.0 - end) / 4**step for step in range(12)] + [end]
    return [
        Evaluation(
            2**i, Spent(0.01 * pace * 2**i, 0.02, 0.001, 1, 2**20), Measurement(100 + 100 * gap, 0.2, 0.5, 0, 0.3)
        )
        for i, gap in enumerate(gaps)
    ]


class Comparison:
    """A result folder that is filled by hand."""

    def __init__(self, path, environment=ENVIRONMENT, **facts):
        self.folder, self.tasks = ResultFolder(path), {}
        self.task(**facts)
        write(self.folder.environment, json.dumps(environment).encode())

    def task(self, **facts):
        self.tasks[facts.get("task", "toy")] = {**FACTS, **facts}
        write(self.folder.tasks, json.dumps(list(self.tasks.values())).encode())

    def run(self, method, seed, end, task="toy", track="shared", status=Status.BUDGET, W=None, pace=1.0, **outcome):
        n, m, r = (self.tasks[task][name] for name in ("n_samples", "n_features", "n_components"))
        generator = torch.Generator().manual_seed(seed)
        W = torch.rand(r, m, generator=generator) if W is None else W
        ended = status in (Status.BUDGET, Status.CONVERGED)
        start = f"start {seed}" if track == "shared" else None
        outcome = {"attempts": 1, "switches_per_second": 9.0, "warm_up_seconds": 0.5, "start": start} | outcome
        run = Run(
            status,
            curve(end, pace) if ended else [],
            None if ended else "no <luck>",
            Factorization(torch.ones(n, r), W) if ended else None,
        )
        self.folder.save(Cell(task, track, method, seed, {}), outcome, run)

    def findings(self):
        return Findings(Results.of(self.folder))

    def page(self):
        return made(self.findings())


def made(findings):
    return page(findings, tables(findings), date(2026, 11, 24))


@pytest.fixture
def comparison(tmp_path):
    return Comparison(tmp_path)


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """Two tasks, images and words, names from elsewhere, two tracks, held-out rows, a method that fails."""
    found = Comparison(tmp_path_factory.mktemp("full"), image_shape=[2, 3], n_held_out=7)
    found.task(task=EVIL, divergence="kullback_leibler", beta=1.0, best_known=None)
    methods = {BOLD: (0.0, 1.0), "mu": (0.02, 2.0), "net <i>": (0.3, 9.0)}
    for seed in range(3):
        for number, (method, (end, pace)) in enumerate(methods.items()):
            for track in ("shared", "own"):
                codes = {f"own_codes_{what}": 1.0 + number for what in ("value", "seconds", "row_seconds")}
                codes |= {f"exact_codes_{what}": 0.5 for what in ("value", "seconds", "row_seconds")}
                found.run(method, seed, end * (1 + 0.1 * seed), track=track, pace=pace, **codes)
            words = [[f"<u>{method}", f"word{k}"] for k in range(3)]
            found.run(method, seed, end + 0.01 * seed, EVIL, pace=pace, top_features=words)
        found.run("cd", seed, 0, status=Status.UNSUPPORTED)
        found.run("lost", seed, 0, status=Status.DIVERGED)
    return found.findings()


@pytest.fixture(scope="module")
def html(full):
    return made(full)


def elements_of(html):
    return Elements(html.replace(PLOTLY, ""))


# The file -------------------------------------------------------------------------------------------------------------


def test_names_from_elsewhere_stay_text(full, html):
    elements = elements_of(html)
    tags = [tag for tag, _ in elements.found]
    assert not {"b", "i", "u"} & set(tags)
    charts = 2 * len(full.pairs) + 3
    assert tags.count("script") == charts + 2
    assert {BOLD, "mu", "net <i>", "cd", "lost"} == set(elements.values("data-method"))
    assert {EVIL, "no <luck>", f"<u>{BOLD} word0", "Abacus <4>"} <= {text.strip(", \n") for text in elements.text} | {
        text.partition(", 2 threads")[0].strip() for text in elements.text
    }


def test_charts_are_json_with_the_names_as_they_are(html):
    charts = [
        json.loads(text) for text in re.findall(r'<script type="application/json">(.*?)</script>', html, re.DOTALL)
    ]
    assert len(charts) == 9
    assert {trace["meta"] for trace in charts[0]["data"]} == {BOLD, "mu", "net <i>"}
    shown = {trace["name"] for trace in charts[0]["data"] if "name" in trace}
    assert "net &lt;i&gt;" in shown
    assert not any("<" in name for name in shown)


def test_every_table_is_there_with_all_its_cells(full):
    extra = Table("further", "Further: one", pd.DataFrame({"method": ["mu"], "number": [float("nan")]}))
    found = [*tables(full), extra]
    elements = elements_of(page(full, found))
    there = {text.strip() for text in elements.text}
    for table in found:
        assert table.name in elements.values("id"), table.name
        assert {cell.strip() for row in table.cells for cell in row} <= there, table.name
        assert {column.strip() for column in table.frame.columns} <= there, table.name
        assert not table.caption or table.caption in there


def test_csv_of_a_table_holds_its_raw_values(full, html):
    table = tables(full)[0]
    elements = elements_of(html)
    (link,) = (found["href"] for _, found in elements.found if found.get("download") == f"{table.name}.csv")
    with urlopen(link) as file:
        assert file.read().decode() == table.csv()


def test_nothing_is_fetched_and_plotly_is_there_once(html):
    assert html.count(PLOTLY) == 1
    own = html.replace(PLOTLY, "")
    assert not re.search(r"https?:|url\(|@import|\bfetch\(|import\(", own)
    links = [link for name in ("src", "href", "srcset", "data") for link in elements_of(own).values(name)]
    assert links
    assert all(link.startswith(("#", "data:")) for link in links)
    assert len(own.encode()) < 0.5e6
    assert len(html.encode()) < 6e6


def test_it_says_when_on_what_and_how_to_repeat_it(html):
    text = " ".join(" ".join(elements_of(html).text).split())
    assert (
        "2 tasks × 5 methods × 3 seeds × 2 kinds of start (shared, own) · Abacus <4>, 2 threads · 24 November 2026"
        in text
    )
    assert "nmf-benchmark 'method=[mu,hals]' seeds=3" in text
    assert "somewhere" not in text
    assert "with changes that are not committed" in text
    assert "torch" in text
    assert "tensorly" not in text
    assert "all methods began at the same factors, bit by bit" in text


def test_best_known_values_say_where_they_are_from(comparison):
    comparison.task(task="searched", best_known=90.0, best_known_by="HALS, seed 7")
    for seed, end in enumerate((0.1, -0.01)):
        comparison.run("mu", seed, end)
        comparison.run("mu", seed, end, "searched")
    text = elements_of(comparison.page()).text
    assert "mu, shared start, seed 1, among these runs" in text
    assert "HALS, seed 7" in text
    assert {"99", "90"} <= set(text)


@pytest.mark.parametrize(("methods", "seeds"), [(1, 1), (15, 2)])
def test_few_and_many(comparison, methods, seeds):
    for seed in range(seeds):
        for number in range(methods):
            comparison.run(f"method {number}", seed, 0.01 * number)
    elements = elements_of(comparison.page())
    assert len(set(elements.values("data-method"))) == methods
    assert elements.values("value") == [f"method {number}" for number in sorted(range(methods), key=str)]


def test_nothing_finished(comparison):
    comparison.run("cd", 0, 0, status=Status.UNSUPPORTED)
    comparison.run("lost", 0, 0, status=Status.DIVERGED)
    elements = elements_of(comparison.page())
    assert "No method ended as it should; the table says who was left out and why." in elements.text
    assert "left_out_toy_shared" in elements.values("id")
    assert "chart" not in elements.values("class")


def test_nothing_was_run(comparison):
    elements = elements_of(comparison.page())
    assert elements.values("data-method") == []
    assert "versions" in elements.values("id")


def test_a_bare_environment(tmp_path):
    comparison = Comparison(tmp_path, environment={})
    comparison.run("mu", 0, 0.1)
    text = elements_of(comparison.page()).text
    assert "nmf-benchmark" in text
    assert any("The commit is not known." in piece for piece in text)


def test_tasks_whose_name_ends_like_another(tmp_path):
    comparison = Comparison(tmp_path, task="digits")
    comparison.task(task="all_digits")
    for task in ("digits", "all_digits"):
        comparison.run("mu", 0, 0.1, task)
    html = comparison.page()
    parts = html.split('<section id="')
    assert 'id="final_digits_shared"' in parts[1]
    assert 'id="final_all_digits_shared"' in parts[2]
    assert 'id="final_all_digits_shared"' not in parts[1]


# What it says ---------------------------------------------------------------------------------------------------------


def said(comparison, task="toy", track="shared"):
    findings = comparison.findings()
    return ending(findings, task, track, tables(findings)).replace("\N{NO-BREAK SPACE}", " ")


def test_the_lowest_is_named_if_its_interval_stands_alone(comparison):
    for seed in range(5):
        comparison.run("a", seed, 0.02)
        comparison.run("b", seed, 0.01 * (3 + seed))
    assert said(comparison) == (
        "a ended lowest: gap 2 %; next is b with 5 % (95 % interval 3.67–6.67 %). No other interval overlaps that of a."
    )


def test_no_winner_while_intervals_overlap(comparison):
    for seed, (a, b) in enumerate([(0.01, 0.02), (0.02, 0.03), (0.03, 0.04), (0.04, 0.05), (0.05, 0.06)]):
        comparison.run("a", seed, a)
        comparison.run("b", seed, b)
        comparison.run("c", seed, 1.0)
    sentence = said(comparison)
    assert sentence.startswith("a ended lowest: gap 3 % (95 % interval ")
    assert sentence.endswith("Its interval overlaps that of b (4 %), so there is no winner among them.")


def test_few_seeds_prove_little(comparison):
    for seed in range(2):
        comparison.run("a", seed, 0.02)
        comparison.run("b", seed, 0.5)
    assert said(comparison).endswith("Their intervals do not overlap, but 2 seeds prove little.")


def test_one_seed_proves_nothing(comparison):
    comparison.run("a", 0, 0.0)
    comparison.run("b", 0, 0.5)
    assert (
        said(comparison)
        == "a ended lowest: gap <0.0001 %; next is b with 50 %. One seed cannot tell whether that is luck."
    )


def test_seeds_that_were_lost_are_told(comparison):
    for seed in range(6):
        comparison.run("a", seed, 0.02, status=Status.FAILED if seed == 3 else Status.BUDGET)
    assert said(comparison) == (
        "a alone ended as it should: gap 2 %, in those 5 of its 6 seeds that ended as they should."
    )


def test_speed_names_those_that_arrived_in_most_seeds(comparison):
    for seed in range(3):
        comparison.run("a", seed, 0.0, pace=1.0)
        comparison.run("b", seed, 0.0 if seed else 0.5, pace=3.0)
        comparison.run("c", seed, 0.5 if seed else 0.0, pace=1.0)
    # 3 / 4^5 < 1 % after 32 iterations of 10 ms
    (sentence,) = speed(comparison.findings(), "toy", "shared")
    assert sentence.replace("\N{NO-BREAK SPACE}", " ") == (
        "Within 1 % of the best known value: a after 0.32 s and b after 0.96 s; 1 other not in most seeds."
    )


def test_speed_when_nobody_comes_near(comparison):
    comparison.run("a", 0, 0.5)
    assert list(speed(comparison.findings(), "toy", "shared")) == [
        "No method came within 10\N{NO-BREAK SPACE}% of the best known value in most seeds."
    ]


def test_starts_that_differ_are_told(comparison):
    comparison.run("a", 0, 0.1)
    comparison.run("b", 0, 0.1, start="start 0")
    assert "bit by bit" in starts(comparison.findings())
    comparison.run("c", 0, 0.1, start="another")
    assert starts(comparison.findings()) == (
        "The shared starts differ: task toy, seed 0 has 2. Do not compare these runs."
    )


# Components -----------------------------------------------------------------------------------------------------------


def pictures(html):
    found = [attributes for tag, attributes in elements_of(html).found if tag == "img"]
    for attributes in found:
        with urlopen(attributes["src"]) as file:
            yield attributes["alt"].removeprefix("Components of "), imread(BytesIO(file.read()))


def test_components_are_in_the_order_of_the_best_and_on_their_own_scales(tmp_path):
    comparison = Comparison(tmp_path, image_shape=[2, 3])
    W = torch.rand(3, 6, generator=torch.Generator().manual_seed(0)) ** 4
    comparison.run("best", 0, 0.1, W=W)
    comparison.run("other", 0, 0.2, W=W[[2, 0, 1]] * torch.tensor([[3.0], [0.1], [7.0]]))
    shown = dict(pictures(comparison.page()))
    assert list(shown) == ["best", "other"]
    np.testing.assert_allclose(shown["best"], shown["other"], atol=1.5 / 255)
    assert shown["best"].shape == (2, 3 * 3 + 2, 4)
    clear = shown["best"][:, :, 3] == 0
    assert clear.all(0).tolist() == [column in (3, 7) for column in range(11)]
    grey = shown["best"][:, :3, 0]
    np.testing.assert_allclose(grey, PAPER / 255 * (1 - W[0].reshape(2, 3) / W[0].max()), atol=1.5 / 255)


def test_large_pictures_are_made_coarser_and_few(tmp_path):
    comparison = Comparison(tmp_path, image_shape=[200, 150], n_components=20, n_features=30000)
    W = torch.zeros(20, 30000)
    W[:, :15000] = 1
    comparison.run("mu", 0, 0.1, W=W)
    html = comparison.page()
    ((_, picture),) = pictures(html)
    height, width, _ = picture.shape
    assert height * width <= 400_000 + PICTURES * height
    assert width > PICTURES * height / 2
    assert picture[0, 0, 0] == 0
    assert picture[-1, 0, 0] == pytest.approx(PAPER / 255, abs=0.01)
    assert len(html.encode()) < 6e6


def test_dead_components_have_pictures(tmp_path):
    comparison = Comparison(tmp_path, image_shape=[2, 3])
    comparison.run("mu", 0, 0.1, W=torch.zeros(3, 6))
    ((_, picture),) = pictures(comparison.page())
    assert np.ptp(picture[:, :3]) == pytest.approx(1 - PAPER / 255, abs=0.01)


def test_words_follow_the_match(comparison):
    W = torch.eye(3, 6) + 0.1
    comparison.run("a", 0, 0.1, W=W, top_features=[["x"], ["y"], ["z"]])
    comparison.run("b", 0, 0.2, W=W[[1, 2, 0]], top_features=[["y"], ["z"], ["x"]])
    comparison.run("c", 0, 0.3, W=W)
    words = re.findall(r"<td data-method=\"(\w)\">(\w)</td>", comparison.page())
    assert words == [("a", "x"), ("b", "x"), ("a", "y"), ("b", "y"), ("a", "z"), ("b", "z")]


# In a browser ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def file(html, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(html, "utf-8")
    return path


@pytest.fixture
def opened(tabs, file):
    """Opens the page from its file, in which plotly has then drawn."""

    def open_page(width=1280, scheme="light", path=file):
        tab = tabs(path.as_uri(), width, scheme)
        tab.wait_for_function("[...document.querySelectorAll('.chart')].every(chart => chart.querySelector('.xtick'))")
        return tab

    return open_page


LINES = """method => [...document.querySelectorAll('.chart')].map(chart => {
    const shown = chart._fullData.filter(trace => trace.visible === true && (!method || trace.meta === method));
    return shown.filter(trace => trace.mode === 'lines' && trace.name && !trace.fill.startsWith('to')).length;
})"""
"""How many lines there are in every chart."""

DRAWN = """[...document.querySelectorAll('.chart')].map(chart =>
    [...chart.querySelectorAll('.scatterlayer path.js-line')].filter(path => path.getBBox().width > 5).length)"""


def rows(tab, table):
    """The first cells of the rows that can be seen."""
    return tab.locator(f'[id="{table}"] tbody tr:visible th').all_inner_texts()


@pytest.mark.process
def test_charts_are_drawn_and_have_values_on_hover(opened, full):
    tab = opened()
    drawn = tab.evaluate(DRAWN)
    assert len(drawn) == 2 * len(full.pairs) + 3
    assert all(count >= 3 for count in drawn)
    boxes = [chart.bounding_box() for chart in tab.locator(".chart .main-svg").all()]
    assert all(box["width"] > 300 and box["height"] > 200 for box in boxes)
    ticks = tab.locator(".chart").first.locator(".xtick, .ytick").all_text_contents()
    assert {"0.1 s", "1 s", "10 s", "100 %", "1 %"} <= {tick.replace("\N{NO-BREAK SPACE}", " ") for tick in ticks}
    left, right = (tab.evaluate(f"document.querySelectorAll('.chart')[{i}].layout.yaxis.range") for i in (0, 1))
    assert left == right
    tab.evaluate("Plotly.Fx.hover(document.querySelector('.chart'), [{curveNumber: 0, pointNumber: 20}])")
    hovering = tab.locator(".hoverlayer .hovertext .nums").first.text_content(timeout=5000)
    assert re.fullmatch(re.escape(BOLD) + r"[\d.]+ secondsgap [\d.]+%", hovering)


@pytest.mark.process
def test_a_method_goes_from_all_charts_and_tables_and_comes_back(opened):
    tab = opened()
    before, seen = tab.evaluate(LINES, "mu"), rows(tab, "final_toy_shared")
    assert set(before) == {1}
    assert "mu" in seen
    chip = tab.locator('.chips input[value="mu"]')
    chip.click()
    assert set(tab.evaluate(LINES, "mu")) == {0}
    assert set(tab.evaluate(LINES, BOLD)) == {1}
    assert tab.locator('[data-method="mu"]:visible').count() == 0
    assert rows(tab, "final_toy_shared") == [name for name in seen if name != "mu"]
    chip.focus()
    tab.keyboard.press("Space")
    assert tab.evaluate(LINES, "mu") == before
    assert rows(tab, "final_toy_shared") == seen
    tab.get_by_role("button", name="none", exact=True).click()
    assert sum(tab.evaluate(LINES, None)) == 0
    assert tab.locator("[data-method]:visible").count() == 0
    tab.get_by_role("button", name="all", exact=True).click()
    assert set(tab.evaluate(LINES, "mu")) == {1}


@pytest.mark.process
def test_tables_sort_by_number_with_missing_values_last(opened, full, tmp_path):
    values = {"a": 10.0, "b": 9.0, "c": float("nan"), "d": float("inf"), "e": -1e-3}
    frame = pd.DataFrame(
        {"method": values.keys(), "number": values.values(), "text": ["3 of 9", "10 of 9", "", "2", "1"]}
    )
    path = tmp_path / "sorted.html"
    path.write_text(page(full, [Table("further", "Further", frame, {"number": "{:+.3%}"})]), "utf-8")
    tab = opened(path=path)

    def click(column):
        tab.locator("#further th button", has_text=column).click()
        return "".join(rows(tab, "further")), tab.locator("#further thead th[aria-sort]").get_attribute("aria-sort")

    assert click("number") == ("ebadc", "ascending")
    assert click("number") == ("dabec", "descending")
    assert click("text") == ("edabc", "ascending")
    assert click("method") == ("abcde", "ascending")


@pytest.mark.process
@pytest.mark.parametrize(("width", "scheme", "other"), [(1280, "light", "dark"), (390, "dark", "light")])
def test_it_fits_the_screen_and_stands_out_in_light_and_dark(opened, width, scheme, other):
    tab = opened(width, scheme)
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    assert tab.evaluate(
        "[...document.querySelectorAll('.chart')].every(c => c.getBoundingClientRect().right <= innerWidth)"
    )
    first, second = (tab.locator(".chart").nth(i).bounding_box() for i in (0, 1))
    assert (first["x"] == second["x"]) == (width == 390)
    assert (first["y"] == second["y"]) == (width == 1280)
    tab.locator(".chips input").first.click()
    assert tab.evaluate(CONTRAST) >= 4.5
    assert tab.evaluate(PAPER_IS_DARK) == (scheme == "dark")
    tab.emulate_media(color_scheme=other)
    tab.wait_for_function(f"{CONTRAST} >= 4.5", timeout=5000)
    assert tab.evaluate(PAPER_IS_DARK) == (other == "dark")
    tab.locator("#theme").click()
    assert tab.evaluate(CONTRAST) >= 4.5
    assert tab.evaluate(PAPER_IS_DARK) == (scheme == "dark")
    assert tab.locator("#theme").get_attribute("aria-label") == f"Show in {other} colors"


@pytest.mark.process
def test_on_paper_all_is_light_and_open_and_fits(opened):
    tab = opened(390, "dark")
    tab.evaluate("document.querySelectorAll('details').forEach(details => details.open = false)")
    tab.set_viewport_size({"width": 688, "height": 900})
    tab.emulate_media(media="print", color_scheme="dark")
    tab.wait_for_function(f"{CONTRAST} >= 4.5", timeout=5000)
    assert not tab.evaluate(PAPER_IS_DARK)
    assert not tab.locator(".chips").is_visible()
    assert not tab.locator("#theme").is_visible()
    assert tab.locator(".legend").first.is_visible()
    assert tab.locator(".words td").first.is_visible()
    first, second = (tab.locator(".chart").nth(i).bounding_box() for i in (0, 1))
    assert first["y"] == second["y"]
    assert second["x"] + second["width"] <= 688
    drawn = tab.locator(".chart").first.locator(".main-svg").first.bounding_box()
    assert drawn["width"] == pytest.approx(first["width"], abs=1)
    assert drawn["height"] == pytest.approx(0.75 * first["width"], abs=1)
    tab.emulate_media(media="screen", color_scheme="dark")
    tab.set_viewport_size({"width": 390, "height": 900})
    width = "document.querySelector('{}').getBoundingClientRect().width"
    tab.wait_for_function(f"{width.format('.main-svg')} === {width.format('.chart')}", timeout=5000)
    assert tab.evaluate(PAPER_IS_DARK)


@pytest.mark.process
def test_a_page_without_charts_complains_of_nothing(opened, comparison, tmp_path):
    comparison.run("cd", 0, 0, status=Status.UNSUPPORTED)
    path = tmp_path / "empty.html"
    path.write_text(comparison.page(), "utf-8")
    tab = opened(path=path)
    tab.get_by_role("button", name="none", exact=True).click()
    assert tab.locator("tr[data-method]:visible").count() == 0

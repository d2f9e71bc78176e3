import json
import re
import shutil
from dataclasses import replace

import pytest
from browsing import CONTRAST, PAPER_IS_DARK, Elements

from nmf_nets.pages.numbers import six_digits
from nmf_nets.report.charts import charts
from nmf_nets.report.page import page
from nmf_nets.report.remarks import warnings
from nmf_nets.report.run import Run, Unreadable

EVIL = "</script><script>alert(1)</script>"


@pytest.fixture(scope="module")
def run(past_runs):
    return Run.read(past_runs / "outputs" / "single")


@pytest.fixture(scope="module")
def html(run):
    return (run.path / "report.html").read_text()


def words(html):
    return " ".join(" ".join(Elements(html).text).split())


# What the directory says ----------------------------------------------------------------------------------------------


def test_a_run_is_read_as_it_was_written(run):
    assert run.ended
    assert run.shape == (1439, 64, 4)
    assert run.parameters["seed"] == "3"
    assert run.summary["divergence_value"] == run.verdict["lines"][0]["divergence_value"]
    assert run.axes["epochs"] == [0, 1, 2, 3]
    assert run.axes["seconds"][0] == 0 < run.axes["seconds"][-1] == run.summary["seconds"]
    assert (run.choice("encoder"), run.choice("n_components"), run.choice("trainer.max_epochs")) == (
        "unrolled",
        "4",
        "3",
    )
    assert run.choice("encoder.update") == "hals"
    assert run.choice("nothing.of.the.kind") == ""
    assert run.sweep is None


def test_a_job_of_a_sweep_knows_it_and_what_was_chosen_for_it(past_runs):
    jobs = [Run.read(past_runs / "multirun" / "sweep" / name) for name in ("0", "1")]
    assert [job.choice("encoder") for job in jobs] == [job.parameters["encoder"] for job in jobs] == ["unrolled", "mlp"]
    assert {job.sweep for job in jobs} == {past_runs / "multirun" / "sweep"}


@pytest.mark.parametrize(
    ("batch", "rows", "expected"), [(500, 1439, {"epochs": [0, 1 / 3, 2 / 3, 1]}), (500, None, {"steps": [0, 1, 2, 3]})]
)
def test_steps_are_epochs_where_it_is_known_how_many_make_one(run, batch, rows, expected):
    batches = replace(run, config={**run.config, "data": {"batch_size": batch}}, shape=rows and (rows, 64, 4))
    assert next(iter(batches.axes.items())) == next(iter(expected.items()))


BREAKS = {
    "no configuration": ("config.yaml", None),
    "no YAML": ("config.yaml", "a: [1"),
    "no mapping": ("config.yaml", "- 1"),
    "another configuration": ("config.yaml", "task: x"),
    "broken metrics": ("metrics.jsonl", "{\n{}\n"),
    "metrics of words": ("metrics.jsonl", '{"step": 0, "training/divergence": "low"}\n'),
    "metrics without steps": ("metrics.jsonl", '{"training/divergence": 1}\n'),
    "metrics of another kind": ("metrics.jsonl", "1\n"),
    "summary of something else": ("summary.json", '{"a": 1}'),
    "verdict of something else": ("verdict.json", '{"a": 1}'),
    "broken summary": ("summary.json", "{"),
    "summary of another kind": ("summary.json", "[]"),
    "broken factors": ("factors.safetensors", "nothing"),
    "broken topics": ("topics.csv", "component,feature,share\nx,y,z\n"),
}


@pytest.mark.parametrize("case", BREAKS)
def test_what_is_broken_is_not_read_and_named(run, tmp_path, case):
    name, text = BREAKS[case]
    there = shutil.copytree(run.path, tmp_path / "broken")
    assert Run.read(there).summary == run.summary
    (there / name).unlink(missing_ok=True)
    if text is not None:
        (there / name).write_text(text)
    with pytest.raises(Unreadable, match=re.escape(str(there))):
        Run.read(there)


def test_a_place_that_is_not_there_stays_so(tmp_path):
    with pytest.raises(Unreadable, match=r"it has no config\.yaml"):
        Run.read(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("whole", [0, 2])
def test_a_run_that_broke_off_is_read_as_far_as_it_came(run, tmp_path, whole):
    there = shutil.copytree(run.path, tmp_path / "part")
    for name in ("summary.json", "verdict.json", "factors.safetensors", "components.png"):
        (there / name).unlink()
    lines = (there / "metrics.jsonl").read_text().splitlines(keepends=True)
    (there / "metrics.jsonl").write_text("".join(lines[:whole]) + lines[whole][:20])
    part = Run.read(there)
    assert not part.ended
    assert bool(part.measured) == bool(whole)
    assert part.values("training/divergence") == run.values("training/divergence")[: len(part.measured)]
    shown = words(page(part))
    assert "The run has not ended" in shown
    assert "Verdict" not in shown


# What the page says ---------------------------------------------------------------------------------------------------


def test_the_page_has_the_verdict_the_configuration_and_the_environment(run, html, past_runs):
    shown = words(html)
    for line in run.verdict["lines"]:
        assert line["who"] in shown
        assert six_digits(line["divergence_value"]) in shown
    assert f"{run.summary['gap']:+.3%}".rstrip("%") in shown
    assert run.environment["packages"]["torch"] in shown
    assert "1,439 training rows × 64 features" in shown
    assert "seed=3" in shown
    assert "max_epochs: 3" in shown, "the whole configuration"
    (picture,) = (found["src"] for tag, found in Elements(html).found if tag == "img")
    assert picture.startswith("data:image/png;base64,")
    assert "multirun" not in shown


def test_the_page_is_small_and_fetches_nothing(html):
    assert len(html.encode()) < 1e6
    own = html.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|url\(|@import|\bfetch\(|import\(", own)
    links = [link for name in ("src", "href", "srcset", "data") for link in Elements(html).values(name)]
    assert all(link.startswith(("#", "data:")) for link in links)


def test_curves_are_those_that_were_measured(run, html):
    specs = [
        json.loads(text) for text in re.findall(r'<script type="application/json">(.*?)</script>', html, re.DOTALL)
    ]
    drawn = {chart.caption: chart for chart in charts(run)}
    assert len(specs) == len(drawn) >= 7
    loss = drawn["Loss"]
    assert [line["name"] for line in loss.lines] == ["own codes", "refined codes", "exact codes"]
    assert loss.lines[0]["y"] == pytest.approx(run.values("training/divergence"))
    assert {level["value"] for level in loss.levels} == {run.summary["classical_value"], run.summary["sklearn_value"]}
    gap = drawn["Gap"].lines[0]["y"][-1]
    assert gap == pytest.approx(max(run.summary["gap"], 1e-6), rel=1e-3)


def test_foreign_words_stay_text(run):
    config = {**run.config, "parameters": {EVIL: EVIL, "seed": "<b>"}}
    verdict = {**run.verdict, "note": EVIL, "lines": [{**line, "who": EVIL} for line in run.verdict["lines"]]}
    evil = replace(
        run,
        config=config,
        verdict=verdict,
        topics=[[(EVIL, 0.5)]],
        environment={**run.environment, "processor": EVIL, "command": ["train.py", EVIL]},
    )
    html = page(evil)
    tags = [tag for tag, _ in Elements(html).found]
    assert tags.count("script") == len(list(charts(run))) + 1
    assert "b" not in tags
    assert words(html).count("alert(1)") >= 5


def lowered(run, **measured):
    """With the last measurement changed."""
    return replace(run, measured=[*run.measured[:-1], {**run.measured[-1], **measured}])


def test_warnings_say_what_is_wrong_and_nothing_else(run):
    good = lowered(run, **{"training/divergence": run.values("training/divergence")[-2], "validation/code_gap": 0.0})
    assert list(warnings(good)) == []
    assert "2 components of 4 explain nothing" in next(
        warnings(replace(good, summary={**run.summary, "dead_components": 2}))
    )
    falling = lowered(good, **{"training/divergence": 0.9 * run.values("training/divergence")[-2]})
    assert next(warnings(falling)).startswith("Not converged: D still fell by 11.1")
    behind = lowered(good, **{"validation/code_gap": 0.05})
    assert next(warnings(behind)).startswith("Own codes of validation rows stand 5")
    assert next(warnings(replace(good, reseeded=3))).startswith("3 components explained nothing on the way and started")
    assert "has not ended" in next(warnings(replace(good, summary={})))


def test_topics_are_shown_with_their_shares(run):
    html = page(replace(run, topics=[[("apple", 0.25), ("pear", 0.1)], []]))
    assert "apple 25 %" in words(html).replace("\N{NO-BREAK SPACE}", " ")


# In a browser ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def opened(tabs, run):
    return lambda *how: tabs((run.path / "report.html").as_uri(), *how)


XTICKS = "[...document.querySelector('.plots figure').querySelectorAll('.xtick')].map(tick => tick.textContent)"


@pytest.mark.process
def test_charts_are_drawn_and_read_along_either_axis(opened, run):
    tab = opened()
    drawn = tab.evaluate(
        "[...document.querySelectorAll('.plots figure')].map(f => f.querySelectorAll('path.line').length)"
    )
    assert drawn == [len(chart.lines) for chart in charts(run)]
    assert tab.evaluate(XTICKS)[-1] == "epochs"
    loss = tab.locator(".plots figure").nth(1)
    last = loss.locator(".key b").first.inner_text()
    loss.locator(".drawn").focus()
    for _ in range(3):
        tab.keyboard.press("ArrowLeft")
    assert loss.locator(".at").inner_text() == "at 0 epochs"
    assert loss.locator(".key b").first.inner_text() != last
    assert float(last.replace(",", "")) == pytest.approx(run.summary["divergence_value"], rel=1e-5)
    loss.locator(".drawn").hover()
    assert loss.locator(".at").inner_text() in {f"at {epoch} epochs" for epoch in range(4)}
    tab.get_by_label("seconds", exact=True).check()
    assert tab.evaluate(XTICKS)[-1] == "seconds"


@pytest.mark.process
@pytest.mark.parametrize(("width", "scheme", "other"), [(1280, "light", "dark"), (390, "dark", "light")])
def test_it_fits_the_screen_in_light_and_dark(opened, width, scheme, other):
    tab = opened(width, scheme)
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    for shown in (scheme, other, scheme):
        assert tab.evaluate(PAPER_IS_DARK) == (shown == "dark")
        assert tab.evaluate(CONTRAST) >= 4.5
        tab.locator("#theme").click()
    first, second = (tab.locator(".drawn svg").nth(i).bounding_box() for i in (0, 1))
    assert (first["x"] == second["x"]) == (width == 390)
    size = tab.evaluate("parseFloat(getComputedStyle(document.querySelector('.xtick')).fontSize)")
    scale = first["width"] / tab.evaluate("document.querySelector('.drawn svg').viewBox.baseVal.width")
    assert size * scale >= 11, "letters on charts"


@pytest.mark.process
def test_on_paper_it_is_light_and_open(opened):
    tab = opened(1280, "dark")
    tab.emulate_media(media="print", color_scheme="dark")
    assert not tab.evaluate(PAPER_IS_DARK)
    assert tab.evaluate(CONTRAST) >= 4.5
    assert not tab.locator(".switch").is_visible()
    assert not tab.locator("#theme").is_visible()
    assert tab.locator("details pre").is_visible()

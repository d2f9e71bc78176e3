import http.client
import json
import os
import re
import shutil
import socket
import threading
from urllib.parse import urlsplit

import pytest
from browsing import CONTRAST, PAPER_IS_DARK, Elements
from omegaconf import OmegaConf

from nmf_nets.dashboard.__main__ import main
from nmf_nets.dashboard.collection import Collection
from nmf_nets.dashboard.page import page
from nmf_nets.dashboard.server import HOST, Dashboard
from nmf_nets.refusal import Refusal

EVIL = "<script>alert(1)</script>"
RUNS = ["outputs/single", "multirun/sweep/0", "multirun/sweep/1"]


@pytest.fixture
def here(past_runs, tmp_path, monkeypatch):
    """A copy of the runs, to be spoilt."""
    monkeypatch.chdir(tmp_path)
    for name in ("outputs", "multirun"):
        shutil.copytree(past_runs / name, tmp_path / name)
    return tmp_path


def collected(*roots):
    collection = Collection(roots)
    collection.look()
    return collection


@pytest.fixture
def collection(here):
    return collected(here / "outputs", here / "multirun")


# Which runs there are -------------------------------------------------------------------------------------------------


def test_all_runs_are_found_newest_first_under_their_paths(collection):
    assert list(collection.runs) == ["multirun/sweep/1", "multirun/sweep/0", "outputs/single"]
    assert collection.skipped == {}


def test_what_is_broken_or_no_run_is_left_out_and_the_rest_is_there(here):
    (here / "outputs" / "broken").mkdir()
    (here / "outputs" / "broken" / "config.yaml").write_text("a: [1")
    comparison = shutil.copytree(here / "outputs" / "single", here / "outputs" / "comparison")
    (comparison / "tasks.json").write_text("[]")
    elsewhere = shutil.move(here / "multirun" / "sweep" / "0", here / "elsewhere")
    (here / "multirun" / "sweep" / "0").symlink_to(elsewhere, target_is_directory=True)
    unfinished = shutil.copytree(elsewhere, here / "outputs" / "unfinished")
    (unfinished / "summary.json").unlink()
    found = collected(here / "outputs", here / "multirun")
    assert sorted(found.runs) == ["multirun/sweep/1", "outputs/single", "outputs/unfinished"]
    assert list(found.skipped) == ["outputs/broken"]
    html = page(found, lambda name, run: "")
    assert "1 directory left out" in " ".join(Elements(html).text)
    assert "unfinished" in [text.strip() for text in Elements(html).text]


def test_directories_are_read_again_when_they_change_and_only_then(collection, here):
    before = dict(collection.runs)
    shutil.copytree(here / "outputs" / "single", here / "outputs" / "new")
    (here / "multirun" / "sweep" / "0" / "summary.json").write_text("{}")
    shutil.rmtree(here / "multirun" / "sweep" / "1")
    collection.look()
    assert sorted(collection.runs) == ["multirun/sweep/0", "outputs/new", "outputs/single"]
    assert collection.runs["outputs/single"] is before["outputs/single"]
    assert not collection.runs["multirun/sweep/0"].ended


# What the page shows --------------------------------------------------------------------------------------------------


def heads(html):
    return re.findall(r'<th scope="col"[^>]*><button type="button">(.*?)</button>', html.replace("<wbr>", ""))


def test_runs_are_compared_by_what_was_chosen_differently(collection):
    html = page(collection, lambda name, run: f"/{name}")
    chosen = ["data", "divergence", "encoder", "n_components", "seed"]
    assert heads(html) == ["run", "began", *chosen, "D", "gap", "error", "KKT", "dead", "time"]
    rows = [found for tag, found in Elements(html).found if tag == "tr" and "data-run" in found]
    choices = {row["data-run"]: json.loads(row["data-choices"]) for row in rows}
    assert {name: found["encoder"] for name, found in choices.items()} == dict(
        zip(RUNS, ("unrolled", "unrolled", "mlp"), strict=True)
    )
    assert {found["seed"] for found in choices.values()} == {"0", "3"}
    assert [choices[name]["sweep"] for name in RUNS] == ["", "multirun/sweep", "multirun/sweep"]
    assert [found["href"] for tag, found in Elements(html).found if tag == "a"] == [
        f"/{name}" for name in collection.runs
    ]
    assert re.findall(r"<option>(.*?)</option>", html) == ["sweep", "divergence", "encoder", "seed"]


def test_figures_and_curves_are_those_of_the_runs(collection):
    html = page(collection, lambda name, run: "")
    saved = json.loads(re.search(r'<script type="application/json" id="all">(.*?)</script>', html, re.DOTALL)[1])
    for name, run in collection.runs.items():
        assert f'data-value="{run.summary["gap"]}"' in html
        assert saved["curves"][name]["loss"] == pytest.approx(run.values("training/divergence"))
        assert saved["curves"][name]["x"]["steps"] == [0, 1, 2, 3]


def test_what_runs_call_themselves_stays_text(here):
    evil = shutil.copytree(here / "outputs" / "single", here / "outputs" / EVIL.replace("/", "∕"))
    config = OmegaConf.load(evil / "config.yaml")
    config.parameters = {EVIL: EVIL, "seed": "</script>"}
    OmegaConf.save(config, evil / "config.yaml")
    html = page(collected(here), lambda name, run: f"/{name}")
    assert [tag for tag, _ in Elements(html).found].count("script") == 2
    assert EVIL not in html
    assert any(EVIL in text for text in Elements(html).text)


# The server -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def served(here):
    with Dashboard([here / "outputs", here / "multirun"], 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def get(server, path, method="GET", **headers):
    connection = http.client.HTTPConnection(HOST, server.server_port, timeout=10)
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    return answer.status, answer.read().decode(), answer.headers


def test_the_page_and_the_reports_are_served_to_this_machine(served, here):
    assert served.server_address[0] == "127.0.0.1"
    status, html, headers = get(served, "/")
    assert status == 200
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    links = [found["href"] for tag, found in Elements(html).found if tag == "a"]
    assert len(links) == 3
    for link in links:
        status, report, _ = get(served, link)
        assert status == 200
        assert "Beside classical solvers" in report
    (here / "outputs" / "single" / "report.html").write_text("foreign")
    assert "foreign" not in get(served, "/runs/outputs/single/report.html")[1], "reports are made, not served"
    assert get(served, "/", "HEAD")[1] == ""


def test_what_is_new_is_there_when_the_page_is_loaded_anew(served, here):
    shutil.copytree(here / "outputs" / "single", here / "outputs" / "with space & ü")
    link = next(found["href"] for _, found in Elements(get(served, "/")[1]).found if "space" in found.get("href", ""))
    assert get(served, link)[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "/../../../../../../etc/passwd",
        "/runs/../../../../etc/passwd",
        "/runs/outputs/single/config.yaml",
        "/runs/outputs/single/../single/report.html",
        "/runs/outputs/single/%2e%2e/single/report.html",
        "/runs/outputs/report.html",
        "/runs/outputs/single",
        "/favicon.ico",
        "//etc/passwd",
    ],
)
def test_nothing_else_is_served(served, path):
    status, text, _ = get(served, path)
    assert status == 404
    assert "root:" not in text


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1:1", ""])
def test_requests_for_another_host_are_refused(served, host):
    assert get(served, "/", Host=host)[0] == 403


def test_an_address_of_another_kind_is_reached_by_this_name_alone(served):
    assert get(served, "/", Host=f"localhost:{served.server_port}")[0] == 200


@pytest.mark.parametrize("port", [-1, 70000])
def test_ports_that_are_none_are_refused(here, port):
    with pytest.raises(Refusal, match=f"port {port} cannot be used"):
        Dashboard([here], port)


# The program ----------------------------------------------------------------------------------------------------------


def test_no_runs_are_refused(command):
    ran = command(main=main)
    assert ran.code == 2
    assert ran.sentence.startswith(
        "refused: there is no run below outputs (which is not there), multirun (which is not"
    )
    assert not list(ran.directory.iterdir())


def test_a_taken_port_is_refused(command, past_runs):
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        ran = command(f"path={past_runs}", f"port={port}", "browser=false", main=main)
    assert ran.code == 2
    assert f"port {port} is taken" in ran.sentence


def test_the_page_can_be_written_with_links_to_the_reports(command, past_runs):
    ran = command(f"path={past_runs}", "to=pages/index.html", main=main)
    assert ran.code == 0, ran.err
    file = ran.directory / "pages" / "index.html"
    assert str(file) in ran.out
    links = [found["href"] for tag, found in Elements(file.read_text()).found if tag == "a"]
    assert {os.path.realpath(file.parent / link) for link in links} == {
        os.path.realpath(past_runs / name / "report.html") for name in RUNS
    }


def test_a_port_that_is_no_number_is_refused(command, past_runs):
    ran = command(f"path={past_runs}", "port=x", main=main)
    assert ran.code == 2
    assert "port is 'x', but must be an integer" in ran.sentence


def test_a_directory_is_no_file_to_write_into(command, past_runs):
    ran = command(f"path={past_runs}", "to=.", main=main)
    assert ran.code == 2
    assert "to=. is a directory" in ran.sentence


def test_ctrl_c_ends_it(command, past_runs, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr(Dashboard, "serve_forever", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
    ran = command(f"path={past_runs}", "port=0", main=main)
    assert ran.code == 0, ran.err
    assert urlsplit(opened[0]).hostname == HOST
    assert opened[0] in ran.out


# In a browser ---------------------------------------------------------------------------------------------------------


def shown(tab):
    """The labels of the rows that can be seen."""
    return tab.locator("#table tr[data-run]:visible").evaluate_all("rows => rows.map(row => row.dataset.run)")


DRAWN = "[...document.querySelectorAll('[data-curve]')].map(f => f.querySelectorAll('path.line').length)"


@pytest.mark.process
def test_runs_are_sorted_filtered_grouped_and_drawn(served, tabs):
    tab = tabs(served.url)
    newest = ["multirun/sweep/1", "multirun/sweep/0", "outputs/single"]
    assert shown(tab) == newest
    assert tab.evaluate(DRAWN) == [3, 3, 3, 3]

    tab.locator("th button", has_text="encoder").click()
    assert shown(tab)[0] == "multirun/sweep/1"
    tab.locator("th button", has_text="encoder").click()
    assert shown(tab)[-1] == "multirun/sweep/1"

    tab.get_by_label("filter").fill("kullback MLP")
    assert shown(tab) == ["multirun/sweep/1"]
    assert tab.evaluate(DRAWN) == [1, 1, 1, 1]
    assert tab.locator("#shown").inner_text() == "1 of 3 runs"
    tab.get_by_label("filter").fill("")

    tab.get_by_label("group by").select_option("divergence")
    headings = tab.locator(".group th").all_inner_texts()
    assert [re.split(r"\s*\d", heading)[0] for heading in headings] == [
        "divergence = frobenius",
        "divergence = kullback_leibler",
    ]
    assert "2 runs, median gap" in headings[1]
    tab.locator("th button", has_text="run").click()
    assert shown(tab) == ["outputs/single", "multirun/sweep/0", "multirun/sweep/1"]
    tab.get_by_label("filter").fill("frobenius")
    assert tab.locator(".group:visible").count() == 1
    tab.get_by_label("filter").fill("")

    tab.get_by_label("draw multirun/sweep/1").uncheck()
    assert tab.evaluate(DRAWN) == [2, 2, 2, 2]
    tab.get_by_label("seconds", exact=True).check()
    assert tab.locator(".xtick").last.text_content() == "seconds"
    assert tab.locator("[data-curve] .key").first.locator("li").count() == 2


@pytest.mark.process
def test_a_report_is_one_click_away(served, tabs):
    tab = tabs(served.url)
    with tab.expect_navigation():
        tab.get_by_role("link", name="outputs/single").click()
    assert tab.locator("h1").inner_text() == "frobenius, encoder unrolled, 4 components"
    assert tab.locator("path.line").count() > 5


@pytest.mark.process
@pytest.mark.parametrize(("width", "scheme", "other"), [(1280, "light", "dark"), (390, "dark", "light")])
def test_it_fits_the_screen_in_light_and_dark(served, tabs, width, scheme, other):
    tab = tabs(served.url, width, scheme)
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    for seen in (scheme, other):
        assert tab.evaluate(PAPER_IS_DARK) == (seen == "dark")
        assert tab.evaluate(CONTRAST) >= 4.5
        tab.locator("#theme").click()

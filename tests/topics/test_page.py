"""The page of topics, in a browser, and what a run leaves."""

import csv
import json
import re

import numpy as np
import pytest
import torch
from browsing import CONTRAST, PAPER_IS_DARK, Elements
from stand_ins import newsgroups20

import nmf_nets
from nmf_nets.as_matrix import as_matrix
from nmf_nets.factorization import Factorization
from nmf_nets.topics.page import SHOWN, page, save_page
from nmf_nets.topics.topics import Topics

EVIL = "</script><script>alert(1)</script>"


@pytest.fixture(scope="module")
def topics():
    """Of four topics with ten words of their own, of which one is hostile, as are a name, a text and a label."""
    chance = np.random.default_rng(0)
    W = np.kron(np.eye(4), np.ones(10)) + 0.02
    H = chance.dirichlet(np.full(4, 0.2), 80) * 30
    words = [EVIL, *(f"word{j}" for j in range(1, 40))]
    names, texts, labels = ([f"{what} {i}" for i in range(80)] for what in ("name", "It says <b>this</b>:", "class"))
    names[int(H[:, 0].argmax())] = texts[int(H[:, 0].argmax())] = labels[int(H[:, 0].argmax())] = EVIL
    X = as_matrix(chance.poisson(H @ W).astype(float))
    return Topics(X, Factorization(torch.from_numpy(H), torch.from_numpy(W)), words, names, texts, labels)


def test_foreign_words_stay_text_and_nothing_is_fetched(topics):
    html = page(topics)
    tags = [tag for tag, _ in Elements(html).found]
    assert tags.count("script") == 2
    assert "b" not in tags
    spec = json.loads(re.search(r'<script type="application/json" id="spec">(.*?)</script>', html, re.DOTALL)[1])
    assert EVIL in {word["word"] for word in spec["words"]}
    assert EVIL in {document["text"] for topic in spec["topics"] for document in topic["documents"]}
    own = html.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|url\(|@import|\bfetch\(|import\(", own)


def test_the_most_relevant_words_at_every_place_of_the_slider_are_there(topics):
    spec = json.loads(re.search(r'id="spec">(.*?)</script>', page(topics), re.DOTALL)[1])
    for weight in (0.0, 0.35, 1.0):
        for described in spec["topics"]:
            ordered = sorted(described["words"], key=lambda word: -weight * word[1] - (1 - weight) * word[2])
            found = {spec["words"][word[0]]["word"] for word in ordered[:SHOWN]}
            expected = set(topics.top_words(SHOWN, weight)[described["topic"]])
            assert len(found & expected) >= SHOWN - 1, "but for ties that rounding makes"


@pytest.fixture
def opened(tabs, topics, tmp_path):
    path = save_page(topics, tmp_path / "topics.html")
    return lambda *how: tabs(path.as_uri(), *how)


@pytest.mark.process
def test_a_topic_is_chosen_by_mouse_and_by_keys(opened, topics):
    tab = opened()
    marks = tab.locator(".field [role=button]")
    assert marks.count() == 4
    first, second = (", ".join(topics.top_words(3)[k]) for k in topics.order[:2])
    assert tab.locator("#heading").inner_text() == f"Topic {topics.order[0]}: {first}"
    tab.locator('.field [tabindex="0"]').focus()
    tab.keyboard.press("ArrowRight")
    assert tab.locator("#heading").inner_text() == f"Topic {topics.order[1]}: {second}"
    assert tab.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"
    marks.nth(0).dispatch_event("click")
    assert tab.locator("#heading").inner_text() == f"Topic {topics.order[0]}: {first}"
    tab.locator("#before").click()
    assert tab.locator("#heading").inner_text().startswith(f"Topic {topics.order[-1]}:")


@pytest.mark.process
def test_words_follow_relevance_and_size_the_map(opened, topics):
    tab = opened()
    k = topics.order[0]
    words = tab.locator("#words button > span:first-child")
    assert words.count() == SHOWN
    slider = tab.locator("#weight")
    slider.focus()
    tab.keyboard.press("End")
    assert tab.locator("output").inner_text() == "1.00"
    shown = set(words.all_inner_texts())
    assert set(topics.top_words(10)[k]) <= shown
    before = tab.locator(".field circle").nth(0).get_attribute("r")
    tab.locator("#words button").first.click()
    assert tab.locator("#of-word").inner_text() == f"by “{words.first.inner_text()}”"
    assert float(tab.locator(".field circle").nth(0).get_attribute("r")) > float(before)
    tab.locator("#words button").first.click()
    assert tab.locator(".field circle").nth(0).get_attribute("r") == before


@pytest.mark.process
def test_documents_open(opened, topics):
    tab = opened()
    k = topics.order[0]
    best = topics.representative(1)[k][0]
    document = tab.locator("#documents details").first
    assert topics.name(best) in document.locator("summary").inner_text()
    document.locator("summary").click()
    assert document.locator("p").inner_text() == topics.texts[best]


@pytest.mark.process
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "dark")])
def test_it_fits_the_screen_in_light_and_dark(opened, width, scheme):
    tab = opened(width, scheme)
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    assert tab.evaluate(PAPER_IS_DARK) == (scheme == "dark")
    assert tab.evaluate(CONTRAST) >= 4.5


TOPICS = ["experiment=topics", "n_components=4"]


@pytest.mark.parametrize("kind", ["matrix", "text"])
def test_a_run_leaves_its_topics_and_codes_new_documents(train, tmp_path, kind):
    newsgroups20.write(tmp_path)
    path = tmp_path / "newsgroups20.npz"
    if kind == "text":
        path = tmp_path / "documents.csv"
        lines = [f"{words},{name}" for name, words in newsgroups20.SUBJECTS.items() for _ in range(15)]
        path.write_text("\n".join(["text,class", *lines]))
    more = ["data=text", "data.column=text", "data.labels=class"] if kind == "text" else []
    ran = train(*TOPICS, *more, f"data.path={path}")
    assert ran.code == 0, ran.err
    run = tmp_path / "run"
    described = json.loads((run / "topics.json").read_text())
    with (run / "topic_table.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [int(line["topic"]) for line in table] == [topic["topic"] for topic in described]
    subjects = [set(words.split()) for words in newsgroups20.SUBJECTS.values()]
    for topic in described:
        assert max(len(set(list(topic["words"])[:8]) & subject) for subject in subjects) >= 6
    assert (run / "topic_map.png").stat().st_size > 1000
    html = (run / "topics.html").read_text()
    assert "rec.sport.hockey" in html
    assert ("game team hockey" in html) == (kind == "text"), "the text of a document"

    model = nmf_nets.load(run)
    hockey = np.array([[float(word in subjects[0]) for word in model.feature_names]], dtype=np.float32)
    share = model.transform(hockey)[0] * model.W.sum(1).numpy()
    words = {model.feature_names[j] for j in model.W[int(share.argmax())].argsort(descending=True)[:6].tolist()}
    assert words <= subjects[0]


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [(["data=digits"], "features have no names"), (["data=synthetic"], "features have no names")],
)
def test_data_without_words_are_refused(train, overrides, sentence):
    ran = train(*TOPICS, *overrides)
    assert ran.code == 2
    assert sentence in ran.sentence

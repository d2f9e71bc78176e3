"""The page of topics: a map of them, their words and their documents, in one HTML file."""

from pathlib import Path
from typing import Any

import torch

from nmf_nets.pages.page import rendered
from nmf_nets.pages.palette import COLORS
from nmf_nets.topics.topics import LAMBDA, Topics
from nmf_nets.whole_file import write

HERE = Path(__file__).parent

SHOWN = 25
"""Words of a topic at once."""

STEPS = 20
"""Of the slider of relevance, from 0 to 1."""

DOCUMENTS = 8
"""Of a topic."""

BEGINNING = 1200
"""Characters of a text that are shown."""


def save_page(topics: Topics, path: str | Path) -> Path:
    """Writes topics.html, or whatever it is called, and returns where."""
    path = Path(path)
    write(path, page(topics).encode())
    return path


def page(topics: Topics) -> str:
    """HTML that asks for nothing but a browser."""
    return rendered(HERE / "page.html", "plot", topics=topics, table=topics.table(), spec=_spec(topics), drawn={})


def _spec(topics: Topics) -> dict[str, Any]:
    """What the script draws: topics in the order of their size, and of words and documents those that they show."""
    phi, lift = topics.relevance(1), topics.relevance(0)
    candidates: list[set[int]] = [set() for _ in range(topics.n_topics)]
    for step in range(STEPS + 1):
        for chosen, top in zip(candidates, topics.top(SHOWN, step / STEPS), strict=True):
            chosen.update(top)
    words = sorted(set().union(*candidates))
    place = {j: number for number, j in enumerate(words)}
    positions, documents = topics.positions, topics.representative(DOCUMENTS)
    names = topics.top_words(3)
    return {
        "words": [
            {
                "word": topics.words[j],
                "count": _rounded(topics.frequencies[j]),
                "topics": [_rounded(part, 3) for part in topics.word_topic[topics.order, j]],
            }
            for j in words
        ],
        "topics": [
            {
                "topic": k,
                "name": ", ".join(names[k]),
                "size": _rounded(topics.sizes[k]),
                "coherence": _rounded(topics.coherence[k]),
                "at": [_rounded(coordinate) for coordinate in positions[k]],
                "words": [[place[j], _rounded(phi[k, j]), _rounded(lift[k, j])] for j in sorted(candidates[k])],
                "documents": [_document(topics, i, k) for i in documents[k]],
            }
            for k in topics.order
        ],
        "shown": SHOWN,
        "weight": LAMBDA,
        "steps": STEPS,
        "colors": COLORS[:2],
    }


def _document(topics: Topics, i: int, k: int) -> dict[str, Any]:
    """With its text or, where only counts are known, the words of it that the topic says."""
    text = None
    if topics.texts is not None:
        text = topics.texts[i].strip()
        text = text if len(text) <= BEGINNING else f"{text[:BEGINNING]}…"
    row = topics.X.span(i, i + 1)
    said = row.dense().flatten().double().cpu() * topics.word_topic[k]
    best = [j for j in said.argsort(descending=True, stable=True)[:12].tolist() if said[j] > 0]
    return {
        "name": topics.name(i),
        "label": None if topics.labels is None else str(topics.labels[i]),
        "part": _rounded(topics.document_topic[i, k]),
        "length": _rounded(topics.lengths[i]),
        "text": text,
        "words": [topics.words[j] for j in best],
    }


def _rounded(value: torch.Tensor, digits: int = 4) -> float:
    return float(f"{float(value):.{digits}g}")

"""Topics: components of counts of words, as distributions, with what they are known by."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nmf_nets.division import divisor, ratio
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.metrics.topics import npmi, top_features
from nmf_nets.pages.table import Table
from nmf_nets.refusal import Refusal, refuse_count
from nmf_nets.shapes import Codes, Components, PerComponent, PerSample
from nmf_nets.whole_file import write

LAMBDA = 0.6
"""The weight of relevance that people in Sievert and Shirley's study named topics best by."""

WORDS, DOCUMENTS = 10, 5
"""Of a topic in its table."""


@dataclass(frozen=True, eq=False)
class Topics:
    """The components of X ≈ H W as topics: with rows of unit sums W holds their words, and H the topics of documents.

    X: how often documents say words, the counts, also where H and W were fitted to weights that were made of them.
    factors: one row of H a document, one column of W a word. words: the names of the columns.
    names: of the documents; None for their numbers. texts: what they say, to be shown. labels: classes, to be shown.
    """

    X: Matrix
    factors: Factorization
    words: Sequence[str] = field(repr=False)
    names: Sequence[str] | None = field(default=None, repr=False)
    texts: Sequence[str] | None = field(default=None, repr=False)
    labels: Sequence[Any] | np.ndarray | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        (n, m), H, W = self.X.shape, self.factors.H, self.factors.W
        if self.factors.copies != 1:
            raise Refusal("topics have one component each, but these are motifs, which have several.")
        for name, M, shape in (("H", H, (n, len(W))), ("W", W, (len(W), m))):
            if M.shape != shape:
                raise Refusal(f"{name} must have the shape {shape}, as X has {n} × {m}, but it has {tuple(M.shape)}.")
            if bool((M < 0).any()):
                raise Refusal(f"topics are distributions, but the least entry of {name} is {float(M.min()):.3g}.")
        for name, what, length in (
            ("words", self.words, m),
            ("names", self.names, n),
            ("texts", self.texts, n),
            ("labels", self.labels, n),
        ):
            if what is not None and len(what) != length:
                raise Refusal(f"{name} must be {length}, as X has {n} × {m}, but there are {len(what)}.")
        for name, sums in (("X", self.lengths), ("H W", self._reconstructed)):
            if not bool(sums.sum().isfinite()):
                raise Refusal(
                    f"{name} has rows with sums up to {float(sums.max()):.3g}, and the sum of all no float64 holds; "
                    "topics are of counts of words."
                )

    @property
    def n_topics(self) -> int:
        return self.factors.n_components

    @cached_property
    def topic_word(self) -> Components:
        """φ: p(word | topic); zeros for a component that is dead."""
        W = self.factors.W.detach().double().cpu()
        return W / divisor(W.sum(1, keepdim=True))

    @cached_property
    def document_topic(self) -> Codes:
        """θ: p(topic | document), the part of its X̂; zeros for a document without words."""
        return self._reconstructed / divisor(self._reconstructed.sum(1, keepdim=True))

    @cached_property
    def _reconstructed(self) -> Codes:
        """The words of X̂ that each topic says in each document."""
        return self.factors.H.detach().double().cpu() * self.factors.W.detach().double().cpu().sum(1)

    @cached_property
    def lengths(self) -> PerSample:
        """Words of each document."""
        return _totals(self.X)

    @cached_property
    def frequencies(self) -> Float[Tensor, " features"]:
        """How often all documents say each word."""
        return _totals(self.X.T)

    @cached_property
    def sizes(self) -> PerComponent:
        """The part of all words that each topic says, Σ_i n_i θ_ik / Σ_i n_i."""
        said = self.lengths @ self.document_topic
        return said / divisor(said.sum())

    @cached_property
    def word_topic(self) -> Components:
        """p(topic | word), as columns; zeros for a word of no topic."""
        joint = self.sizes[:, None] * self.topic_word
        return joint / divisor(joint.sum(0))

    @cached_property
    def coherence(self) -> PerComponent:
        """NPMI of the ten strongest words among these documents."""
        return npmi(self.X, self.topic_word)

    @cached_property
    def clusters(self) -> Int[Tensor, " samples"]:
        """The largest topic of each document; the first for one without words."""
        return self.document_topic.argmax(1)

    @cached_property
    def order(self) -> list[int]:
        """The topics, largest first."""
        return self.sizes.argsort(descending=True, stable=True).tolist()

    def relevance(self, weight: float = LAMBDA) -> Components:
        """λ log φ + (1 − λ) log(φ / p), p the part of all words that is this one; −∞ where φ or p is 0.

        1 orders words by how often the topic says them, 0 by how much more often than others do.
        Source: Sievert & Shirley (2014).
        """
        if not 0 <= weight <= 1:
            raise Refusal(f"the weight of relevance is {weight}, but must be from 0 to 1.")
        common = self.frequencies / divisor(self.frequencies.sum())
        phi = self.topic_word
        lift = phi / divisor(common)
        said = (phi > 0) & (common > 0)
        return torch.where(said, weight * phi.log() + (1 - weight) * lift.log(), -torch.inf)

    def top(self, count: int = WORDS, weight: float = 1.0) -> list[list[int]]:
        """The columns of the most relevant words of each topic; of those alone that it says."""
        refuse_count("count", count)
        relevance = self.relevance(weight)
        best = top_features(relevance, count)
        there = relevance.gather(1, best) > -torch.inf
        return [row[said].tolist() for row, said in zip(best, there, strict=True)]

    def top_words(self, count: int = WORDS, weight: float = 1.0) -> list[list[str]]:
        """The most relevant of each topic."""
        return [[self.words[j] for j in row] for row in self.top(count, weight)]

    def representative(self, count: int = DOCUMENTS) -> list[list[int]]:
        """The documents of the greatest n_i θ_ik / (n_i + n̄): a part of a topic says less in a short document."""
        refuse_count("count", count)
        n = self.lengths
        score = self.document_topic * (n / divisor(n + n.mean()))[:, None]
        best = score.T.argsort(dim=1, descending=True, stable=True)[:, :count]
        there = score.T.gather(1, best) > 0
        return [row[some].tolist() for row, some in zip(best, there, strict=True)]

    @cached_property
    def distances(self) -> Float[Tensor, "components components"]:
        """√ of the Jensen–Shannon divergence, in bits, between each two topics; from 0 to 1, a metric."""
        phi = self.topic_word
        rows = []
        for topic in phi:
            middle = (phi + topic) / 2
            apart = [torch.where(p > 0, p * ratio(p, middle).clamp(min=1e-300).log2(), 0).sum(1) for p in (phi, topic)]
            rows.append(((apart[0] + apart[1]) / 2).clamp(0, 1).sqrt())
        found = torch.stack(rows)
        return (found + found.T).fill_diagonal_(0) / 2

    @cached_property
    def positions(self) -> Float[Tensor, "components 2"]:
        """Points of the plane whose distances are near those of the topics, by classical multidimensional scaling.

        Each axis points to the topic that lies farthest on it, so that the same topics have the same map.
        Source: Torgerson (1952).
        """
        r = self.n_topics
        centre = torch.eye(r, dtype=torch.float64) - 1 / r
        values, vectors = torch.linalg.eigh(-0.5 * centre @ self.distances.square() @ centre)
        points = vectors.flip(1)[:, :2] * values.flip(0)[:2].clamp(min=0).sqrt()
        if r == 1:
            return torch.zeros(1, 2, dtype=torch.float64)
        farthest = points.gather(0, points.abs().argmax(0, keepdim=True))
        return points * torch.where(farthest < 0, -1.0, 1.0)

    def name(self, document: int) -> str:
        return str(document) if self.names is None else self.names[document]

    def table(self) -> Table:
        """A line for each topic, the largest first; `topic` is the row of W."""
        words, documents = self.top_words(), self.representative()
        lines = [
            {
                "topic": k,
                "size": float(self.sizes[k]),
                "coherence": float(self.coherence[k]),
                "words": " ".join(words[k]),
                "documents": ", ".join(map(self.name, documents[k])),
            }
            for k in self.order
        ]
        n, m = self.X.shape
        title = f"{self.n_topics} topics of {n:,} documents with {m:,} words"
        caption = "Size: the part of all words. Coherence: NPMI of the ten strongest words among these documents."
        return Table("topics", title, pd.DataFrame(lines), {"size": "{:.1%}", "coherence": "{:.2f}"}, caption)

    def save(self, path: str | Path) -> None:
        """The table as .csv, or as .json with the probability of each word and the part of each document."""
        path = Path(path)
        if path.suffix == ".csv":
            write(path, self.table().csv().encode())
        elif path.suffix == ".json":
            write(path, json.dumps(self._described(), indent=1).encode())
        else:
            raise Refusal(f"{str(path)!r} must end with .csv or .json.")

    def _described(self) -> list[dict[str, object]]:
        top, documents = self.top(), self.representative()
        return [
            {
                "topic": k,
                "size": float(self.sizes[k]),
                "coherence": float(self.coherence[k]),
                "words": {self.words[j]: float(self.topic_word[k, j]) for j in top[k]},
                "documents": [{"name": self.name(i), "part": float(self.document_topic[i, k])} for i in documents[k]],
            }
            for k in self.order
        ]


def _totals(X: Matrix) -> PerSample:
    """The sums of rows in float64, some rows at a time; weights do not count."""
    return torch.cat([block.row_sum(block.values.double()) for _, block in X.blocks()]).cpu()

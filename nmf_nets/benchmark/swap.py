"""Examples of scikit-learn's gallery and guide by one changed import: `python -m nmf_nets.benchmark.swap [FACES]`."""

import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse
import sklearn.decomposition
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

import nmf_nets
from nmf_nets.as_matrix import as_matrix
from nmf_nets.benchmark.report.table import Table
from nmf_nets.contents import contents_of
from nmf_nets.estimators.base import BaseNMF
from nmf_nets.factorization import Factorization

Package = Any
"""sklearn.decomposition, or nmf_nets: what the import changes."""


@dataclass(frozen=True)
class Fitted:
    """A model, the rows that it saw, the codes that they have, and what else there is to say."""

    model: Any
    X: Any
    codes: Any
    remark: str = ""

    @property
    def loss(self) -> float:
        """What is lowered, D with penalties, in float64, by our evaluation of either's factors."""
        model = self.model
        settings = ("beta_loss", "alpha_W", "alpha_H", "l1_ratio")
        judge: BaseNMF = nmf_nets.NMF(**{name: getattr(model, name) for name in settings})
        judge.n_features_in_ = self.X.shape[1]
        H, W = (as_matrix(np.asarray(M, dtype=float)).dense() for M in (self.codes, model.components_))
        X = as_matrix(self.X if scipy.sparse.issparse(self.X) else np.asarray(self.X, dtype=float))
        return float(judge._criterion(X.shape[0]).total(X, Factorization(H, W)))


@dataclass(frozen=True)
class Example:
    """The same lines for either package. `fit` is what the clock sees, after what is to be `ready` for it."""

    name: str
    data: Callable[[], Any]
    fit: Callable[[Package, Any, int], Any]
    look: Callable[[Any, Any], Fitted]
    """At what was fitted, and on what."""
    ready: Callable[[Package, Any, int], Any] = lambda package, data, seed: data


def corpus(n_documents: int = 2000, n_terms: int = 4000, n_topics: int = 20, seed: int = 0) -> list[str]:
    """Generated documents: topics with Zipf's terms, Dirichlet mixtures of them, 40 to 400 words."""
    chance = np.random.default_rng(seed)
    zipf = 1 / np.arange(1, n_terms + 1)
    topics = np.stack([chance.permutation(n_terms) for _ in range(n_topics)])
    terms = 0.3 * zipf / zipf.sum() + 0.7 * (zipf / zipf.sum())[topics]
    words = chance.dirichlet(np.full(n_topics, 0.1), n_documents) @ terms
    counts = [chance.multinomial(chance.integers(40, 400), row / row.sum()) for row in words]
    return [" ".join(f"term{j}" for j in np.repeat(np.arange(n_terms), row)) for row in counts]


def _tf_idf() -> Any:
    return TfidfVectorizer(max_df=0.95, min_df=2, max_features=1000).fit_transform(corpus())


def _counts() -> Any:
    counts: Any = CountVectorizer(max_df=0.95, min_df=2, max_features=1000).fit_transform(corpus())
    return counts.astype(float)


def _estimator(
    name: str, make: Callable[[Package, int], Any], data: Callable[[], Any], transform: bool = False
) -> Example:
    """fit_transform; or transform of the same rows, by a model that was fitted before."""

    def fit(package: Package, X: Any, seed: int) -> Any:
        model = make(package, seed)
        return model, model.fit_transform(X)

    def look(found: Any, X: Any) -> Fitted:
        return Fitted(found[0], X, found[1])

    if not transform:
        return Example(name, data, fit, look)
    return Example(
        f"{name}: transform",
        data,
        lambda package, fitted, seed: (fitted[0], fitted[0].transform(fitted[1])),
        look,
        lambda package, X, seed: (make(package, seed).fit(X), X),
    )


def _digits() -> tuple[np.ndarray, np.ndarray]:
    images, digits = map(np.asarray, load_digits(return_X_y=True))
    return images, digits


def _searched(package: Package, data: Any, seed: int) -> Any:
    """Dimensionality reduction in a pipeline, searched over."""
    pipeline = make_pipeline(MinMaxScaler(), package.NMF(random_state=seed), LogisticRegression(max_iter=300))
    return GridSearchCV(pipeline, {"nmf__n_components": [4, 8, 16]}, cv=3).fit(*data)


def _look_at_search(found: Any, data: Any) -> Fitted:
    """At the most components, whichever were chosen."""
    scaler, chosen, _ = (step for _, step in found.best_estimator_.steps)
    X = scaler.transform(data[0])
    model: Any = clone(chosen)
    model.set_params(n_components=16)
    remark = f"{found.best_score_:.1%} of the labels right with {chosen.n_components} components"
    return Fitted(model, X, model.fit_transform(X), remark)


def _frame() -> pd.DataFrame:
    images = _digits()[0][:1500]
    return pd.DataFrame({"text": corpus(1500), **{f"pixel{j}": images[:, j] for j in range(images.shape[1])}})


def _columns(package: Package, frame: pd.DataFrame, seed: int) -> Any:
    """Topics of a column of text beside parts of sixty-four others."""
    topics = make_pipeline(TfidfVectorizer(min_df=2, max_features=1000), package.NMF(10, random_state=seed))
    parts = make_pipeline(MinMaxScaler(), package.NMF(10, random_state=seed))
    columns = ColumnTransformer([("topics", topics, "text"), ("parts", parts, list(frame.columns[1:]))])
    return columns, columns.fit_transform(frame)


def _look_at_columns(found: Any, frame: pd.DataFrame) -> Fitted:
    """At the topics."""
    columns, codes = found
    vectorizer, model = (step for _, step in columns.named_transformers_["topics"].steps)
    return Fitted(model, vectorizer.transform(frame["text"]), np.asarray(codes)[:, :10])


def examples(faces: Path | None = None) -> Iterator[Example]:
    """Of the gallery: topic extraction, faces decomposition, a search over a pipeline, columns of mixed types; of the
    user guide: the first snippet of NMF.
    """
    topics = {"n_components": 10, "init": "nndsvda", "alpha_W": 0.00005, "alpha_H": 0.00005}
    kl = {"beta_loss": "kullback-leibler", "l1_ratio": 0.5}
    yield _estimator(
        "topics, Frobenius",
        lambda of, seed: of.NMF(**topics, random_state=seed, beta_loss="frobenius", l1_ratio=1),
        _tf_idf,
    )
    for transform in (False, True):
        yield _estimator(
            "topics, Kullback–Leibler, mu",
            lambda of, seed: of.NMF(**topics, **kl, random_state=seed, solver="mu", max_iter=1000),
            _tf_idf,
            transform,
        )
    yield _estimator(
        "topics, Kullback–Leibler, ours with solver='auto'",
        lambda of, seed: of.NMF(
            **topics, **kl, random_state=seed, solver="auto" if of is nmf_nets else "mu", max_iter=1000
        ),
        _tf_idf,
    )
    yield _estimator(
        "topics, MiniBatchNMF, Frobenius",
        lambda of, seed: of.MiniBatchNMF(**topics, random_state=seed, batch_size=128, l1_ratio=0.5),
        _tf_idf,
    )
    yield _estimator(
        "topics, MiniBatchNMF, Kullback–Leibler",
        lambda of, seed: of.MiniBatchNMF(**topics, **kl, random_state=seed, batch_size=128),
        _tf_idf,
    )
    yield _estimator(
        "counts, MiniBatchNMF without penalties",
        lambda of, seed: of.MiniBatchNMF(10, beta_loss="kullback-leibler", random_state=seed, batch_size=256),
        _counts,
    )
    images = (lambda: contents_of(faces).X / 255) if faces else (lambda: _digits()[0])
    of_faces = "faces" if faces else "digits for faces"
    yield _estimator(
        f"{of_faces}, 6 components, tol=5e-3", lambda of, seed: of.NMF(6, tol=5e-3, random_state=seed), images
    )
    for transform in (False, True):
        yield _estimator(
            f"{of_faces}, 25 components", lambda of, seed: of.NMF(25, random_state=seed), images, transform
        )
    yield Example("digits, GridSearchCV over a pipeline", _digits, _searched, _look_at_search)
    yield Example("text and pixels, ColumnTransformer", _frame, _columns, _look_at_columns)
    yield _estimator(
        "the guide's first snippet, 6 × 2",
        lambda of, seed: of.NMF(n_components=2, init="random", random_state=seed),
        lambda: np.array([[1, 1], [2, 1], [3, 1.2], [4, 1], [5, 0.8], [6, 1]]),
    )


def swap(chosen: Iterator[Example], seeds: int = 5) -> Table:
    """Each with every seed as random_state, in turn; a first call is not counted, as ours compiles."""
    packages = {"scikit-learn": sklearn.decomposition, "nmf_nets": nmf_nets}
    rows, remarks = [], []
    for example in chosen:
        data = example.data()
        seconds: dict[str, list[float]] = {name: [] for name in packages}
        losses: dict[str, list[float]] = {name: [] for name in packages}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            example.fit(nmf_nets, example.ready(nmf_nets, data, 0), 0)
            for seed in range(seeds):
                for name, package in packages.items():
                    given = example.ready(package, data, seed)
                    began = time.perf_counter()
                    found = example.fit(package, given, seed)
                    seconds[name].append(time.perf_counter() - began)
                    seen = example.look(found, data)
                    losses[name].append(seen.loss)
                    if seen.remark and seed == 0:
                        remarks.append(f"{example.name}, {name}: {seen.remark}.")
        theirs, ours = (statistics.median(losses[name]) for name in packages)
        differences = [mine / other - 1 for other, mine in zip(*losses.values(), strict=True)]
        slow, fast = (statistics.median(seconds[name]) for name in packages)
        rows.append(
            {
                "example": example.name,
                "loss, scikit-learn": theirs,
                "loss, nmf_nets": ours,
                "difference": statistics.median(differences),
                "worst": max(differences),
                "s, scikit-learn": slow,
                "s, nmf_nets": fast,
                "times faster": slow / fast,
            }
        )
    formats = {
        **dict.fromkeys(("loss, scikit-learn", "loss, nmf_nets"), "{:.6g}"),
        **dict.fromkeys(("difference", "worst"), "{:+.2%}"),
        **dict.fromkeys(("s, scikit-learn", "s, nmf_nets"), "{:.3f}"),
        "times faster": "{:.1f}",
    }
    note = f"Medians of {seeds} seeds; worst: of the seeds. Loss: with penalties, of the codes of fit_transform."
    caption = " ".join([note, *remarks])
    return Table("swap", "One import changed", pd.DataFrame(rows), formats, caption)


def main() -> None:
    faces = [Path(argument) for argument in sys.argv[1:]]
    print(swap(examples(*faces)).markdown())  # noqa: T201 - it is a program


if __name__ == "__main__":
    main()

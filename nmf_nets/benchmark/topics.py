"""Topics by many models on one vocabulary: `python -m nmf_nets.benchmark.topics FILE [TOPICS] [SEEDS]`."""

import argparse
import logging
import math
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse
import torch
from pytorch_lightning import Trainer
from sklearn.cluster import KMeans
from sklearn.decomposition import NMF, LatentDirichletAllocation, TruncatedSVD
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import normalize

from nmf_nets.data.base import MatrixDataModule
from nmf_nets.data.matrix import MatrixFile
from nmf_nets.divergences.kullback_leibler import KullbackLeibler
from nmf_nets.encoders.mlp import MLP
from nmf_nets.encoders.refined import Refined
from nmf_nets.extras import Missing
from nmf_nets.factorization import Factorization
from nmf_nets.fit import factorize
from nmf_nets.inits.spherical_kmeans import spherical_kmeans
from nmf_nets.loader import ResidentLoader
from nmf_nets.matrix import Matrix
from nmf_nets.metrics.clustering import clustering_accuracy, normalized_mutual_information
from nmf_nets.metrics.topics import c_v, halves, held_out_perplexity, npmi, topic_diversity
from nmf_nets.modules.kullback_leibler import KullbackLeiblerNMF
from nmf_nets.optimizers.online import Online
from nmf_nets.pages.table import Table
from nmf_nets.preprocessing.tf_idf import TfIdf
from nmf_nets.refusal import Refusal
from nmf_nets.updates.scalar_newton import ScalarNewton

TOLERANCE, MOST = 1e-4, 100
"""Of the solvers: relative decrease an iteration, as scikit-learn's NMF has it, and iterations."""

EPOCHS, BATCH, BATCH_EPOCHS = 50, 256, 10
"""Of nets on all rows, and on mini-batches."""

LDA_PASSES = 20
"""Of variational inference; scikit-learn's default is 10."""

EM_STEPS = 100


@dataclass(frozen=True)
class Corpus:
    """Counts of the training documents, and their tf-idf."""

    counts: Matrix
    weights: Matrix

    @classmethod
    def of(cls, counts: Matrix) -> "Corpus":
        tf_idf = TfIdf()
        tf_idf.fit(counts)
        return cls(counts, tf_idf(counts))


@dataclass(frozen=True)
class Found:
    """Components, whatever their sign, and the cluster of each document."""

    W: np.ndarray
    clusters: np.ndarray


Model = Callable[[Corpus, int, int], Found]
"""Of a corpus, a number of topics and a seed."""


def _of_factors(H: Any, W: Any) -> Found:
    """The cluster is the topic that says most of the document: the greatest h_ik Σ_j w_kj."""
    H, W = (np.asarray(M, dtype=np.float64) for M in (H, W))
    return Found(W, (H * W.sum(1)).argmax(1))


def ours(of: str, corpus: Corpus, n_topics: int, seed: int, **settings: Any) -> Found:
    given = {"max_iter": MOST, "tol": TOLERANCE, "kkt_tol": None, "seed": seed, **settings}
    found = factorize(getattr(corpus, of), n_topics, **given)
    return _of_factors(found.H, found.W)


def net(amortised: bool, corpus: Corpus, n_topics: int, seed: int) -> Found:
    """KL on counts: the unrolled net on all rows, or an MLP with three half-steps on mini-batches."""
    X = corpus.counts
    start = spherical_kmeans(X, n_topics, torch.Generator().manual_seed(seed))
    if amortised:
        torch.manual_seed(seed)
        encoder = Refined(start, partial(MLP, divergence=KullbackLeibler(), seed=seed), ScalarNewton())
        model = KullbackLeiblerNMF(start, encoder, optimizer=partial(Online, update=ScalarNewton()))
    else:
        model = KullbackLeiblerNMF(start)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=BATCH_EPOCHS if amortised else EPOCHS,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, ResidentLoader(X, BATCH if amortised else None, seed))
    factors = model.own_factors(X).detach()
    return _of_factors(factors.H, factors.W)


def plsa(X: Any, theta: np.ndarray, phi: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """EM of probabilistic latent semantic analysis, of sparse X: p(topic | document), and p(word | topic) as rows.

    E: p(k | i, j) ∝ θ_ik φ_kj. M: θ_ik ∝ Σ_j x_ij p(k | i, j), φ_kj ∝ Σ_i x_ij p(k | i, j).
    Source: Hofmann (1999).
    """
    X = scipy.sparse.coo_array(X)
    (i, j), x, (n, m) = X.coords, X.data.astype(np.float64), X.shape
    for _ in range(steps):
        joint = [theta[i, k] * phi[k, j] for k in range(len(phi))]
        total = np.sum(joint, axis=0)
        said = [x * part / total for part in joint]
        theta = np.stack([np.bincount(i, part, n) for part in said], 1)
        phi = np.stack([np.bincount(j, part, m) for part in said])
        theta = theta / np.maximum(theta.sum(1, keepdims=True), np.finfo(float).tiny)
        phi = phi / np.maximum(phi.sum(1, keepdims=True), np.finfo(float).tiny)
    return theta, phi


def by_em(corpus: Corpus, n_topics: int, seed: int) -> Found:
    chance, (n, m) = np.random.default_rng(seed), corpus.counts.shape
    theta, phi = (0.1 + chance.random(shape) for shape in ((n, n_topics), (n_topics, m)))
    theta, phi = (drawn / drawn.sum(1, keepdims=True) for drawn in (theta, phi))
    theta, phi = plsa(corpus.counts.numpy(), theta, phi, EM_STEPS)
    return Found(phi, theta.argmax(1))


def scikit_learns_nmf(of: str, corpus: Corpus, n_topics: int, seed: int, **settings: Any) -> Found:
    model: Any = NMF(n_components=n_topics, random_state=seed, tol=TOLERANCE, max_iter=200, **settings)  # pyright: ignore
    H = model.fit_transform(getattr(corpus, of).numpy())
    return _of_factors(H, model.components_)


def lda(method: str, corpus: Corpus, n_topics: int, seed: int) -> Found:
    model = LatentDirichletAllocation(n_topics, learning_method=method, max_iter=LDA_PASSES, random_state=seed)
    theta = model.fit_transform(corpus.counts.numpy())
    return Found(model.components_, theta.argmax(1))


def lsa(corpus: Corpus, n_topics: int, seed: int) -> Found:
    """Truncated SVD of tf-idf, and k-means on its codes of unit length, as scikit-learn's guide clusters text."""
    model = TruncatedSVD(n_topics, random_state=seed)
    codes = normalize(model.fit_transform(corpus.weights.numpy()))
    return Found(np.asarray(model.components_), KMeans(n_topics, n_init="auto", random_state=seed).fit_predict(codes))


def k_means(corpus: Corpus, n_topics: int, seed: int) -> Found:
    model = KMeans(n_topics, n_init="auto", random_state=seed).fit(corpus.weights.numpy())
    return Found(np.asarray(model.cluster_centers_), np.asarray(model.labels_))


def spherical(corpus: Corpus, n_topics: int, seed: int) -> Found:
    found: Factorization = spherical_kmeans(corpus.weights, n_topics, torch.Generator().manual_seed(seed))
    return Found(found.W.numpy(), found.H.argmax(1).numpy())


KL = "kullback_leibler"
MODELS: dict[str, Model] = {
    "KL-NMF, counts": partial(ours, "counts", divergence=KL, init="random"),
    "KL-NMF, counts, from spherical k-means": partial(ours, "counts", divergence=KL, init="spherical_kmeans"),
    "KL-NMF, tf-idf, from spherical k-means": partial(ours, "weights", divergence=KL, init="spherical_kmeans"),
    "net, unrolled, KL, counts": partial(net, False),
    "net, refined MLP, KL, counts": partial(net, True),
    "Frobenius NMF, tf-idf": partial(ours, "weights", init="random"),
    "PLSA, EM, counts": by_em,
    "scikit-learn NMF, mu, KL, counts": partial(
        scikit_learns_nmf, "counts", solver="mu", beta_loss="kullback-leibler", init="random"
    ),
    "scikit-learn NMF, cd, tf-idf": partial(scikit_learns_nmf, "weights", init="random"),
    "scikit-learn LDA, batch": partial(lda, "batch"),
    "scikit-learn LDA, online": partial(lda, "online"),
    "LSA and k-means, tf-idf": lsa,
    "k-means, tf-idf": k_means,
    "spherical k-means, tf-idf": spherical,
}


def measured(
    model: Model, corpus: Corpus, data: MatrixDataModule, parts: tuple[Matrix, Matrix], n_topics: int, seed: int
) -> dict[str, float]:
    began = time.process_time()
    found = model(corpus, n_topics, seed)
    seconds = time.process_time() - began
    X, words, labels = corpus.counts, data.dataset.feature_names, data.training_labels
    assert words is not None
    assert labels is not None
    W = torch.from_numpy(np.asarray(found.W, dtype=np.float64))
    try:
        context = float(c_v(X, W, words).mean())
    except Missing:
        context = math.nan
    frequencies = X.T.row_totals.flatten()
    return {
        "NPMI": float(npmi(X, W).mean()),
        "C_V": context,
        "diversity": topic_diversity(W),
        "accuracy": clustering_accuracy(labels.numpy(), found.clusters),
        "NMI": normalized_mutual_information(labels.numpy(), found.clusters),
        "perplexity": math.nan if bool((W < 0).any()) else held_out_perplexity(*parts, W, frequencies),
        "CPU seconds": seconds,
    }


def topics(data: MatrixDataModule, n_topics: int, seeds: int = 3, models: Sequence[str] = tuple(MODELS)) -> Table:
    """Means over seeds. Raises Refusal for data without words, classes, or documents that are held out."""
    data.setup()
    held = data.test
    if data.dataset.feature_names is None or data.training_labels is None or held is None:
        raise Refusal("topics are compared on documents with words and classes, some of which are held out.")
    corpus, parts = Corpus.of(data.training), halves(held, torch.Generator().manual_seed(0))
    lines = []
    for name in models:
        runs = [measured(MODELS[name], corpus, data, parts, n_topics, seed) for seed in range(seeds)]
        line = {what: sum(run[what] for run in runs) / seeds for what in runs[0]}
        print(name, *(f"{what} {value:.3f}" for what, value in line.items()), file=sys.stderr)  # noqa: T201
        lines.append({"model": name, **line})
    n, m = corpus.counts.shape
    title = f"{n:,} documents, {m:,} words, {n_topics} topics"
    note = (
        f"Means of {seeds} seeds. Perplexity: of one half of the words of {held.shape[0]:,} held-out documents, by "
        "their topics on the other half, folded in by one rule for all."
    )
    two = dict.fromkeys(("NPMI", "C_V", "diversity", "accuracy", "NMI"), "{:.3f}")
    return Table("topics", title, pd.DataFrame(lines), {**two, "perplexity": "{:,.0f}", "CPU seconds": "{:.0f}"}, note)


def main() -> None:
    program = argparse.ArgumentParser(description=__doc__)
    program.add_argument("file", help="documents × words, with labels and a vocabulary, as data=matrix reads it")
    program.add_argument("topics", nargs="?", type=int, default=20)
    program.add_argument("seeds", nargs="?", type=int, default=3)
    program.add_argument("--only", nargs="+", choices=list(MODELS), default=list(MODELS), help="these models alone")
    given = program.parse_args()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", module="pytorch_lightning")
        logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
        data = MatrixFile(given.file, validation=0.0, test=0.1)
        print(topics(data, given.topics, given.seeds, given.only).markdown())  # noqa: T201 - it is a program


if __name__ == "__main__":
    main()

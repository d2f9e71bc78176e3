"""How like known signatures the components of genomes are, by number and by method:
`python -m nmf_nets.benchmark.signatures COUNTS KNOWN [--numbers 3 4 …] [--starts 10]`.
"""

import argparse
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.decomposition import NMF as ScikitLearnNMF
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import silhouette_samples
from torch.nn.functional import normalize

from nmf_nets.as_matrix import as_matrix
from nmf_nets.contents import contents_of
from nmf_nets.fit import factorize
from nmf_nets.metrics.recovery import matching
from nmf_nets.pages.table import Table
from nmf_nets.penalties.volume import Volume
from nmf_nets.shapes import Components
from nmf_nets.signatures import Catalogue, matches, read_catalogue

NUMBERS = (3, 4, 5, 6, 7, 8)
ASKED = ("SBS1", "SBS2", "SBS3", "SBS5", "SBS13")
"""Of breast cancer: ageing, APOBEC, lack of BRCA, ageing, APOBEC."""

CAP = 100
"""Mutations a type and genome, to which SigProfilerExtractor scales genomes that have more."""

PENALISED_STARTS = 3
"""At most, of the slower multiplicative steps."""


class Found(NamedTuple):
    """Silhouettes are of clusters of components, where there are several solutions."""

    W: Components
    silhouettes: np.ndarray | None = None


Method = Callable[[np.ndarray, int, int], Found]
"""Of counts, genomes as rows, a number of components and a number of starts."""


def best(X: np.ndarray, n_components: int, starts: int, divergence: str = "kullback_leibler") -> Found:
    """The solution of least loss."""
    return Found(min(_fits(X, n_components, range(starts), divergence), key=lambda fit: fit[0])[1])


def started(X: np.ndarray, n_components: int, starts: int) -> Found:
    """From nndsvda alone, as experiment=signatures."""
    return Found(_fits(X, n_components, [0], init="nndsvda")[0][1])


def capped(X: np.ndarray) -> np.ndarray:
    """Genomes with more than 100 mutations a type count as if they had so many."""
    return X * np.minimum(1, CAP * X.shape[1] / X.sum(1, keepdims=True))


def sparse(X: np.ndarray, n_components: int, starts: int) -> Found:
    """An L1 on W of capped genomes, and an L2 on H, so that W cannot escape into H."""
    return Found(min(_fits(capped(X), n_components, range(starts), l1_W=1.0, l2_H=1.0), key=lambda fit: fit[0])[1])


def tight(X: np.ndarray, n_components: int, starts: int) -> Found:
    """Minimum volume, of capped genomes."""
    X = capped(X)
    seeds = range(min(starts, PENALISED_STARTS))
    fits = _fits(X, n_components, seeds, max_iter=1000, penalties_W=[Volume(10.0, X.T)], l2_H=1e-3, solver="mu")
    return Found(min(fits, key=lambda fit: fit[0])[1])


def resampled(X: np.ndarray, n_components: int, starts: int, passes: int = 10) -> Found:
    """The published procedure: Poisson resamples of capped genomes, each from its own start, whose components are
    clustered, one of each solution to a cluster; the means of the clusters.

    Source: Alexandrov et al. (2013), Islam et al. (2022).
    """
    chance = np.random.default_rng(0)
    draws = [chance.poisson(capped(X)).astype(float) for _ in range(3 * starts)]
    fits = [next(iter(_fits(drawn, n_components, [seed]))) for seed, drawn in enumerate(draws)]
    solutions = [W / W.sum(1, keepdim=True) for _, W in fits]
    centres = min(fits, key=lambda fit: fit[0])[1]
    ordered = torch.stack(solutions)
    for _ in range(passes):
        ordered = torch.stack([W[matching(W, centres)[1]] for W in solutions])
        centres = ordered.mean(0)
    points = ordered.flatten(0, 1).numpy()
    labels = np.tile(np.arange(n_components), len(solutions))
    values = np.asarray(silhouette_samples(points, labels, metric="cosine"))
    return Found(centres, values.reshape(-1, n_components).mean(0))


def scikit_learn(X: np.ndarray, n_components: int, starts: int) -> Found:
    settings: dict[str, Any] = {
        "init": "random",
        "solver": "mu",
        "beta_loss": "kullback-leibler",
        "max_iter": 2000,
        "tol": 1e-7,
    }
    settings |= {"n_components": n_components}
    models = [ScikitLearnNMF(random_state=seed, **settings).fit(X) for seed in range(starts)]
    return Found(torch.from_numpy(min(models, key=lambda model: model.reconstruction_err_).components_))


METHODS: dict[str, Method] = {
    "KL": best,
    "KL, nndsvda start": started,
    "KL, genomes capped": lambda X, r, starts: best(capped(X), r, starts),
    "KL, resamples clustered": resampled,
    "KL, L1 on W": sparse,
    "KL, minimum volume": tight,
    "Frobenius": lambda X, r, starts: best(X, r, starts, "frobenius"),
    "scikit-learn, KL": scikit_learn,
}


def signatures(X: np.ndarray, catalogue: Catalogue, numbers: Iterable[int] = NUMBERS, starts: int = 10) -> Table:
    """A row for each number and method; what it costs is the time of all starts."""
    rows = []
    for n_components in numbers:
        for name, method in METHODS.items():
            began = time.perf_counter()
            W, silhouettes = method(X, n_components, starts)
            spent = time.perf_counter() - began
            found = matches(W, catalogue)
            cosines = (normalize(W.double(), dim=1) @ normalize(catalogue.W, dim=1).T).amax(0)
            asked = {known: float(cosines[catalogue.names.index(known)]) for known in ASKED if known in catalogue.names}
            rows.append(
                {
                    "n": n_components,
                    "method": name,
                    "silhouette": float("nan") if silhouettes is None else silhouettes.mean(),
                    "least": float("nan") if silhouettes is None else silhouettes.min(),
                    "best cosine": fmean(match.nearest_cosine for match in found),
                    "assigned": fmean(match.cosine for match in found),
                    "as mixtures": fmean(match.mixture_cosine for match in found),
                    **asked,
                    "seconds": spent,
                }
            )
    title = f"{len(X)} genomes, {X.sum():,.0f} mutations, {len(catalogue.names)} known signatures, {starts} starts"
    note = (
        "Means over components of the cosine with the nearest known signature, with the one that it is assigned to, "
        "and with a mixture of known ones; then the greatest cosine that any component has with the signature. "
        f"Silhouettes of {3 * starts} solutions, the mean and the least of a cluster."
    )
    cosines = ["silhouette", "least", "best cosine", "assigned", "as mixtures", *ASKED]
    return Table(
        "signatures", title, pd.DataFrame(rows), {**dict.fromkeys(cosines, "{:.3f}"), "seconds": "{:.1f}"}, note
    )


def _fits(
    X: np.ndarray, n_components: int, seeds: Iterable[int], divergence: str = "kullback_leibler", **settings: Any
) -> list[tuple[float, Components]]:
    """Of each seed the loss, with penalties, and W."""
    given = as_matrix(X)
    asked: dict[str, Any] = {"init": "random", "max_iter": 2000, "tol": 1e-7, **settings}
    fits = [factorize(given, n_components, divergence=divergence, seed=seed, **asked) for seed in seeds]
    return [(fit.history[-1].loss, fit.W) for fit in fits]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m nmf_nets.benchmark.signatures", description=signatures.__doc__)
    parser.add_argument("counts", type=Path, help="types of mutation as rows, genomes as columns")
    parser.add_argument("known", type=Path, help="types of mutation as rows, signatures as columns")
    parser.add_argument("--numbers", type=int, nargs="+", default=NUMBERS)
    parser.add_argument("--starts", type=int, default=10)
    asked = parser.parse_args()
    counts = contents_of(asked.counts, index_column=0).T
    assert counts.feature_names is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        catalogue = read_catalogue(asked.known, counts.feature_names)
        table = signatures(np.asarray(counts.X, dtype=float), catalogue, asked.numbers, asked.starts)
    print(table.markdown())  # noqa: T201 - it is a program


if __name__ == "__main__":
    main()

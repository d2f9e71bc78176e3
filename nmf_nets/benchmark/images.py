"""Images by NMF and by others: `python -m nmf_nets.benchmark.images parts FILE`, or `clusters`, `holes`, `noise`."""

import argparse
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter, median_filter
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import KNNImputer

from nmf_nets import factorize
from nmf_nets.as_matrix import as_matrix
from nmf_nets.contents import contents_of
from nmf_nets.factorization import Factorization
from nmf_nets.inits.nndsvda import nndsvda
from nmf_nets.metrics.clustering import cluster_of, clustering_accuracy, normalized_mutual_information
from nmf_nets.metrics.relative_error import relative_error
from nmf_nets.metrics.sparseness import hoyer_sparseness
from nmf_nets.metrics.spatial_spread import spatial_spread
from nmf_nets.metrics.svd_excess import svd_error
from nmf_nets.pages.table import Table
from nmf_nets.penalties.orthogonality import Orthogonality
from nmf_nets.plots.parts import Parts, draw_parts
from nmf_nets.plots.strips import draw_strips
from nmf_nets.refusal import Refusal
from nmf_nets.solver import Solver
from nmf_nets.updates.assignment import Assignment
from nmf_nets.updates.hals import HALS
from nmf_nets.updates.hoyer import Hoyer
from nmf_nets.updates.unit_ball import UnitBall

SIZES = (10, 25, 50)
"""Components, of every method that has some."""

SHOWN = 8
"""Images of a strip."""

DB = "{:.2f}"


class Pictures(NamedTuple):
    """Grey images from 0, black, to 1, one a row."""

    X: np.ndarray
    shape: tuple[int, int]
    labels: np.ndarray | None = None


def pictures_of(path: Path, rows: int | None = None, shrink: int = 1, seed: int = 0) -> Pictures:
    """Of the file, `rows` of its images drawn at random; means of `shrink` × `shrink` pixels, what is over cut off."""
    found = contents_of(path).fitting
    if found.image_shape is None:
        raise Refusal(f"{path} says no shape of its images; save `image_shape` beside X.")
    n = len(found.X)
    chosen = np.sort(np.random.default_rng(seed).choice(n, min(rows or n, n), replace=False))
    height, width = (side // shrink for side in found.image_shape)
    images = found.X[chosen].reshape(-1, *found.image_shape)[:, : height * shrink, : width * shrink] / found.X.max()
    X = images.reshape(-1, height, shrink, width, shrink).mean((2, 4)).reshape(len(chosen), -1)
    return Pictures(X, (height, width), None if found.labels is None else found.labels[chosen])


def psnr(found: np.ndarray, true: np.ndarray) -> float:
    """−10 log₁₀ of the mean square error, in dB, for images whose white is 1: the peak signal-to-noise ratio."""
    return float(-10 * np.log10(np.mean((found - true) ** 2)))


# Parts ----------------------------------------------------------------------------------------------------------------


def models(X: np.ndarray, n_components: int) -> Iterator[tuple[str, Factorization]]:
    """NMF from NNDSVDa, and what asks for parts, from where that came to.

    Strengths are for images from 0 to 1, by the hundred, of some thousand pixels.
    """
    start = nndsvda(as_matrix(X), n_components, torch.Generator().manual_seed(0))
    asked: dict[str, Any] = {
        "plain": {},
        "sparse codes": {"solver": Solver(HALS(), update_W=UnitBall()), "l1_H": 0.3},
        "sparse components": {"l1_W": 1.0, "l2_H": 1.0},
        "components apart": {"penalties_W": [Orthogonality(1.0)], "l2_H": 1.0},
        "Hoyer 0.6": {"solver": Solver(HALS(), update_W=Hoyer(0.6)), "max_iter": 60},
        "Hoyer 0.75": {"solver": Solver(HALS(), update_W=Hoyer(0.75)), "max_iter": 60},
    }
    for name, how in asked.items():
        result = factorize(X, n_components, start=start, **{"max_iter": 200, **how})
        factors = Factorization(torch.as_tensor(result.H), torch.as_tensor(result.W))
        start = factors if name == "plain" else start
        yield name, factors


def parts(given: Pictures, n_components: int = 25) -> tuple[Table, Figure]:
    """Sparseness, spread and overlap of the components of each model, and what they cost."""
    X = as_matrix(given.X)
    found, lines = [], []
    for name, factors in models(given.X, n_components):
        W = factors.W
        alive = W[torch.linalg.vector_norm(W, dim=1) > 0]
        unit = alive / torch.linalg.vector_norm(alive, dim=1, keepdim=True)
        r = len(alive)
        overlap = float((unit @ unit.T).sum() - r) / max(r * (r - 1), 1)
        sparseness, spread = hoyer_sparseness(alive).mean(), spatial_spread(alive, given.shape).mean()
        found.append(Parts(name, W, float(sparseness), float(spread), relative_error(X, factors)))
        lines.append(
            {
                "model": name,
                "sparseness": found[-1].sparseness,
                "spread": found[-1].spread,
                "overlap": overlap,
                "zero codes": float((factors.H == 0).double().mean()),
                "dead": n_components - r,
                "error": found[-1].error,
            }
        )
    lines.append({"model": "truncated SVD", "error": svd_error(X, n_components)})
    title = f"{len(given.X):,} images of {given.shape[0]} × {given.shape[1]}, {n_components} components"
    caption = "overlap: mean cosine between two components. Means over components that are not dead; ‖X − H W‖ / ‖X‖."
    formats = {**dict.fromkeys(("sparseness", "spread", "overlap"), "{:.2f}"), "zero codes": "{:.0%}"}
    formats |= {"dead": "{:.0f}", "error": "{:.4f}"}
    return Table("parts", title, pd.DataFrame(lines), formats, caption), draw_parts(found, given.shape)


# Clusters -------------------------------------------------------------------------------------------------------------


def clusters(given: Pictures, seeds: int = 5) -> Table:
    """How well clusters, as many as there are classes, agree with the classes; the mean and the deviation of seeds."""
    if given.labels is None:
        raise Refusal("clusters are compared with classes, but the file has no labels.")
    X, labels = given.X, np.unique(given.labels, return_inverse=True)[1]
    r = len(np.unique(labels))

    def by_nmf(seed: int, **asked: Any) -> Factorization:
        result = factorize(X, r, init="kmeans", seed=seed, max_iter=200, **asked)
        return Factorization(torch.as_tensor(result.H), torch.as_tensor(result.W))

    def by_kmeans(Y: np.ndarray, seed: int) -> np.ndarray:
        once: Any = 1  # its annotation says a string
        return KMeans(r, n_init=once, random_state=seed).fit_predict(Y)

    def codes(seed: int) -> np.ndarray:
        factors = by_nmf(seed)
        return (factors.H * torch.linalg.vector_norm(factors.W, dim=1)).numpy()

    orthogonal = Solver(Assignment(), update_W=HALS())
    methods: dict[str, Callable[[int], np.ndarray]] = {
        "k-means of the pixels": lambda seed: by_kmeans(X, seed),
        "k-means of principal components": lambda seed: by_kmeans(PCA(r, random_state=seed).fit_transform(X), seed),
        "k-means of codes": lambda seed: by_kmeans(codes(seed), seed),
        "strongest component, NMF": lambda seed: cluster_of(by_nmf(seed)).numpy(),
        "strongest component, KL": lambda seed: cluster_of(by_nmf(seed, divergence="kullback_leibler")).numpy(),
        "one component, orthogonal NMF": lambda seed: cluster_of(by_nmf(seed, solver=orthogonal)).numpy(),
    }
    lines = []
    for name, method in methods.items():
        found = [method(seed) for seed in range(seeds)]
        accuracy = [clustering_accuracy(labels, each) for each in found]
        shared = [normalized_mutual_information(labels, each) for each in found]
        measured = {"accuracy": np.mean(accuracy), "sd of seeds": np.std(accuracy), "NMI": np.mean(shared)}
        lines.append({"clusters": name, **measured})
    title = f"{len(X):,} images, {r} classes, {r} clusters"
    caption = f"Means of {seeds} seeds. Every NMF starts from k-means."
    formats = {"accuracy": "{:.1%}", "sd of seeds": "{:.1%}", "NMI": "{:.3f}"}
    return Table("clusters", title, pd.DataFrame(lines), formats, caption)


# Holes ----------------------------------------------------------------------------------------------------------------


def masks(given: Pictures, seed: int = 0) -> dict[str, np.ndarray]:
    """Which pixels are hidden: each by chance, or of every image a rectangle of half its sides, somewhere."""
    chance = np.random.default_rng(seed)
    n, (height, width) = len(given.X), given.shape
    top, left = (chance.integers(0, side - side // 2 + 1, size=(n, 1, 1)) for side in given.shape)
    i, j = np.arange(height)[:, None], np.arange(width)
    block = (i >= top) & (i < top + height // 2) & (j >= left) & (j < left + width // 2)
    return {
        "30 % at random": chance.random(given.X.shape) < 0.3,
        "80 % at random": chance.random(given.X.shape) < 0.8,
        "blocks": block.reshape(n, -1),
    }


def holes(given: Pictures, sizes: tuple[int, ...] = SIZES[:2]) -> tuple[Table, Figure]:
    """PSNR on the pixels that were hidden; all methods see the same images with the same holes, and nothing else."""
    hidden = masks(given)
    lines, images = {}, {}
    for mask_name, mask in hidden.items():
        known = np.where(mask, np.nan, given.X)
        found = dict(imputed(known, sizes))
        lines[mask_name] = {name: psnr(np.clip(Y, 0, 1)[mask], given.X[mask]) for name, Y in found.items()}
        images[mask_name] = {"image": given.X, "seen": known, **found}
    title = f"{len(given.X):,} images of {given.shape[0]} × {given.shape[1]}, PSNR of hidden pixels in dB"
    return _restored("holes", title, lines, images["blocks"], given)


def imputed(known: np.ndarray, sizes: tuple[int, ...]) -> Iterator[tuple[str, np.ndarray]]:
    """Whole images, by each method; NaN is what was not observed."""
    mask = np.isnan(known)
    middle = np.nanmean(known)
    mean = np.where(mask.all(0), middle, np.nansum(known, 0) / np.maximum((~mask).sum(0), 1))
    filled = np.where(mask, mean, known)
    yield "mean of the pixel", filled
    for k in (5, 15):
        yield f"k-NN, {k} neighbours", KNNImputer(n_neighbors=k, keep_empty_features=True).fit_transform(known)
    for r in sizes:
        yield f"SVD, {r}", svd_imputed(filled, mask, r)
    for divergence, name in (("frobenius", "NMF"), ("kullback_leibler", "NMF, KL")):
        for r in sizes:
            result = factorize(
                np.where(mask, 0.0, known), r, divergence=divergence, weights=~mask, init="random", max_iter=100
            )
            yield f"{name}, {r}", np.where(mask, result.H @ result.W, known)


def svd_imputed(filled: np.ndarray, mask: np.ndarray, n_components: int, passes: int = 50) -> np.ndarray:
    """What is hidden, from the truncated SVD of what it was filled with, again and again.

    Source: Troyanskaya et al. (2001).
    """
    for _ in range(passes):
        U, s, Vt = np.linalg.svd(filled, full_matrices=False)
        filled = np.where(mask, (U[:, :n_components] * s[:n_components]) @ Vt[:n_components], filled)
    return filled


# Noise ----------------------------------------------------------------------------------------------------------------


def noisy(given: Pictures, seed: int = 0) -> dict[str, np.ndarray]:
    """σ = 0.1 of white, cut at black; photons, 20 for white; a tenth of the pixels black or white by chance."""
    chance = np.random.default_rng(seed)
    X = given.X
    thrown = chance.random(X.shape)
    return {
        "Gaussian": np.maximum(X + 0.1 * chance.standard_normal(X.shape), 0),
        "Poisson": chance.poisson(20 * X) / 20,
        "salt and pepper": np.where(thrown < 0.05, 0.0, np.where(thrown > 0.95, 1.0, X)),
    }


def noise(given: Pictures, sizes: tuple[int, ...] = SIZES) -> tuple[Table, Figure]:
    """PSNR of all pixels, for each kind of noise."""
    lines, images = {}, {}
    for kind, Y in noisy(given).items():
        found = dict(denoised(Y, given.shape, sizes))
        lines[kind] = {name: psnr(np.clip(Z, 0, 1), given.X) for name, Z in found.items()}
        images[kind] = {"image": given.X, **found}
    title = f"{len(given.X):,} images of {given.shape[0]} × {given.shape[1]}, PSNR in dB"
    return _restored("noise", title, lines, images["salt and pepper"], given)


def denoised(Y: np.ndarray, shape: tuple[int, int], sizes: tuple[int, ...]) -> Iterator[tuple[str, np.ndarray]]:
    """Images by each method. Filters see one image each, factors see all of them."""
    stack = Y.reshape(-1, *shape)
    yield "noisy", Y
    yield "median filter, 3 × 3", median_filter(stack, size=(1, 3, 3)).reshape(Y.shape)
    yield "Gaussian filter, σ = 1", gaussian_filter(stack, sigma=(0, 1, 1)).reshape(Y.shape)
    for r in sizes:
        pca = PCA(r, random_state=0).fit(Y)
        yield f"PCA, {r}", pca.inverse_transform(pca.transform(Y))
    seen = (Y > 0) & (Y < 1)
    asked: dict[str, Any] = {
        "NMF": {},
        "NMF, KL": {"divergence": "kullback_leibler"},
        "NMF, black and white not observed": {"weights": seen, "init": "random"},
    }
    for name, how in asked.items():
        for r in sizes:
            result = factorize(Y, r, max_iter=200, **how)
            yield f"{name}, {r}", result.H @ result.W


# Tables and figures ---------------------------------------------------------------------------------------------------


def _restored(
    name: str, title: str, lines: Mapping[str, Mapping[str, float]], images: Mapping[str, np.ndarray], given: Pictures
) -> tuple[Table, Figure]:
    """The table of all, and a strip of each kind of method: the best of its sizes for the images that are shown."""
    frame = pd.DataFrame(lines).rename_axis("method").reset_index()
    shown, best = list(lines)[-1], {}
    for method in images:
        kind = method.rpartition(", ")[0] or method
        score = lines[shown].get(method, np.inf)
        if kind not in best or score > best[kind][0]:
            best[kind] = score, method
    rows = np.linspace(0, len(given.X) - 1, min(SHOWN, len(given.X))).round().astype(int)
    figure = draw_strips({method: images[method][rows] for _, method in best.values()}, given.shape)
    caption = f"The number behind a method is that of its components. Strips: {shown}, each with its best number."
    return Table(name, title, frame, dict.fromkeys(lines, DB), caption), figure


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m nmf_nets.benchmark.images", description=__doc__)
    parser.add_argument("what", choices=("parts", "clusters", "holes", "noise"))
    parser.add_argument("file", type=Path, help="of data=matrix, with image_shape")
    parser.add_argument("--rows", type=int, help="so many of its images, by chance; all otherwise")
    parser.add_argument("--shrink", type=int, default=1, help="means of so many pixels in each direction")
    parser.add_argument("--components", type=int, default=25, help="of parts")
    parser.add_argument("--to", type=Path, help="a file for the figure, .png or .svg")
    asked = parser.parse_args()
    given = pictures_of(asked.file, asked.rows, asked.shrink)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if asked.what == "clusters":
            table, figure = clusters(given), None
        elif asked.what == "parts":
            table, figure = parts(given, asked.components)
        else:
            table, figure = {"holes": holes, "noise": noise}[asked.what](given)
    print(table.markdown())  # noqa: T201 - it is a program
    if asked.to is not None and figure is not None:
        figure.savefig(asked.to, dpi=80)


if __name__ == "__main__":
    main()

"""Pictures that move about, found by convolutive NMF: `python -m nmf_nets.benchmark.moving FILE [--to FIGURE]`."""

import argparse
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from scipy.optimize import linear_sum_assignment
from scipy.signal import correlate

from nmf_nets import factorize
from nmf_nets.as_matrix import as_matrix
from nmf_nets.benchmark.images import Pictures, pictures_of
from nmf_nets.constraints.projected import Projected
from nmf_nets.decoders.convolutive import Convolutive
from nmf_nets.encoders.table import Table as TableOfCodes
from nmf_nets.factorization import Factorization
from nmf_nets.inits.random import random
from nmf_nets.loader import ResidentLoader
from nmf_nets.matrix import Matrix
from nmf_nets.metrics.relative_error import relative_error
from nmf_nets.modules.kullback_leibler import KullbackLeiblerNMF
from nmf_nets.optimizers.multiplicative import Multiplicative
from nmf_nets.pages.table import Table
from nmf_nets.penalties.l1 import L1
from nmf_nets.penalties.l2 import L2
from nmf_nets.plots.strips import draw_strips
from nmf_nets.refusal import Refusal

STRENGTH = 0.2
"""Of L1 on H and L2 on W. Without them a picture may as well be played as the sum of its pieces."""

GREY = 0.01
"""Of the background, at most; of pictures the norm is 1."""

PLAIN = (3, 10, 30)
"""Components of plain NMF."""


class Canvases(NamedTuple):
    """Each of the pictures is on six of ten canvases, at any place within it: (canvases, side, side)."""

    X: np.ndarray
    pictures: np.ndarray

    @property
    def rows(self) -> np.ndarray:
        """Canvases above one another, a sequence whose features are columns."""
        return self.X.reshape(-1, self.X.shape[2])


def canvases_of(given: Pictures, seed: int = 0, n_pictures: int = 3, count: int = 60) -> Canvases:
    """The first images of as many classes, on canvases some twice as wide. Raises Refusal for fewer classes."""
    kinds = np.unique([] if given.labels is None else given.labels)
    if len(kinds) < n_pictures:
        raise Refusal(f"pictures are taken from {n_pictures} classes; give a file with labels of as many.")
    chance = np.random.default_rng(seed)
    classes = kinds[np.linspace(0, len(kinds) - 1, n_pictures).round().astype(int)]
    pictures = np.stack([given.X[np.flatnonzero(given.labels == kind)[0]].reshape(given.shape) for kind in classes])
    pictures = pictures / np.linalg.norm(pictures, axis=(1, 2), keepdims=True)
    height, width = given.shape
    side = 2 * max(given.shape) + 2
    X = GREY * chance.random((count, side, side))
    for canvas in X:
        for picture in pictures[chance.random(n_pictures) < 0.6]:
            y, x = chance.integers(side - height + 1), chance.integers(side - width + 1)
            canvas[y : y + height, x : x + width] += chance.uniform(0.5, 1.5) * picture
    return Canvases(X, pictures)


def convolutive(
    X: Matrix, r: int, lags: int, shifts: int, strength: float, seed: int, epochs: int
) -> KullbackLeiblerNMF:
    """NMF2D from a random start, by the multiplicative steps of all lags and shifts at once."""
    start = random(X, r, torch.Generator().manual_seed(seed))
    decoder = Convolutive(start, Projected(), lags, shifts, seed)
    net = KullbackLeiblerNMF(
        start,
        encoder=TableOfCodes(decoder.start_of_encoder(start), Projected()),
        decoder=decoder,
        optimizer=Multiplicative,
        penalties_H=[L1(strength)] if strength else [],
        penalties_W=[L2(strength)] if strength else [],
    )
    optimizer = net.configure_optimizers()
    for _ in range(epochs):
        for batch in ResidentLoader(X):
            optimizer.step(partial(net.objective, batch))  # pyright: ignore
    return net


def picture_cosines(found: np.ndarray, pictures: np.ndarray) -> np.ndarray:
    """Of each picture the cosine with what it is matched with, one to one, at the place where they agree best."""
    norms = np.linalg.norm(found, axis=(1, 2))
    cosines = np.array([
        [correlate(each, picture, "full").max() / max(norm, np.finfo(float).tiny) for picture in pictures]
        for each, norm in zip(found, norms, strict=True)
    ])  # fmt: skip
    rows, columns = linear_sum_assignment(cosines, maximize=True)
    return cosines[rows[columns.argsort()], np.sort(columns)]


def moving(given: Pictures, starts: int = 5, epochs: int = 400) -> tuple[Table, Figure]:
    """The error, and the pictures found, by motifs that may stand anywhere and by components that stand still."""
    planted = canvases_of(given)
    r, (height, width), side = len(planted.pictures), given.shape, planted.X.shape[2]
    X = as_matrix(planted.rows, torch.float32)
    lags, shifts = height + height // 2, side - width + 1
    lines, strips = [], {"canvases": planted.X[:8].reshape(8, -1)}

    for name, strength in (("motifs", 0.0), ("motifs, sparse codes", STRENGTH)):
        nets = [convolutive(X, r, lags, shifts, strength, seed, epochs) for seed in range(starts)]
        best = min(nets, key=lambda net: _objective(net, X))
        factors, motifs = best.own_factors(X), best.decoder.motifs.detach().double().numpy()  # pyright: ignore
        cosines = picture_cosines(motifs, planted.pictures)
        lines.append(_line(name, r, motifs.size, relative_error(X, factors), cosines))
        strips[f"{name}: made of them"] = (factors.H @ factors.W).numpy().reshape(planted.X.shape)[:8].reshape(8, -1)
        strips[name] = np.stack([_on_canvas(motif, side) for motif in motifs])
    flat = planted.X.reshape(len(planted.X), -1)
    for count in PLAIN:
        result = factorize(flat, count, divergence="kullback_leibler", max_iter=epochs)
        error = relative_error(as_matrix(flat), Factorization(torch.as_tensor(result.H), torch.as_tensor(result.W)))
        found = picture_cosines(result.W.reshape(count, side, side), planted.pictures)
        lines.append(_line("components that stand still", count, result.W.size, error, found))
    title = f"{len(planted.X)} canvases of {side} × {side} with {r} pictures of {height} × {width} that move about"
    caption = f"cosine: with each picture, at the place where they agree best, of {starts} starts the best by its loss."
    formats = {"numbers in W": "{:,}", "error": "{:.3f}", "least cosine": "{:.3f}", "mean cosine": "{:.3f}"}
    strips["pictures"] = np.stack([_on_canvas(picture, side) for picture in planted.pictures])
    return Table("moving", title, pd.DataFrame(lines), formats, caption), draw_strips(strips, (side, side))


def _objective(net: KullbackLeiblerNMF, X: Matrix) -> float:
    """D and penalties."""
    factors, on = net.own_factors(X), net.criterion
    return float(net.divergence.total(X, factors) + on.on_H.value(factors.H) + on.on_W.value(factors.W.T))


def _line(model: str, count: int, size: int, error: float, cosines: np.ndarray) -> dict[str, object]:
    return {
        "model": model,
        "number": count,
        "numbers in W": size,
        "error": error,
        "least cosine": cosines.min(),
        "mean cosine": cosines.mean(),
    }


def _on_canvas(picture: np.ndarray, side: int) -> np.ndarray:
    """As bright as a canvas is, from the upper left."""
    canvas = np.zeros((side, side))
    canvas[: picture.shape[0], : picture.shape[1]] = picture[:side, :side] / max(np.linalg.norm(picture), 1e-30)
    return canvas.ravel()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m nmf_nets.benchmark.moving", description=__doc__)
    parser.add_argument("file", type=Path, help="of data=matrix, with image_shape and labels")
    parser.add_argument("--shrink", type=int, default=4, help="means of so many pixels in each direction")
    parser.add_argument("--to", type=Path, help="a file for the figure, .png or .svg")
    asked = parser.parse_args()
    table, figure = moving(pictures_of(asked.file, 200, asked.shrink))
    print(table.markdown())  # noqa: T201 - it is a program
    if asked.to is not None:
        figure.savefig(asked.to, dpi=80)


if __name__ == "__main__":
    main()

"""Components to be looked at side by side: pictures where rows are images, words where features have names."""

import base64
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from matplotlib.image import imsave

from nmf_nets.benchmark.report.findings import Findings
from nmf_nets.metrics.recovery import matching

PICTURES, TOPICS = 16, 20
"""So many components are shown of each method."""

PIXELS = 400_000
"""Of all pictures of a page; larger ones are made coarser."""

PAPER = 238
"""How light a pixel is where a component is zero."""


@dataclass(frozen=True)
class Shown:
    """Components of the run in the middle, in the order that matches those of the method that ended best.

    alike: the mean cosine with these; picture: a data URI, empty if the data are no images; words: of each component.
    """

    method: str
    alike: float
    picture: str
    words: list[list[str]]


def components(findings: Findings, task: str, track: str, pixels: float) -> Iterator[Shown]:
    """Of each method, if there is something to see: a picture of at most so many pixels, words."""
    shape, leader = findings.tasks[task].get("image_shape"), None
    is_image = isinstance(shape, Sequence) and len(shape) == 2
    if not is_image and "top_features" not in findings.results.cells:
        return
    for method, runs in findings.by_method(task, track):
        middle = runs.sort_values(["gap", "seed"]).iloc[(len(runs) - 1) // 2]
        W = findings.results.components(middle["key"]).double()
        leader = W if leader is None else leader
        _, order, cosines = matching(W, leader)
        picture = _strip(W[order[:PICTURES]].reshape(-1, *shape).numpy(), pixels) if is_image else ""
        words = middle.get("top_features")
        alike = float(cosines.mean())
        yield Shown(
            method, alike, picture, [words[k] for k in order[:TOPICS].tolist()] if isinstance(words, Sequence) else []
        )


def _strip(tiles: np.ndarray, pixels: float) -> str:
    """Side by side, each on its own scale, dark where it is strong, with a clear line between; a data URI."""
    n, height, width = tiles.shape
    k = min(math.ceil(math.sqrt(tiles.size / pixels)), height, width)
    height, width = height // k, width // k
    tiles = tiles[:, : height * k, : width * k].reshape(n, height, k, width, k).mean((2, 4))
    grey = PAPER * (1 - tiles / tiles.max((1, 2), keepdims=True).clip(1e-300))
    rgba = np.stack([grey, grey, grey, np.full_like(grey, 255)], axis=-1)
    rgba = np.pad(rgba, ((0, 0), (0, 0), (0, 1), (0, 0))).transpose(1, 0, 2, 3).reshape(height, -1, 4)[:, :-1]
    found = BytesIO()
    imsave(found, rgba.astype(np.uint8), format="png", pil_kwargs={"optimize": True})
    return f"data:image/png;base64,{base64.b64encode(found.getvalue()).decode()}"

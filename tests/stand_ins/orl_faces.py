"""Faces of a few strokes, each drawn ten times, in the format of orl_faces.npz."""

from pathlib import Path

import numpy as np


def write(folder: Path, n_people: int = 6, shape: tuple[int, int] = (28, 23), seed: int = 0) -> None:
    """A person has eyes, a mouth, hair and cheeks of its own; a picture moves them by a little and lights them anew."""
    chance = np.random.default_rng(seed)
    rows, columns = np.mgrid[: shape[0], : shape[1]] / np.array(shape)[:, None, None]
    places = np.array([[0.4, 0.3], [0.4, 0.7], [0.75, 0.5], [0.1, 0.5], [0.6, 0.2], [0.6, 0.8]])
    sizes = np.array([[0.05, 0.08], [0.05, 0.08], [0.05, 0.15], [0.08, 0.35], [0.12, 0.08], [0.12, 0.08]])
    depth = chance.uniform(-0.6, 0.4, size=(n_people, len(places)))
    pictures, labels = [], np.repeat(np.arange(n_people), 10).astype(np.int16)
    face = 0.6 * np.exp(-((((rows - 0.5) / 0.5) ** 2 + ((columns - 0.5) / 0.45) ** 2) ** 2))
    for person in labels:
        moved = places + chance.normal(scale=0.02, size=places.shape)
        bumps = [
            d * np.exp(-(((rows - y) / h) ** 2) - ((columns - x) / w) ** 2)
            for d, (y, x), (h, w) in zip(depth[person], moved, sizes, strict=True)
        ]
        picture = chance.uniform(0.8, 1.2) * (face + sum(bumps)) + chance.normal(scale=0.02, size=shape)
        pictures.append(np.clip(255 * picture, 0, 255).ravel())
    X = np.array(pictures).astype(np.uint8)
    np.savez_compressed(folder / "orl_faces.npz", X=X, labels=labels, image_shape=np.array(shape))

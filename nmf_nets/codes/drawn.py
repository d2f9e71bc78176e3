"""Codes by chance."""

from dataclasses import dataclass

import numpy as np
import torch

from nmf_nets.codes.base import KeptCodes
from nmf_nets.shapes import Codes

CHUNK = 4096
"""Rows that are drawn at a time."""


@dataclass(frozen=True)
class Drawn(KeptCodes):
    """u · scale, u ~ U(0, 1), a function of the seed and the number of the row alone: whatever blocks rows come in, and
    whoever asks.
    """

    n_components: int
    scale: float
    seed: int
    dtype: torch.dtype

    def rows(self, start: int, stop: int) -> Codes:
        parts = []
        for chunk in range(start // CHUNK, -(-stop // CHUNK)):
            drawn = np.random.default_rng((self.seed, chunk)).random((CHUNK, self.n_components))
            first = chunk * CHUNK
            parts.append(drawn[max(start - first, 0) : stop - first])
        return torch.from_numpy(self.scale * np.concatenate(parts)).to(self.dtype)

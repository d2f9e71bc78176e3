"""A matrix larger than memory."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nmf_nets.data.base import Dataset, MatrixDataModule, Sample
from nmf_nets.matrix import Matrix, stacked
from nmf_nets.preprocessing.base import Preprocessing
from nmf_nets.refusal import Refusal, refuse_count
from nmf_nets.source_loader import SourceLoader
from nmf_nets.sources.base import Source
from nmf_nets.sources.open import source_of
from nmf_nets.sources.weighted import Weighted

SAMPLED, VALUES = 10_000, 2**26
"""Rows of each part that are held in memory, unless they have more values than that."""


class OnDisk(MatrixDataModule):
    """A file, or folder, that `source_of` reads by rows, trained on in batches that are read while the net learns.

    Memory holds a random sample of the training rows, on which the net starts and is judged, and all validation and
    test rows; one pass over the file draws them, and refuses an entry that is none before training begins.
    sample_rows: how many training rows at most, and at most so many validation and test rows of the parts that are
    asked for: all others are trained on. null for SAMPLED, or for as many as have VALUES values.
    key: which array, of formats that hold several; a layer, or raw, of AnnData's files.
    weights: a file of the same shape with v ≥ 0 for every entry, or a mask.
    batch_size: about so many rows; SourceLoader says in which order.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        key: str | None = None,
        weights: str | Path | None = None,
        sample_rows: int | None = None,
        batch_size: int = 1024,
        validation: float = 0.1,
        test: float = 0.1,
        dtype: str = "float32",
        seed: int = 0,
        preprocessing: Preprocessing | None = None,
    ):
        super().__init__(validation, test, batch_size, dtype, seed, preprocessing)
        if path is None:
            raise Refusal("data=on_disk needs a file: data.path=FILE, or a folder where it takes one.")
        refuse_count("data.batch_size", batch_size)
        if sample_rows is not None:
            refuse_count("data.sample_rows", sample_rows)
        self.path, self.key, self.weights, self.sample_rows = Path(path).expanduser(), key, weights, sample_rows

    def source(self, path: Path) -> Source:
        """The rows that lie at the path; those to train on, with their weights, if there are some."""
        source = source_of(path, self.key, self.dtype)
        if self.weights is None or path != self.path:
            return source
        return Weighted(source, source_of(self.weights, dtype=self.dtype))

    def load(self) -> Dataset:
        source = self.source(self.path)
        n = source.shape[0]
        most = self.sample_rows or min(SAMPLED, max(1, VALUES * n // max(1, source.values_in(0, n))))
        training, *held_out = (min(size, most) for size in self.sizes(n))
        # The sample of the training rows is drawn with the rows that are held out, so that no row is in two parts.
        drawn = np.random.default_rng(self.seed).choice(n, training + sum(held_out), replace=False)
        parts = [
            torch.from_numpy(part).sort().values for part in np.split(drawn, np.cumsum([training, *held_out])[:-1])
        ]
        apart = torch.cat(parts[1:]).sort().values
        batch_size = self.batch_size
        assert batch_size is not None

        def batches(preprocessing: Preprocessing | None, device: torch.device) -> SourceLoader:
            return SourceLoader(source, batch_size, self.seed, apart, preprocessing, device)

        sample = Sample((training, *held_out), n - len(apart), torch.cat(parts), batches)
        return Dataset(_taken(source, parts), feature_names=source.feature_names, sample=sample)


def _taken(source: Source, parts: Sequence[Tensor]) -> Matrix:
    """The rows of each part, ascending, part after part, by one pass over all rows there are."""
    found: list[list[Matrix]] = [[] for _ in parts]
    for place, block in source.blocks():
        for rows, taken in zip(parts, found, strict=True):
            first, last = torch.searchsorted(rows, torch.tensor([place.start, place.stop])).tolist()
            if first < last:
                taken.append(block.rows(rows[first:last] - place.start))
    return stacked([block for taken in found for block in taken])

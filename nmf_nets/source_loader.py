"""Batches of a matrix that is read while it is trained on."""

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from itertools import pairwise

import numpy as np
import torch

from nmf_nets.loader import Batch, EpochSampler
from nmf_nets.matrix import Matrix, stacked
from nmf_nets.preprocessing.base import Preprocessing
from nmf_nets.shapes import Rows
from nmf_nets.sources.base import Source, ahead

HELD = 4
"""Blocks among whose rows batches are drawn."""


class SourceLoader:
    """Batches of about `batch_size` rows of a source, in another order in every epoch.

    The blocks of the source come at random; HELD of them at a time are one pool, whose rows are shuffled and cut into
    batches of one length, within one row; meanwhile a thread reads the next pool. The number of batches is that of the
    source, not of the order, which is a function of (seed, epoch). The state is the position in it: a resumed run reads
    the pool that it stopped in once more, and sees the batches of an uninterrupted one.

    held_out: rows that are not trained on, ascending.
    values: about so many in a block, and no fewer than a batch has. Memory holds 3 · HELD blocks at most: the pool, the
    next, and what that is put together of.
    Batches name no rows, as nothing is remembered of each, but say how many there are.
    """

    batch_sampler = None

    def __init__(
        self,
        source: Source,
        batch_size: int,
        seed: int = 0,
        held_out: Rows | None = None,
        preprocessing: Preprocessing | None = None,
        device: torch.device | None = None,
        values: int = 2**22,
    ):
        self.source, self.seed = source, seed
        self.preprocessing, self.device = preprocessing, device or torch.device("cpu")
        self.held_out = np.empty(0, np.int64) if held_out is None else held_out.numpy()
        n = source.shape[0]
        self.n_rows = n - len(self.held_out)
        width = max(1, source.values_in(0, n) // n)
        parts = [slice(*cut) for cut in pairwise(source.cuts(values=max(values, batch_size * width)))]
        rows = [self._trained_on(part) for part in parts]
        self.parts = [part for part, count in zip(parts, rows, strict=True) if count]
        self.batches = [max(1, round(count / batch_size)) for count in rows if count]
        self.sampler, self._position, self._start = EpochSampler(), 0, 0

    def __len__(self) -> int:
        return sum(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        start, self._start = self._start, 0
        rng = np.random.default_rng((self.seed, self.sampler.epoch))
        order = rng.permutation(len(self.parts))
        pools = [order[i : i + HELD] for i in range(0, len(order), HELD)]
        counts = [sum(self.batches[block] for block in pool) for pool in pools]
        seeds = rng.integers(2**63, size=len(pools))
        first = int(np.searchsorted(np.cumsum(counts), start, side="right"))  # the pool to go on in
        self._position = sum(counts[:first])
        jobs = (partial(self._pool, pool) for pool in pools[first:])
        with closing(ahead(jobs)) as coming:
            for number, (X, allowed) in enumerate(coming, first):
                shuffled = np.random.default_rng(seeds[number]).permutation(allowed)
                for rows in np.array_split(shuffled, counts[number]):
                    self._position += 1
                    if self._position > start:
                        yield Batch(X.rows(torch.from_numpy(rows)).to(self.device), None, self.n_rows)
        # Nothing may follow the last yield: Lightning never asks for more when the length is known.

    def state_dict(self) -> dict[str, int]:
        return {"position": self._position % len(self)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._start = self._position = state["position"]

    def _trained_on(self, part: slice) -> int:
        first, last = np.searchsorted(self.held_out, [part.start, part.stop])
        return part.stop - part.start - int(last - first)

    def _pool(self, blocks: np.ndarray) -> tuple[Matrix, np.ndarray]:
        """The rows of the blocks, and which of them are trained on."""
        parts = [self.parts[block] for block in sorted(blocks)]
        X = stacked([self.source.span(part.start, part.stop) for part in parts])
        numbers = np.concatenate([np.arange(part.start, part.stop) for part in parts])
        allowed = np.flatnonzero(~np.isin(numbers, self.held_out, assume_unique=True))
        return (X if self.preprocessing is None else self.preprocessing(X)), allowed

"""Batches of a matrix that lies in memory."""

from collections.abc import Iterator
from typing import NamedTuple

import torch

from nmf_nets.matrix import Matrix
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Labels, Rows


class Batch(NamedTuple):
    """Some rows of the training matrix, where they stand in it, how many there are in all, and their classes."""

    X: Matrix
    rows: Rows | None
    n_rows: int | None = None
    labels: Labels | None = None


class EpochSampler:
    """What Lightning tells the number of the epoch to."""

    epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch


class ResidentLoader:
    """Batches cut as whole tensors, without a per-row dataset.

    The order is a function of (seed, epoch) and the state is the position in it, so that a resumed run sees the batches
    of an uninterrupted one. Without a batch size there is one batch, X itself in its own order.
    """

    batch_sampler = None

    def __init__(self, X: Matrix, batch_size: int | None = None, seed: int = 0, labels: Labels | None = None):
        n = X.shape[0]
        if labels is not None and len(labels) != n:
            raise Refusal(f"labels must be one for each of the {n} samples, but are {len(labels)}.")
        self.labels = labels if labels is None else labels.to(X.device)
        self.X, self.batch_size, self.seed = X, min(batch_size or n, n), seed
        self.sampler, self._position, self._start = EpochSampler(), 0, 0

    def __len__(self) -> int:
        return -(-self.X.shape[0] // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        n = self.X.shape[0]
        start, self._start = self._start, 0
        if len(self) == 1:
            order = torch.arange(n)
        else:
            generator = torch.Generator().manual_seed(self.seed * 100_003 + self.sampler.epoch)
            order = torch.randperm(n, generator=generator)
        order = order.to(self.X.device)
        for i in range(start, len(self)):
            self._position = i + 1
            rows = order[i * self.batch_size : (i + 1) * self.batch_size]
            labels = None if self.labels is None else self.labels[rows]
            yield Batch(self.X if len(self) == 1 else self.X.rows(rows), rows, n, labels)
        # Nothing may follow the last yield: Lightning never asks for more when the length is known.

    def state_dict(self) -> dict[str, int]:
        return {"position": self._position % len(self)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._start = self._position = state["position"]

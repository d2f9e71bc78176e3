"""Batches of a matrix that lies in memory."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from nmf_nets.group import ALONE, Group
from nmf_nets.matrix import Matrix, Whole
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Labels, Rows


class Batch(NamedTuple):
    """Some rows of the training matrix, where they stand in it, how many there are in all, and their classes."""

    X: Matrix
    rows: Rows | None
    n_rows: int | None = None
    labels: Labels | None = None
    group: Group = ALONE
    """The ranks that have the other rows of the batch."""


class EpochSampler:
    """What Lightning tells the number of the epoch to."""

    epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch


class ResidentLoader:
    """Batches cut as whole tensors, without a per-row dataset.

    The order is a function of (seed, epoch) and the state is the position in it, so that a resumed run sees the batches
    of an uninterrupted one. Without a batch size there is one batch, X itself in its own order.
    group: each rank keeps its span of the rows of X and of every batch has those, also if these are none, so that what
    is known of a row stays on one rank; the batches are those of one process.
    device: where they are; where X is if there is none.
    """

    batch_sampler = None

    def __init__(
        self,
        X: Matrix,
        batch_size: int | None = None,
        seed: int = 0,
        labels: Labels | None = None,
        group: Group = ALONE,
        device: torch.device | None = None,
    ):
        n, device = X.shape[0], device or X.device
        if labels is not None and len(labels) != n:
            raise Refusal(f"labels must be one for each of the {n} samples, but are {len(labels)}.")
        self.labels = labels if labels is None else labels.to(device)
        self.n_rows, self.batch_size, self.seed, self.group = n, min(batch_size or n, n), seed, group
        self.X = X.to(device) if group.size == 1 else part_of(X, group, device)
        self._facts = _Facts(X) if group.size > 1 and len(self) > 1 else None
        self.sampler, self._position, self._start = EpochSampler(), 0, 0

    def __len__(self) -> int:
        return -(-self.n_rows // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        n = self.n_rows
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
            X, rows = self._own(rows)
            yield Batch(X, rows, n, None if self.labels is None else self.labels[rows], self.group)
        # Nothing may follow the last yield: Lightning never asks for more when the length is known.

    def _own(self, rows: Tensor) -> tuple[Matrix, Rows]:
        """The rows of a batch that this rank has, and their numbers."""
        first, after = self.group.span(self.n_rows)
        own = rows if self.group.size == 1 else rows[(rows >= first) & (rows < after)]
        X = self.X if len(self) == 1 else self.X.rows(own - first)
        if self._facts is not None:
            X = X.among(self._facts.of(rows))
        return X, own

    def state_dict(self) -> dict[str, int]:
        return {"position": self._position % len(self)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._start = self._position = state["position"]


def part_of(X: Matrix, group: Group, device: torch.device) -> Matrix:
    """The rows of X that are this rank's, which know what they are a part of."""
    return X.span(*group.span(X.shape[0])).to(device).among(X.whole)


class _Facts:
    """What Whole says, of each row of X: no rank then has to ask the others what a batch is as a whole."""

    def __init__(self, X: Matrix):
        self.shape, self.lengths = X.shape, X.row_lengths.cpu()
        found = []
        for _, block in X.blocks():
            block = block.to(torch.float64)
            v = torch.ones_like(block.values) if block.weights is None else block.weights
            mass = block.row_sum(v) if block.weights is not None else torch.full(block.shape[:1], float(X.shape[1]))
            found.append(torch.stack([block.row_sum(v * block.values.abs()).cpu(), mass.cpu().double()]))
        self.totals, self.masses = torch.cat(found, 1)

    def of(self, rows: Rows) -> Whole:
        """Of these rows together."""
        rows = rows.cpu()
        lengths, total, mass = self.lengths[rows].sum(), self.totals[rows].sum(), float(self.masses[rows].sum())
        return Whole((len(rows), self.shape[1]), int(lengths), total, mass)

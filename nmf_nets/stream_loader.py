"""Batches that come, for as long as they come."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import torch

from nmf_nets.as_matrix import as_matrix
from nmf_nets.loader import Batch, EpochSampler
from nmf_nets.matrix import Matrix
from nmf_nets.preprocessing.base import Preprocessing
from nmf_nets.refusal import Refusal


class StreamLoader:
    """What an iterable gives, each of it a batch: `Trainer(max_steps=…).fit(net, StreamLoader(batches))`.

    batches: an iterable of what `as_matrix` takes, or of a Batch, which may have labels; or what is called for such an
    iterable at the start of every epoch.
    There is no length, so that training ends with `max_steps`, `max_time` or the stream. The state is the number of
    batches that were trained on, and a resumed run leaves out so many; an iterator, which cannot begin anew, goes on
    from where it is.
    Batches name no rows, and no number of them: penalties on W count beside the D of each.
    Raises Refusal, when its turn comes, for a batch that `as_matrix` refuses or that has another number of features
    than the first, and for an epoch after the end of an iterator.
    """

    batch_sampler = None

    def __init__(
        self,
        batches: Iterable[Any] | Callable[[], Iterable[Any]],
        dtype: torch.dtype | None = None,
        preprocessing: Preprocessing | None = None,
        device: torch.device | None = None,
    ):
        if not (callable(batches) or isinstance(batches, Iterable)):
            raise Refusal(f"batches must be an iterable, or what is called for one, but is {type(batches).__name__}.")
        self.batches, self.dtype, self.preprocessing, self.device = batches, dtype, preprocessing, device
        self.sampler, self._given, self._start, self._over = EpochSampler(), 0, 0, False
        self._n_features: int | None = None

    def __iter__(self) -> Iterator[Batch]:
        stream = self.batches() if callable(self.batches) else self.batches
        once = stream is self.batches and iter(stream) is stream
        if once and self._over:
            raise Refusal(
                "the stream has come to its end; train for one epoch, trainer.max_epochs=1, or give what makes it anew."
            )
        self._given, self._start, self._over = self._start, 0, False
        for X in islice(iter(stream), 0 if once else self._given, None):
            batch = self._batch(X)
            self._given += 1
            yield batch
        self._over = True

    def state_dict(self) -> dict[str, int]:
        """Without a length Lightning asks for one batch more than it trains on."""
        return {"position": 0 if self._over else max(0, self._given - 1)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._start = state["position"]

    def _batch(self, given: Any) -> Batch:
        batch = given if isinstance(given, Batch) else Batch(self._matrix(given), None)
        m = batch.X.shape[1]
        if self._n_features not in (None, m):
            raise Refusal(
                f"batch {self._given} of the stream has {m} features, but the first had {self._n_features}; bring the "
                "features of all batches into one order and number."
            )
        self._n_features = m
        X = batch.X if self.preprocessing is None else self.preprocessing(batch.X)
        return batch._replace(X=X if self.device is None else X.to(self.device))

    def _matrix(self, X: Any) -> Matrix:
        try:
            return as_matrix(X, self.dtype)
        except Refusal as refusal:
            raise Refusal(f"batch {self._given} of the stream: {refusal}") from None

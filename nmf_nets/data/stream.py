"""Batches from an iterable, with no end that is known."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice
from typing import Any

import torch

from nmf_nets.as_matrix import as_matrix
from nmf_nets.data.base import Dataset, MatrixDataModule, Sample
from nmf_nets.matrix import stacked
from nmf_nets.preprocessing.base import Preprocessing
from nmf_nets.refusal import Refusal, refuse_count
from nmf_nets.stream_loader import StreamLoader


class Stream(MatrixDataModule):
    """What `batches` gives, each of it a batch of rows.

    batches: as in StreamLoader; a configuration names a class or function of yours, data.batches._target_=…, and
    allow=[…] the package that it is from.
    validation, test: so many of the first batches are held out.
    sample: so many that follow are held in memory, on which the net starts and is judged; they are trained on, too.
    """

    def __init__(
        self,
        batches: Iterable[Any] | Callable[[], Iterable[Any]] | None = None,
        sample: int = 10,
        validation: int = 1,
        test: int = 1,
        dtype: str = "float32",
        seed: int = 0,
        preprocessing: Preprocessing | None = None,
    ):
        super().__init__(0, 0, None, dtype, seed, preprocessing)
        if batches is None:
            raise Refusal("data=stream needs batches: data.batches._target_=PACKAGE.CLASS allow=[PACKAGE].")
        refuse_count("data.sample", sample)
        for name, count in (("validation", validation), ("test", test)):
            if not isinstance(count, int) or count < 0:
                raise Refusal(f"data.{name} is {count!r}, but must be a number of batches of a stream, or 0.")
        self.batches, self.counts = batches, (sample, validation, test)

    def load(self) -> Dataset:
        make = self.batches if callable(self.batches) else partial(iter, self.batches)
        stream = iter(make())
        drawn = [as_matrix(X, self.dtype) for X in islice(stream, sum(self.counts))]
        if len(drawn) < sum(self.counts):
            raise Refusal(
                f"the stream ended after {len(drawn)} batches, but {sum(self.counts)} are held: data.sample, "
                "data.validation and data.test are numbers of batches; lower them."
            )
        _, validation, test = self.counts
        apart = validation + test
        split = [drawn[apart:], drawn[:validation], drawn[validation:apart]]
        once = stream is self.batches
        batches = chain(split[0], stream) if once else partial(_after, make, apart)

        def loader(preprocessing: Preprocessing | None, device: torch.device) -> StreamLoader:
            return StreamLoader(batches, self.dtype, preprocessing, device)

        sizes = tuple(sum(X.shape[0] for X in part) for part in split)
        return Dataset(stacked([X for part in split for X in part]), sample=Sample(sizes, None, None, loader))


def _after(make: Callable[[], Iterable[Any]], count: int) -> Iterator[Any]:
    return islice(iter(make()), count, None)

"""The interface of a source of rows."""

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from itertools import islice, pairwise
from typing import Any, TypeVar

import torch

from nmf_nets.as_matrix import as_matrix, refuse_shape
from nmf_nets.matrix import Matrix
from nmf_nets.refusal import Refusal, first_line

Made = TypeVar("Made")


class Source(ABC):
    """X in rows that are read when they are asked for, and checked then as `as_matrix` checks a whole matrix.

    shape: (n_samples, n_features). dtype: float32 or float64, of what it gives. name: what refusals call it.
    feature_names: where they are known.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        dtype: torch.dtype,
        is_sparse: bool,
        name: str = "X",
        feature_names: tuple[str, ...] | None = None,
    ):
        refuse_shape(shape, name)
        if dtype not in (torch.float32, torch.float64):
            raise Refusal(f"the dtype of {name} is {dtype}, but must be torch.float32 or torch.float64.")
        self.shape, self.dtype, self.is_sparse, self.name = shape, dtype, is_sparse, name
        fitting = feature_names is not None and len(feature_names) == shape[1]
        self.feature_names = feature_names if fitting else None

    @abstractmethod
    def read(self, start: int, stop: int) -> Any:
        """Rows start … stop − 1 as they lie there: an array, scipy's CSR, or a Matrix, which was checked before.

        May be called from several threads at a time.
        """

    @abstractmethod
    def values_in(self, start: int, stop: int) -> int:
        """How many values rows start … stop − 1 have; not less than a Matrix of them has."""

    def span(self, start: int, stop: int) -> Matrix:
        """Rows start … stop − 1. Raises Refusal for what `as_matrix` refuses, with its row in the whole X."""
        if not 0 <= start < stop <= self.shape[0]:
            raise Refusal(f"rows {start} to {stop} were asked for, but {self.name} has {self.shape[0]}.")
        try:
            return as_matrix(self._read(start, stop), self.dtype, first_row=start)
        except Refusal as refusal:
            raise Refusal(str(refusal) if self.name == "X" else f"{self.name}: {refusal}") from None

    def _read(self, start: int, stop: int) -> Any:
        """What libraries raise for rows that they cannot read, as one sentence."""
        try:
            return self.read(start, stop)
        except Refusal:
            raise
        except Exception as error:  # libraries fail in many ways on a file that is cut off
            raise Refusal(
                f"rows {start} to {stop} cannot be read: {first_line(error)}; copy the file again."
            ) from error

    def cuts(self, start: int = 0, stop: int | None = None, values: int = 2**24) -> list[int]:
        """Where blocks of about so many values begin, and where the last one ends.

        A block ends with the row that completes a multiple of `values`, counted from row 0, so that the blocks of any
        part of X are those of X, cut at its ends.
        """
        stop = self.shape[0] if stop is None else stop
        found = [start]
        while found[-1] < stop:
            goal = (self.values_in(0, found[-1]) // values + 1) * values
            row = bisect_left(range(stop), goal, lo=found[-1] + 1, key=lambda row: self.values_in(0, row))
            found.append(row)
        return found

    def blocks(self, start: int = 0, stop: int | None = None, values: int = 2**24) -> Iterator[tuple[slice, Matrix]]:
        """The rows in order, in blocks of about so many values; see `cuts`.

        One is read and checked while the caller works on the last: two are in memory, if the caller drops each for the
        next.
        """
        parts = [slice(*cut) for cut in pairwise(self.cuts(start, stop, values))]
        jobs = (partial(self.span, part.start, part.stop) for part in parts)
        with closing(ahead(jobs)) as spans:
            yield from zip(parts, spans, strict=True)


def ahead(jobs: Iterable[Callable[[], Made]]) -> Generator[Made]:
    """What each job returns, while one thread does the next one. What a job raises, is raised when its turn comes; the
    thread ends with the loop, however that ends.
    """
    todo = iter(jobs)
    with ThreadPoolExecutor(1, "nmf-source") as reader:
        coming = [reader.submit(job) for job in islice(todo, 1)]
        while coming:
            found = coming.pop().result()
            coming += [reader.submit(job) for job in islice(todo, 1)]
            yield found
            del found

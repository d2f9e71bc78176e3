"""The processes that hold the rows of one matrix between them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from nmf_nets.refusal import Refusal, first_line


class LostRank(RuntimeError):
    """Another rank is gone, or has not come for too long, so that none can go on."""


class Group:
    """The ranks of torch.distributed, or this process alone where none were started: what adds up over rows is summed
    over them, and what chance decides is decided by rank 0.

    sent: bytes that this rank has handed to `sum_` so far; a ring then sends 2 (size − 1) / size times as many.
    alone: this process alone in any case.
    """

    def __init__(self, alone: bool = False) -> None:
        started = not alone and dist.is_available() and dist.is_initialized()
        self.rank, self.size = (dist.get_rank(), dist.get_world_size()) if started else (0, 1)
        self.sent = 0

    def span(self, n: int) -> tuple[int, int]:
        """The first row of this rank and the one after its last, of n: parts differ by one row at most, and are empty
        where there are more ranks than rows.
        """
        return self.rank * n // self.size, (self.rank + 1) * n // self.size

    def sum_(self, *tensors: Tensor) -> None:
        """Each becomes its sum over the ranks, the same bits on all of them; one message for all of one dtype."""
        self._reduced(tensors, dist.ReduceOp.SUM)

    def summed(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Their sums over the ranks, as new tensors; themselves where there is one rank."""
        if self.size == 1:
            return tensors
        copies = tuple(tensor.clone(memory_format=torch.contiguous_format) for tensor in tensors)
        self.sum_(*copies)
        return copies

    def max_(self, *tensors: Tensor) -> None:
        self._reduced(tensors, dist.ReduceOp.MAX)

    def from_first_(self, *tensors: Tensor) -> None:
        """Each becomes what it is on rank 0."""
        if self.size > 1:
            for tensor in tensors:
                _broadcast_(tensor, 0)

    def gather_(self, *tensors: Tensor) -> None:
        """Each row becomes what it is on the rank in whose span it is."""
        if self.size > 1:
            for tensor in tensors:
                ends = [rank * len(tensor) // self.size for rank in range(self.size + 1)]
                for rank in range(self.size):
                    _broadcast_(tensor[ends[rank] : ends[rank + 1]], rank)

    def at_first(self, item: Any) -> list[Any]:
        """Those of all ranks in their order, on rank 0; elsewhere none."""
        if self.size == 1:
            return [item]
        items: list[Any] | None = [None] * self.size if self.rank == 0 else None
        with together():
            dist.gather_object(item, items)
        return items or []

    def from_first(self, item: Any) -> Any:
        """Rank 0's."""
        items = [item]
        if self.size > 1:
            with together():
                dist.broadcast_object_list(items, 0)
        return items[0]

    def wait(self) -> None:
        """Until all ranks are here."""
        if self.size > 1:
            with together():
                dist.barrier()

    @contextmanager
    def agreeing(self) -> Iterator[None]:
        """What is refused on one rank within is refused on all, where they leave it."""
        refusal = None
        try:
            yield
        except Refusal as error:
            refusal = error
        if self.size > 1:
            said: list[str | None] = [None] * self.size
            with together():
                dist.all_gather_object(said, None if refusal is None else str(refusal))
            others = [sentence for sentence in said if sentence is not None]
            if refusal is None and others:
                raise Refusal(others[0])
        if refusal is not None:
            raise refusal

    def _reduced(self, tensors: tuple[Tensor, ...], how: dist.ReduceOp.RedOpType) -> None:
        if self.size == 1:
            return
        for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
            alike = [tensor for tensor in tensors if tensor.dtype == dtype]
            whole = (
                alike[0] if len(alike) == 1 and alike[0].is_contiguous() else torch.cat([t.flatten() for t in alike])
            )
            with together():
                dist.all_reduce(whole, how)
            self.sent += whole.numel() * whole.element_size()
            if whole is not alike[0]:
                for tensor, part in zip(alike, whole.split([t.numel() for t in alike]), strict=True):
                    tensor.copy_(part.view_as(tensor))


ALONE = Group(alone=True)
"""One process, whatever others there are."""


def _broadcast_(tensor: Tensor, source: int) -> None:
    """Also of what is not contiguous, or is a view of what a graph is of."""
    whole = tensor.detach().contiguous()
    with together():
        dist.broadcast(whole, source)
    tensor.detach().copy_(whole)


@contextmanager
def together() -> Iterator[None]:
    """Around what all ranks have to come to."""
    try:
        yield
    except RuntimeError as error:
        raise LostRank(
            f"rank {dist.get_rank()} of {dist.get_world_size()} waited for the others in vain: {first_line(error)}"
        ) from error


def joined(seconds: float = 60.0) -> Group:
    """The ranks that torchrun started this process among; itself alone without torchrun.

    seconds: after which a rank that others wait for in vain counts as lost, and all end. One whose process ended is
    missed at once, as its connections are closed.
    """
    if "RANK" not in os.environ:
        return Group()
    if not dist.is_initialized():
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        try:
            dist.init_process_group(backend, timeout=timedelta(seconds=seconds))
        except (ValueError, RuntimeError) as error:
            raise Refusal(f"the ranks did not come together: {error}. Start them by torchrun.") from error
    return Group()

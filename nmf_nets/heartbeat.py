"""Signs of life between ranks: one that is frozen, or whose machine is gone, closes no connection that others miss."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import NoReturn

from torch.distributed import TCPStore  # pyright: ignore[reportPrivateImportUsage]  # it is in torch's documentation

from nmf_nets.group import Group

EVERY = 5.0
"""Seconds, a sign of life."""

SILENCE = 40.0
"""Seconds without one, after which a rank counts as lost."""

LOST = 1
"""Exit code of a rank that cannot go on without another."""


def end_lost(what: str) -> NoReturn:
    """Ends this process at once: an exit in order would wait for what never comes."""
    print(f"lost: {what}. The last checkpoint is whole; resume goes on from it.", file=sys.stderr, flush=True)  # noqa: T201
    os._exit(LOST)


@contextmanager
def beating(group: Group, every: float = EVERY, silence: float = SILENCE) -> Iterator[None]:
    """Within, each rank is looked after by the one before it, which ends where no sign comes; the connections that it
    closes by that end the others. Rank 0's store, which the ranks met at, holds the signs.
    """
    if group.size == 1:
        yield
        return
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = TCPStore(address, port, is_master=False, timeout=timedelta(seconds=silence))
    over = threading.Event()
    watch = threading.Thread(target=_watch, args=(store, group, over, every, silence), daemon=True)
    watch.start()
    try:
        yield
    finally:
        over.set()
        watch.join(every)


def _watch(store: TCPStore, group: Group, over: threading.Event, every: float, silence: float) -> None:
    """Signs are counted, not timed: all ranks of a machine that slept have missed none."""
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    own, watched = (f"alive/{attempt}/{rank % group.size}" for rank in (group.rank, group.rank + 1))
    seen, missed = 0, 0
    try:
        while not over.wait(every):
            store.add(own, 1)
            signs = store.add(watched, 0)
            if signs < 0:  # it has come to its end
                return
            seen, missed = signs, 0 if signs != seen else missed + 1
            if missed * every >= silence:
                end_lost(f"rank {(group.rank + 1) % group.size} of {group.size} gave no sign of life for {silence:g} s")
        store.set(own, str(-(2**62)))
    except RuntimeError as error:
        if not over.is_set():
            end_lost(f"rank {group.rank} of {group.size} cannot reach the others: {error}")

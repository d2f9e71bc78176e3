"""A rank that is frozen ends the others, and one that has come to its end does not."""

import multiprocessing
import socket
import time

import pytest
import ranks

from nmf_nets.heartbeat import LOST


def two(freezes):
    """The two ranks, started."""
    with socket.socket() as found:
        found.bind(("localhost", 0))
        port = found.getsockname()[1]
    started = [multiprocessing.get_context("spawn").Process(target=ranks.live, args=(r, port, freezes)) for r in (0, 1)]
    for process in started:
        process.start()
    return started


@pytest.mark.process
def test_a_frozen_rank_ends_the_one_before_it(capfd):
    first, frozen = two(freezes=True)
    first.join(60)
    assert first.exitcode == LOST
    assert frozen.exitcode is None
    frozen.kill()
    frozen.join()
    assert "lost: rank 1 of 2 gave no sign of life for 1 s." in capfd.readouterr().err


@pytest.mark.process
def test_a_rank_that_has_come_to_its_end_is_not_missed():
    first, second = two(freezes=False)
    second.join(60)
    began = time.monotonic()
    first.join(60)
    assert (first.exitcode, second.exitcode) == (0, 0)
    assert time.monotonic() - began > 1.5

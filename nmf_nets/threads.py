"""How many threads a compiled loop takes."""

import numba
import torch
from numba.core import config

WORTH_A_THREAD = 200_000
"""Multiplications; waking a thread costs about as much, and far more on a busy machine."""


def use_threads(work: int) -> int:
    """Up to as many threads as torch uses, one for each so much work."""
    most = torch.get_num_threads()
    there_are: int = config.NUMBA_NUM_THREADS  # pyright: ignore[reportAttributeAccessIssue]
    threads = max(1, min(most, there_are, work // WORTH_A_THREAD))
    numba.set_num_threads(threads)
    if torch.get_num_threads() != most:  # numba, at its first call, sets the OpenMP count that torch reads
        torch.set_num_threads(most)
    return threads

"""Compiled loops take as many threads as torch does."""

import numba
import torch


def use_torch_threads() -> None:
    n_threads = torch.get_num_threads()
    numba.set_num_threads(min(n_threads, numba.config.NUMBA_NUM_THREADS))
    if torch.get_num_threads() != n_threads:  # numba, at its first call, sets the OpenMP count that torch reads
        torch.set_num_threads(n_threads)

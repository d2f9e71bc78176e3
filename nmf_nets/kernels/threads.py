"""Compiled loops take as many threads as torch does."""

import numba
import torch


def use_torch_threads() -> None:
    numba.set_num_threads(min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS))

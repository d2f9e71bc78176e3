"""Codes in memory."""

import torch

from nmf_nets.codes.base import WritableCodes
from nmf_nets.shapes import Codes


class Resident(WritableCodes):
    """H of rows start … stop − 1 of X as a tensor."""

    def __init__(self, start: int, stop: int, n_components: int, dtype: torch.dtype):
        self.start, self.H = start, torch.zeros(stop - start, n_components, dtype=dtype)

    def rows(self, start: int, stop: int) -> Codes:
        return self.H[start - self.start : stop - self.start]

    def begin(self) -> None:
        """A pass overwrites what it has read."""

    def put(self, start: int, H: Codes) -> None:
        self.rows(start, start + len(H)).copy_(H)

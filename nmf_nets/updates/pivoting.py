"""Alternating non-negative least squares by block principal pivoting."""

from nmf_nets.kernels.pivoting import pivoted
from nmf_nets.updates.base import GramUpdate


class Pivoting(GramUpdate):
    """H = argmin_{H ≥ 0} ½ ‖X − H W‖², each row by block principal pivoting: exact, so once is enough.

    Source: Kim & Park (2011).
    """

    solve = staticmethod(pivoted)

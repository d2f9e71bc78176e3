"""Alternating non-negative least squares by the active-set method."""

from nmf_nets.kernels.active_set import active_set
from nmf_nets.updates.base import GramUpdate


class ActiveSet(GramUpdate):
    """H = argmin_{H ≥ 0} ½ ‖X − H W‖², each row by an active set: exact, so once is enough.

    Source: Lawson & Hanson (1974); Kim & Park (2008).
    """

    solve = staticmethod(active_set)

"""How far above."""

import math


def relative_gap(value: float, reference: float, least: float) -> float:
    """value / reference − 1, with both at least `least`: what is smaller is rounding, and no gap to speak of;
    infinite above 0, as of X = 0.

    least: `Divergence.rounding` of the data.
    """
    value, reference = max(value, least), max(reference, least)
    if reference > 0:
        return value / reference - 1
    return math.inf if value > 0 else 0.0

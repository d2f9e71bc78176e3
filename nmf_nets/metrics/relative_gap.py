"""How far above."""

import math


def relative_gap(value: float, reference: float) -> float:
    """value / reference − 1; 0 where both are 0, infinite where only the reference is."""
    if reference > 0:
        return value / reference - 1
    return 0.0 if value <= 0 else math.inf

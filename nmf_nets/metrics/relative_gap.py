"""How far above."""


def relative_gap(value: float, reference: float, least: float) -> float:
    """value / reference − 1, with both at least `least`: what is smaller is rounding, and no gap to speak of.

    least: `Divergence.rounding` of the data.
    """
    return max(value, least) / max(reference, least) - 1

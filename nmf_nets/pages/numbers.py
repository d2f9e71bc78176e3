"""How numbers are written where people read them."""

LEAST_GAP = 1e-6
"""What is closer to the best known value is as good as there: axes of gaps begin here."""

NO_BREAK = "\N{NO-BREAK SPACE}"


def number(x: float) -> str:
    """Three digits, without an exponent."""
    return f"{float(f'{x:.3g}'):,.10g}"


def six_digits(x: float) -> str:
    """Of a divergence, without an exponent unless it is tiny."""
    return f"{float(f'{x:.6g}'):,.10g}"


def percent(gap: float, position: int | None = None) -> str:
    """position: what matplotlib passes beside a tick, not used."""
    return f"{number(100 * gap)}{NO_BREAK}%" if gap > LEAST_GAP else f"<{number(100 * LEAST_GAP)}{NO_BREAK}%"


def signed_percent(difference: float) -> str:
    """What rounds to nothing has no sign."""
    rounded = float(f"{100 * difference:.3g}")
    return f"{rounded:+,.3f}{NO_BREAK}%" if abs(rounded) >= 5e-4 else f"0{NO_BREAK}%"


def duration(seconds: float) -> str:
    return f"{number(1e3 * seconds)}{NO_BREAK}ms" if seconds < 0.1 else f"{number(seconds)}{NO_BREAK}s"


def count(how_many: int, noun: str) -> str:
    return f"{how_many:,} {noun if how_many == 1 else noun + 's'}"

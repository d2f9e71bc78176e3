"""What is raised at the door."""

import math
import sys
from collections.abc import Sequence
from numbers import Integral, Real


class Refusal(ValueError):
    """Input or configuration that cannot be used: one sentence with the value, its place and the remedy.

    The commands print it and exit with 2; every other exception is a bug and keeps its traceback.
    """


def first_line(error: BaseException) -> str:
    """What another library said, as a part of our sentence; the kind of its error where it said nothing."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def refuse_count(name: str, value: object) -> None:
    """Raises Refusal unless the value is an integer of at least 1."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise Refusal(f"{name} must be an integer of at least 1, but is {value!r}.")


def refuse_seed(value: object) -> None:
    """Raises Refusal unless every generator takes the value for a seed."""
    if not isinstance(value, Integral) or isinstance(value, bool) or not 0 <= int(value) < 2**32:
        raise Refusal(f"seed is {value!r}, but must be an integer from 0 to {2**32 - 1}.")


def refuse_names(name: str, value: object) -> None:
    """Raises Refusal unless the value is a list of texts."""
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(each, str) for each in value):
        raise Refusal(f"{name} is {value!r}, but must be a list of names, {name}=[NAME] say.")


def refuse_number(name: str, value: object, most: float | None = None) -> None:
    """Raises Refusal unless the value is a finite number from 0 to `most`."""
    try:
        number = float(value) if isinstance(value, Real) else math.nan
    except OverflowError:
        number = math.inf
    if not 0 <= number <= (sys.float_info.max if most is None else most):
        raise Refusal(
            f"{name} must be a number {f'from 0 to {most:g}' if most else 'of at least 0'}, but is {value!r}."
        )

"""What is raised at the door."""

from numbers import Integral


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

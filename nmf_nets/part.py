"""Parts, and what configurations and the package call them."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any


def part_name(part: object) -> str:
    """The file that the part lives in, which is its option: nmf_nets/encoders/mlp.py is encoder=mlp."""
    return type(part).__module__.rpartition(".")[2]


def given(make: Callable[..., Any], **known: object) -> Callable[..., Any]:
    """The same, with what it names among its arguments of what is known: `X` for a part that is made of the data."""
    asked = inspect.signature(make).parameters
    return partial(make, **{name: value for name, value in known.items() if name in asked})

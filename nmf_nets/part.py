"""Parts, and what configurations and the package call them."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any


def part_name(part: object) -> str:
    """The file that the part lives in, which is its option: nmf_nets/encoders/mlp.py is encoder=mlp."""
    return type(part).__module__.rpartition(".")[2]


def with_data(make: Callable[..., Any], X: object) -> Callable[..., Any]:
    """The same, with X for what asks for it: a part that is made of the data names `X` among its arguments."""
    return partial(make, X=X) if "X" in inspect.signature(make).parameters else make

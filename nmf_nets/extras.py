"""Packages that only some users need."""

from importlib import import_module
from typing import Any

from nmf_nets.refusal import Refusal


class Missing(Refusal):
    """A package that is asked for is not installed."""


def extra(package: str, brought_by: str) -> Any:
    """The package; raises Missing, with the extra of this project that brings it, where it is not installed."""
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        name = package.partition(".")[0]
        if error.name is not None and error.name.partition(".")[0] != name:
            raise  # it is there, and itself misses something
        raise Missing(f"{name} is not installed; pip install 'nmf-nets[{brought_by}]' brings it.") from None

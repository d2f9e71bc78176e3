"""Packages that only some users need."""

import warnings
from importlib import import_module
from typing import Any

from nmf_nets.refusal import Refusal


class Missing(Refusal):
    """A package that is asked for is not installed."""


def extra(module: str, brought_by: str) -> Any:
    """The module; raises Missing, with the extra that brings it, where it or what it needs is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of what they use, at import: not ours to mend
            return import_module(module)
    except ModuleNotFoundError as error:
        name = (error.name or module).partition(".")[0]
        raise Missing(f"{name} is not installed; pip install 'nmf-nets[{brought_by}]' brings it.") from error

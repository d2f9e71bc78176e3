"""What the adapters of other libraries share."""

import importlib
import warnings
from typing import Any

from nmf_nets.benchmark.base import Missing


def peer(module: str, extra: str) -> Any:
    """A module of another library; raises Missing, with the extra that brings it, where it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of what they use, at import: not ours to mend
            return importlib.import_module(module)
    except ModuleNotFoundError as error:
        name, lacking = (each.partition(".")[0] for each in (module, error.name or module))
        raise Missing(f"method {name} needs the package {lacking}: pip install 'nmf-nets[{extra}]'.") from error

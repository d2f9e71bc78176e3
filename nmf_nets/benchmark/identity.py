"""What makes two runs the same run."""

import inspect
import sys
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch

import nmf_nets
from nmf_nets.benchmark.base import Method
from nmf_nets.part import part_name
from nmf_nets.run_directory import PACKAGES, environment, version_of

PACKAGE = Path(nmf_nets.__file__).parent


def of_the_machine() -> dict[str, Any]:
    """Versions, source, processor, threads: what every outcome depends on."""
    about = environment()
    kept = {name: about[name] for name in ("python", "platform", "processor", "cuda")}
    return {
        **kept,
        "packages": {name: version_of(name) for name in PACKAGES},
        "threads": torch.get_num_threads(),
        "source": _source_of_this_package(),
    }


def of_a_method(method: Method, configuration: Any) -> dict[str, Any]:
    """Its configuration, the source that it is written in, and the version of the library that it adapts.

    An adapter is named like its library.
    """
    module = inspect.getmodule(type(method))
    path = Path(module.__file__) if module is not None and module.__file__ else None
    return {
        "configuration": configuration,
        "source": _digest([path]) if path is not None and PACKAGE not in path.parents else None,
        "version": version_of(part_name(method)),
    }


@cache
def _source_of_this_package() -> str:
    """Of all that runs and measures; how it is shown does not count."""
    shown = {PACKAGE / room for room in ("benchmark/report", "pages", "plots", "report", "dashboard")}
    return _digest([path for path in sorted(PACKAGE.rglob("*.py")) if shown.isdisjoint(path.parents)])


def _digest(paths: list[Path]) -> str:
    found = blake2b(sys.version.encode(), digest_size=12)
    for path in paths:
        found.update(path.read_bytes())
    return found.hexdigest()

"""Non-negative matrix factorization as a non-negative autoencoder."""

import importlib
import os
from typing import TYPE_CHECKING, Any

# Threads that wait go to sleep soon. GNU OpenMP lets them spin for milliseconds, which beside one or two other busy
# processes makes small steps up to a hundred times slower; spinning briefly is as fast on a quiet machine. This has its
# effect only if torch was not imported before.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

__version__ = "0.1.0"

__all__ = [
    "NMF",
    "MiniBatchNMF",
    "Model",
    "Moment",
    "Result",
    "Stream",
    "factorize",
    "load",
    "non_negative_factorization",
]

HOME = {
    "Moment": "watch",
    "Result": "fit",
    "factorize": "fit",
    "Stream": "stream",
    "Model": "model",
    "load": "saved_model",
    "NMF": "estimators.nmf",
    "non_negative_factorization": "estimators.nmf",
    "MiniBatchNMF": "estimators.mini_batch_nmf",
}
"""The module of each."""

if TYPE_CHECKING:
    from nmf_nets.estimators.mini_batch_nmf import MiniBatchNMF
    from nmf_nets.estimators.nmf import NMF, non_negative_factorization
    from nmf_nets.fit import Result, factorize
    from nmf_nets.model import Model
    from nmf_nets.saved_model import load
    from nmf_nets.stream import Stream
    from nmf_nets.watch import Moment


def __getattr__(name: str) -> Any:
    """The front door is opened when it is used: `import nmf_nets` alone loads no torch."""
    if name not in HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"nmf_nets.{HOME[name]}"), name)

"""Where the classical solvers begin, and the units that they work in."""

import math

import torch

from nmf_nets.factorization import Factorization, finite
from nmf_nets.inits.base import Init
from nmf_nets.inits.kmeans import kmeans
from nmf_nets.inits.nndsvd import nndsvd
from nmf_nets.inits.nndsvda import nndsvda
from nmf_nets.inits.nndsvdar import nndsvdar
from nmf_nets.inits.random import random
from nmf_nets.inits.random_acol import random_acol
from nmf_nets.inits.random_codes import random_codes
from nmf_nets.inits.rank_factorization import rank_factorization
from nmf_nets.inits.separable import separable
from nmf_nets.inits.spherical_kmeans import spherical_kmeans
from nmf_nets.matrix import Matrix
from nmf_nets.refusal import Refusal

INITS: dict[str, Init] = {
    "random": random,
    "nndsvd": nndsvd,
    "nndsvda": nndsvda,
    "nndsvdar": nndsvdar,
    "random_codes": random_codes,
    "kmeans": kmeans,
    "spherical_kmeans": spherical_kmeans,
    "separable": separable,
    "random_acol": random_acol,
    "rank_factorization": rank_factorization,
}


def start_of(
    init: str | Init, X: Matrix, n_components: int, generator: torch.Generator, signed: bool = False
) -> Factorization:
    """What the init makes of X, in units of X in which squares stay within its dtype.

    Raises Refusal where X is too uneven even so.
    """
    unit = unit_of(X)
    start = init_of(init, X, n_components, signed)(X if unit == 1 else X.divided(unit), n_components, generator)
    start = scaled(start, unit)
    finite(start.H, "codes to start from", X)
    finite(start.W, "components to start from", X)
    return start


def init_of(init: str | Init, X: Matrix, n_components: int, signed: bool = False) -> Init:
    """By name, or itself; auto is nndsvda where there are enough singular vectors and no weights, else random.

    signed: whether W may have any sign. Raises Refusal for an init that needs that where it may not.
    """
    if not signed and (init is random_codes or (isinstance(init, str) and init == "random_codes")):
        raise Refusal("init=random_codes makes components of any sign, as semi-NMF has them alone; use init=random.")
    if callable(init):
        return init
    if isinstance(init, str) and init == "auto":
        init = "nndsvda" if X.weights is None and n_components <= min(X.shape) else "random"
    if not isinstance(init, str) or init not in INITS:
        raise Refusal(f"init is {init!r}, but must be one of auto, {', '.join(INITS)}, or what makes a start.")
    return INITS[init]


def unit_of(X: Matrix) -> float:
    """1, or the power of 4 near the mean of data so small or large that squares would leave the range of float32."""
    return unit_at(float(X.mean))


def unit_at(mean: float) -> float:
    """The unit of data with that mean: a number whose inverse float64 holds too."""
    return 1.0 if mean == 0 or 1e-6 < mean < 1e6 else 4.0 ** min(511, max(-511, round(math.log(mean, 4))))


def scaled(factors: Factorization, unit: float) -> Factorization:
    """The factors of unit · X, from those of X."""
    root = math.sqrt(unit)
    return factors if unit == 1 else Factorization(factors.H * root, factors.W * root)

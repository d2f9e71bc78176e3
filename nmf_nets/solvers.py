"""The classical solvers by name: which half-step, how often, extrapolated or not."""

from collections.abc import Callable

from nmf_nets.criterion import Terms
from nmf_nets.divergences.base import Divergence
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.divergences.kullback_leibler import KullbackLeibler
from nmf_nets.effort import Effort
from nmf_nets.extrapolation import Extrapolation
from nmf_nets.matrix import Matrix
from nmf_nets.penalties.base import EntryPenalty
from nmf_nets.refusal import Refusal
from nmf_nets.solver import Solver
from nmf_nets.updates.active_set import ActiveSet
from nmf_nets.updates.hals import HALS
from nmf_nets.updates.least_squares import LeastSquares
from nmf_nets.updates.multiplicative import Multiplicative
from nmf_nets.updates.optimal_gradient import OptimalGradient
from nmf_nets.updates.pivoting import Pivoting
from nmf_nets.updates.projected_gradient import ProjectedGradient
from nmf_nets.updates.scalar_newton import ScalarNewton
from nmf_nets.updates.semi_multiplicative import SemiMultiplicative
from nmf_nets.updates.unconstrained import Unconstrained
from nmf_nets.updates.unit_ball import UnitBall

INEXACT = Effort(repeats=100, progress=0.01)
"""Of gradient steps that stand for an exact solution."""

SOLVERS: dict[str, Callable[[Divergence], Solver]] = {
    "mu": lambda divergence: Solver(Multiplicative(divergence)),
    "als": lambda divergence: Solver(LeastSquares()),
    "anls-bpp": lambda divergence: Solver(Pivoting()),
    "anls-as": lambda divergence: Solver(ActiveSet()),
    "anls-pg": lambda divergence: Solver(ProjectedGradient(), INEXACT),
    "anls-nenmf": lambda divergence: Solver(OptimalGradient(), INEXACT),
    "hals": lambda divergence: Solver(HALS()),
    "a-hals": lambda divergence: Solver(HALS(), Effort(repeats=None, alpha=0.5, progress=0.1)),
    "e-hals": lambda divergence: Solver(HALS(), HALS.effort, HALS.extrapolation),
    "newton": lambda divergence: Solver(ScalarNewton()),
    "e-newton": lambda divergence: Solver(ScalarNewton(), ScalarNewton.effort, ScalarNewton.extrapolation),
    "semi": lambda divergence: Solver(SemiMultiplicative(), update_W=Unconstrained()),
    "semi-hals": lambda divergence: Solver(HALS(), HALS.effort, update_W=Unconstrained()),
    "semi-anls": lambda divergence: Solver(Pivoting(), update_W=Unconstrained()),
    "sparse-coding": lambda divergence: Solver(HALS(), update_W=UnitBall()),
    "ccd": lambda divergence: Solver(ScalarNewton(damped=False), Effort(), Extrapolation()),
}


def named(name: str, X: Matrix, divergence: Divergence, *terms: Terms) -> Solver:
    """The solver of that name; `auto` is the fastest by the measurements in docs/solvers.md that heeds these penalties.

    Raises Refusal for a name that is none, and for a solver that does not minimise the divergence.
    """
    if name == "auto":
        name = fastest(X, divergence, *terms)
    if name not in SOLVERS:
        raise Refusal(f"solver is {name!r}, but must be one of auto, {', '.join(SOLVERS)}.")
    solver = SOLVERS[name](divergence)
    serving = [other for other, make in SOLVERS.items() if make(divergence).update.lowers(divergence)]
    if name not in serving:
        raise Refusal(
            f"solver {name} does not minimise divergence {type(divergence).__name__}; choose {' or '.join(serving)}."
        )
    return solver


def fastest(X: Matrix, divergence: Divergence, *terms: Terms) -> str:
    """e-hals for Frobenius, e-newton for KL, dense and sparse, small and large; mu for what no other serves, and for
    penalties that the fastest cannot heed.
    """
    name = "e-newton" if isinstance(divergence, KullbackLeibler) else "mu"
    if isinstance(divergence, Frobenius):
        name = "hals" if X.weights is not None else "e-hals"
    takes = SOLVERS[name](divergence).update.takes if X.weights is None else EntryPenalty
    return name if all(isinstance(penalty, takes) for each in terms for penalty in each.penalties) else "mu"

"""Which half-step the codes of a block take, and which sums W is found from."""

import warnings
from dataclasses import dataclass

from nmf_nets.criterion import Terms
from nmf_nets.divergences.base import Divergence
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.divergences.kullback_leibler import KullbackLeibler
from nmf_nets.matrix import Matrix
from nmf_nets.penalties.base import EntryPenalty, Penalty
from nmf_nets.refusal import Refusal
from nmf_nets.row_sums.base import RowSums
from nmf_nets.row_sums.majoriser import Majoriser
from nmf_nets.row_sums.newton import Newton
from nmf_nets.row_sums.products import Products
from nmf_nets.row_sums.totals import Totals
from nmf_nets.shapes import Codes, Components
from nmf_nets.updates.base import Update
from nmf_nets.updates.hals import HALS
from nmf_nets.updates.multiplicative import Multiplicative
from nmf_nets.updates.scalar_newton import ScalarNewton

SOLVERS = ("hals", "newton", "mu")

MOST_NUMBERS = 2**26
"""Of the sums for Newton's step, in float64 512 MB: beyond, auto takes the multiplicative one."""


@dataclass(frozen=True)
class RowSolver:
    """name: hals, newton or mu. repeats: half-steps on the codes of a block in each pass, at most."""

    name: str
    update: Update
    repeats: int
    sums: RowSums
    on_H: Terms
    on_W: Terms

    def codes(self, X: Matrix, H: Codes | None, W: Components) -> Codes:
        return self.update.on(X, W, self.on_H).codes(H, self.repeats, self.update.effort.progress)


def row_solver(
    name: str,
    divergence: Divergence,
    n_features: int,
    n_components: int,
    totals: Totals,
    repeats: int | None,
    on_H: Terms,
    on_W: Terms,
) -> RowSolver:
    """The solver of that name for all rows that the totals are of.

    auto is hals for Frobenius, newton for Kullback–Leibler, and mu for what these cannot heed; where the sums of newton
    are more than 2²⁶ numbers, mu too, with a warning. repeats None: as many as the update is worth.
    Raises Refusal for a solver that does not minimise this divergence with these penalties.
    """
    newton = Newton(totals.least, totals.weighted)
    count = newton.numbers(n_components, n_features)
    if name == "auto":
        name = _fastest(divergence, totals.weighted, on_H.penalties + on_W.penalties)
        if name == "newton" and count > MOST_NUMBERS:
            warnings.warn(
                f"solver=auto takes mu, as newton would sum {8 * count / 2**30:.1f} GiB of numbers in each iteration; "
                "solver=newton takes it nevertheless.",
                stacklevel=2,
            )
            name = "mu"
    refuse_solver(name, divergence, on_H, on_W)
    update = _update(name, divergence)
    if totals.weighted and name == "hals":
        for terms in (on_H, on_W):
            terms.refuse(EntryPenalty, "hals with weights")
    n = totals.n_samples
    on_W_repeats = update.effort.most_of((n_features, n), totals.values, n_components)
    heaviest = totals.heaviest if totals.weighted else None
    sums: RowSums = newton
    if isinstance(divergence, Frobenius) and isinstance(update, HALS | Multiplicative):
        sums = Products(update, on_W_repeats, update.effort.progress, heaviest)
    elif name == "mu":
        sums = Majoriser(divergence, totals.weighted)
    return RowSolver(
        name, update, update.effort_of(repeats).most_of((n, n_features), totals.values, n_components), sums, on_H, on_W
    )


def refuse_solver(name: str, divergence: Divergence, on_H: Terms, on_W: Terms) -> None:
    """What can be refused before anything of X is read: raises Refusal for a solver that does not serve."""
    if name not in ("auto", *SOLVERS):
        raise Refusal(f"solver is {name!r}, but must be auto, {', '.join(SOLVERS)}; others need all rows at once.")
    if on_H.couples_rows:
        raise Refusal("a penalty on H couples rows, which lie in different blocks; factorize whole X in memory.")
    if name != "auto":
        for terms in (on_H, on_W):
            _update(name, divergence).refuse(divergence, terms)


def _update(name: str, divergence: Divergence) -> Update:
    return Multiplicative(divergence) if name == "mu" else HALS() if name == "hals" else ScalarNewton()


def _fastest(divergence: Divergence, weighted: bool, penalties: tuple[Penalty, ...]) -> str:
    name, update = "mu", None
    if isinstance(divergence, Frobenius):
        name, update = "hals", HALS
    elif isinstance(divergence, KullbackLeibler):
        name, update = "newton", ScalarNewton
    takes = Penalty if update is None else EntryPenalty if weighted else update.takes
    return name if all(isinstance(penalty, takes) for penalty in penalties) else "mu"

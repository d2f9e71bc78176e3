"""X in, factors out: the classical solvers as one function."""

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nmf_nets.as_matrix import as_matrix
from nmf_nets.criterion import Criterion, Terms
from nmf_nets.divergences.base import Divergence
from nmf_nets.divergences.beta import beta_divergence
from nmf_nets.factorization import Factorization, refuse_equal_components
from nmf_nets.inits.base import Init, generator_of, refuse_n_components
from nmf_nets.inits.random_codes import random_codes
from nmf_nets.matrix import Matrix
from nmf_nets.penalties.base import Penalty
from nmf_nets.penalties.l1 import L1
from nmf_nets.penalties.l2 import L2
from nmf_nets.refusal import Refusal, refuse_number
from nmf_nets.solver import Solver
from nmf_nets.solvers import SOLVERS, named
from nmf_nets.starts import scaled, start_of, unit_of
from nmf_nets.watch import Moment, Reason, Watch, progress_bar, refuse_numbers

DIVERGENCES = {"frobenius": 2.0, "kullback_leibler": 1.0, "itakura_saito": 0.0}


@dataclass(frozen=True)
class Result:
    """X ≈ H W, arrays of the kind that X was; `divergence_value` is D(X | H W) without penalties, in float64."""

    H: Any
    W: Any
    n_iter: int
    reason: Reason
    divergence_value: float
    solver: Solver
    history: list[Moment] = field(repr=False)


def factorize(
    X: Any,
    n_components: int,
    *,
    divergence: str | float | Divergence = "frobenius",
    solver: str | Solver = "auto",
    init: str | Init = "auto",
    start: Factorization | tuple[Any, Any] | None = None,
    weights: Any = None,
    l1_H: float = 0.0,
    l1_W: float = 0.0,
    l2_H: float = 0.0,
    l2_W: float = 0.0,
    penalties_H: Sequence[Penalty] = (),
    penalties_W: Sequence[Penalty] = (),
    frozen_H: Any = None,
    frozen_W: Any = None,
    max_iter: int = 1000,
    tol: float = 1e-5,
    kkt_tol: float | None = 0.0,
    max_seconds: float | None = None,
    check_every: int = 10,
    callback: Callable[[Moment, Factorization], bool | None] | None = None,
    progress: bool = False,
    seed: int | torch.Generator = 0,
    dtype: torch.dtype | None = None,
) -> Result:
    """Minimises D(X | H W) + l1_H Σ h + ½ l2_H ‖H‖² + l1_W Σ w + ½ l2_W ‖W‖² over H, W ≥ 0; semi-NMF, over H ≥ 0.

    X: (n_samples, n_features), whatever `as_matrix` takes; it is worked on where it is, on its device.
    divergence: frobenius, kullback_leibler, itakura_saito, or β.
    solver: mu, als, anls-bpp, anls-as, anls-pg, anls-nenmf, hals, a-hals, e-hals, newton, e-newton, ccd, or auto; semi,
        semi-hals, semi-anls for semi-NMF, where X and W may have any sign.
    init: random, nndsvd, nndsvda, nndsvdar, kmeans, spherical_kmeans, separable, random_acol, rank_factorization, or
        auto: nndsvda where there are enough singular vectors and no weights, random_codes for semi-NMF.
    start: (H, W) instead; None for one of them takes what codes the other best.
    weights: v ≥ 0, dense or sparse, or a mask; where it is 0 nothing is known of X, which may be NaN there.
    penalties_H, penalties_W: what is added besides, of nmf_nets.penalties: R(H), R(Wᵀ), in the units of this X.
    frozen_H, frozen_W: True for a factor that stays as it started, or a boolean for each component.
    tol: stops at a relative decrease of the loss of at most so much an iteration; 0 never does.
    kkt_tol: stops at a KKT residual of at most so much; None asks for none, and saves the work of an iteration a look.
    Both are looked at every `check_every` iterations.
    callback: is shown each of those moments; stops if it returns True.
    Ctrl-C returns the best factors so far, with the reason `interrupted`.
    Raises Refusal, a ValueError, for input that cannot be used.
    """
    refuse_numbers(tol, kkt_tol, max_iter, check_every, max_seconds)
    refuse_n_components(n_components)
    returned = as_given(X)
    D = divergence_of(divergence)
    if not isinstance(solver, str | Solver):
        raise Refusal(f"solver is {solver!r}, but must be one of auto, {', '.join(SOLVERS)}, or a Solver.")
    if not (callback is None or callable(callback)):
        raise Refusal(f"callback is {callback!r}, but must be a function of a Moment and a Factorization, or None.")
    if not isinstance(progress, bool):
        raise Refusal(f"progress is {progress!r}, but must be True or False.")
    signed = solver.signed if isinstance(solver, Solver) else solver in SOLVERS and SOLVERS[solver](D).signed
    X = as_matrix(X, dtype, weights, signed=signed)
    D.refuse(X)
    unit = unit_of(X)
    X = X if unit == 1 else X.divided(unit)
    on_H = _terms("H", frozen_H, l1_H, l2_H, penalties_H, n_components, X, D, unit)
    on_W = _terms("W", frozen_W, l1_W, l2_W, penalties_W, n_components, X, D, unit)
    recipe = named(solver, X, D, on_H, on_W) if isinstance(solver, str) else solver
    recipe.update.refuse(D, on_H)
    (recipe.update_W or recipe.update).refuse(D, on_W)
    if on_H.fixed and on_W.fixed:
        raise Refusal("frozen_H and frozen_W leave nothing to fit; free a factor or some components.")
    begin = _start(X, n_components, init, start, unit, recipe, seed, on_H, on_W)

    watch = Watch(X, Criterion(D, on_H, on_W), unit, tol, kkt_tol, max_iter, max_seconds, check_every, callback)
    factors, iteration, reason = begin, 0, "interrupted"
    with progress_bar(max_iter) if progress else nullcontext() as bar, suppress(KeyboardInterrupt):
        for iteration, factors in enumerate(recipe.iterates(X, begin, on_H, on_W), 1):
            stop = watch(iteration, factors)
            if bar is not None:
                bar(iteration, watch.history)
            if stop is not None:
                reason = stop
                break
    value = float(D.total(X, factors)) * unit**D.beta
    factors = scaled(factors, unit)
    return Result(returned(factors.H), returned(factors.W), iteration, reason, value, recipe, watch.history)


# What is given -------------------------------------------------------------------------------------------------------


def as_given(X: Any) -> Callable[[Tensor], Any]:
    """Tensors for tensors and matrices, else arrays."""
    if isinstance(X, Tensor | Matrix):
        return lambda M: M.contiguous()
    return lambda M: np.ascontiguousarray(M.cpu().numpy())


def divergence_of(given: str | float | Divergence) -> Divergence:
    """By name, by β, or itself. Raises Refusal for a name that is none."""
    if isinstance(given, Divergence):
        return given
    if isinstance(given, str):
        name = given.lower().replace("-", "_")
        if name not in DIVERGENCES:
            raise Refusal(
                f"divergence is {given!r}, but must be one of {', '.join(DIVERGENCES)}, or β, a finite number."
            )
        return beta_divergence(DIVERGENCES[name])
    if not isinstance(given, Real) or isinstance(given, bool) or not math.isfinite(given):
        raise Refusal(f"divergence is {given!r}, but must be one of {', '.join(DIVERGENCES)}, or β, a finite number.")
    return beta_divergence(float(given))


def _terms(
    side: str,
    frozen: Any,
    l1: float,
    l2: float,
    others: Sequence[Penalty],
    n_components: int,
    X: Matrix,
    divergence: Divergence,
    unit: float,
) -> Terms:
    penalties = penalties_of(side, l1, l2, others, divergence, unit)
    if frozen is None or frozen is False:
        return Terms(penalties)
    mask = np.asarray(frozen.cpu() if isinstance(frozen, Tensor) else frozen)
    if mask.dtype != bool or mask.shape not in ((), (n_components,)):
        raise Refusal(
            f"frozen_{side} must be True, or True or False for each of {n_components} components, but is {frozen!r}."
        )
    held = torch.from_numpy(np.broadcast_to(mask, (n_components,)).copy()).to(X.device)
    return Terms(penalties, held)


STRONGEST = 30
"""Decades of a penalty on data with a mean near 1: with some more, products of it leave float32 (heuristic)."""


def penalties_of(
    side: str, l1: float, l2: float, others: Sequence[Penalty], divergence: Divergence, unit: float
) -> tuple[Penalty, ...]:
    """All of one factor, for X / unit. Raises Refusal for what is no list of penalties."""
    if not isinstance(others, Sequence) or not all(isinstance(penalty, Penalty) for penalty in others):
        raise Refusal(f"penalties_{side} must be a list of penalties, [L1(0.1)] say, but is {others!r}.")
    for name, strength in ((f"l1_{side}", l1), (f"l2_{side}", l2)):
        refuse_number(name, strength)
    given = [*([L1(float(l1))] if l1 else []), *([L2(float(l2))] if l2 else []), *others]
    for penalty in given:
        decades = (divergence.beta - penalty.degree / 2) * -math.log10(unit)
        if penalty.strength and not math.log10(penalty.strength) + decades <= STRONGEST:
            raise Refusal(
                f"{type(penalty).__name__} on {side} (l1_{side}, l2_{side}, penalties_{side}) has the strength "
                f"{penalty.strength:.3g}, beside which nothing of X would be left; choose a smaller one."
            )
    return tuple(penalty.rescaled(1 / unit, divergence.beta) for penalty in given)


def _start(
    X: Matrix,
    n_components: int,
    init: str | Init,
    start: Factorization | tuple[Any, Any] | None,
    unit: float,
    recipe: Solver,
    seed: int | torch.Generator,
    on_H: Terms,
    on_W: Terms,
) -> Factorization:
    if start is None:
        for side, terms in (("H", on_H), ("W", on_W)):
            if terms.frozen is not None:
                raise Refusal(f"frozen_{side} keeps components as they started; give start=(H, W).")
        generator = seed if isinstance(seed, torch.Generator) else generator_of(seed)
        if isinstance(init, str) and init == "auto" and recipe.signed:
            init = random_codes
        return start_of(init, X, n_components, generator, recipe.signed)
    if not isinstance(start, Factorization) and not (isinstance(start, tuple | list) and len(start) == 2):
        raise Refusal(f"start must be a Factorization or (H, W), but is a {type(start).__name__}.")
    H, W = (start.H, start.W) if isinstance(start, Factorization) else start
    n, m = X.shape
    H = None if H is None else _factor("H", H, (n, n_components), X, unit)
    W = None if W is None else _factor("W", W, (n_components, m), X, unit, recipe.signed)
    if H is None and W is None:
        raise Refusal("start is (None, None); give one of H and W at least, or leave it to init.")
    if H is None or W is None:
        missing, terms = ("H", on_H) if H is None else ("W", on_W)
        if terms.frozen is not None:
            raise Refusal(f"frozen_{missing} keeps components as they started, but start has no {missing}.")
    if H is None and W is not None:
        H = recipe.update(X, None, W, 300, 1e-4)
    if W is None and H is not None:
        W = (recipe.update_W or recipe.update)(X.T, None, H.T, 300, 1e-4).T
    assert H is not None
    assert W is not None
    begin = Factorization(H, W)
    refuse_equal_components(begin)
    return begin


def _factor(name: str, M: Any, shape: tuple[int, int], X: Matrix, unit: float, signed: bool = False) -> Tensor:
    values = as_matrix(M, X.dtype, name=name, signed=signed).dense().to(X.device)
    if values.shape != shape:
        raise Refusal(f"{name} of start must have the shape {shape}, but has {tuple(values.shape)}.")
    given, most = values, torch.finfo(X.dtype).max
    values = given / math.sqrt(unit)
    if bool(((values == 0) & (given != 0)).any()):
        raise Refusal(
            f"{name} of start has entries that are zero in units of X, whose mean is as {unit:.3g}, in {X.dtype}; "
            "scale it up, or leave it to init."
        )
    largest = float(values.abs().max())
    if not largest < math.sqrt(most / values.numel()):
        raise Refusal(
            f"{name} of start has entries up to {largest * math.sqrt(unit):.3g}, of whose squares {X.dtype} does not "
            "hold the sum; scale it down, or leave it to init."
        )
    return values

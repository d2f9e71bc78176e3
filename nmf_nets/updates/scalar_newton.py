"""Newton steps for the Kullback–Leibler divergence, one entry of H at a time."""

import torch

from nmf_nets.cold_start import flat_codes, lifted_codes
from nmf_nets.criterion import Terms
from nmf_nets.divergences.base import Divergence, floor
from nmf_nets.divergences.kullback_leibler import KullbackLeibler
from nmf_nets.extrapolation import Extrapolation
from nmf_nets.group import Group
from nmf_nets.half_steps.base import HalfStep
from nmf_nets.kernels.entries import Sweeps, cross_entropy, newton_sweeps
from nmf_nets.matrix import Matrix
from nmf_nets.shapes import Codes, Components, Scalar
from nmf_nets.updates.base import Update


class ScalarNewton(Update):
    """One Newton step on each entry of H in turn, on the stored entries of X alone; it revives zeros.

    damped: monotone. Without, it is cyclic coordinate descent: faster near the optimum, may rise before it.
    Cold start: lifted least squares, flat codes with weights.
    Source: Hsieh & Dhillon (2011); Hien & Gillis (2021).
    """

    extrapolation = Extrapolation(b=0.7)

    def __init__(self, damped: bool = True):
        self.damped = self.descends = damped

    def lowers(self, divergence: Divergence) -> bool:
        return isinstance(divergence, KullbackLeibler)

    def half_step(self, X: Matrix, W: Components, terms: Terms, group: Group) -> HalfStep:
        return NewtonSteps(X, W, terms, self.damped, group)


class NewtonSteps(HalfStep):
    """Keeps Σ v x log x̂ of the codes that it made last, a by-product of making them."""

    def __init__(self, X: Matrix, W: Components, terms: Terms, damped: bool, group: Group):
        self.X, self.W, self.terms, self.damped, self.group = X, W, terms, damped, group
        self.floor = floor(X)
        self._made: tuple[Codes, Scalar] | None = None

    def codes(self, H: Codes | None, repeats: int = 1, progress: float = 0.0) -> Codes:
        X, W = self.X, self.W
        if H is None:
            H = lifted_codes(X, W) if X.weights is None else flat_codes(X, W)
        sweeps = Sweeps(repeats, progress, self.damped)
        self._made = newton_sweeps(X, H, W, self.floor, sweeps, self.terms, self.group)
        return self._made[0]

    def value(self, H: Codes) -> Scalar:
        X, W = self.X, self.W
        made, cross = self._made or (None, None)
        if made is not H or cross is None:
            cross = cross_entropy(X, H, W, self.floor)
        mass = H.sum(0, dtype=torch.float64) @ W.sum(1, dtype=torch.float64)
        if X.weights is not None:
            mass = torch.sum(X.weights * X.sample(H, W), dtype=torch.float64)
        (value,) = self.group.summed(X.self_entropy - X.sum - cross + mass)
        return value + self.terms.value(H)

"""The one evaluator of a comparison: float64, from the factors alone."""

from dataclasses import dataclass

import torch

from nmf_nets.benchmark.base import Problem
from nmf_nets.factorization import Factorization
from nmf_nets.metrics.dead_components import dead_components
from nmf_nets.metrics.kkt_residual import kkt_residual
from nmf_nets.metrics.relative_error import relative_error
from nmf_nets.metrics.sparseness import hoyer_sparseness


class NotFinite(ArithmeticError):
    """Factors that hold NaN or infinity."""


class NotAFactorization(ValueError):
    """Factors that are negative somewhere, or of the wrong shape."""


@dataclass(frozen=True)
class Measurement:
    """How good factors are; `sparseness` is Hoyer's, the mean over components."""

    value: float
    relative_error: float
    kkt_residual: float
    dead_components: int
    sparseness: float


class Evaluator:
    """Measures what a method made of one problem; whatever a method says of itself is not heard."""

    def __init__(self, problem: Problem):
        self.criterion, self.X = problem.criterion, problem.X.to(torch.float64)
        self.widths = {problem.n_components, problem.width or problem.n_components}

    def __call__(self, factors: Factorization) -> Measurement:
        factors = self._checked(factors)
        return Measurement(
            value=float(self.criterion.total(self.X, factors)),
            relative_error=relative_error(self.X, factors),
            kkt_residual=kkt_residual(
                self.X, factors, self.criterion.divergence, self.criterion.on_H, self.criterion.on_W
            ),
            dead_components=dead_components(factors),
            sparseness=float(hoyer_sparseness(factors.W).mean()),
        )

    def value(self, factors: Factorization) -> float:
        """The divergence, and penalties where there are any."""
        return float(self.criterion.total(self.X, self._checked(factors)))

    def _checked(self, factors: Factorization) -> Factorization:
        factors = factors.detach().to(self.X.device, torch.float64)
        (n, m), width = self.X.shape, factors.W.shape[0] if factors.W.shape[0] in self.widths else min(self.widths)
        for letter, M, shape in (("H", factors.H, (n, width)), ("W", factors.W, (width, m))):
            if tuple(M.shape) != shape:
                raise NotAFactorization(f"{letter} has shape {tuple(M.shape)}, but {shape} was asked for")
            if not bool(torch.isfinite(M).all()):
                raise NotFinite(f"{letter} has entries that are not finite")
            if bool((M < 0).any()) and not (self.X.signed and letter == "W"):
                raise NotAFactorization(f"{letter} has negative entries, the least is {float(M.min()):.3g}")
        return factors

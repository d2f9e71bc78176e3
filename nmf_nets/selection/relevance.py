"""Components that share one scale on both sides, of which those that the data do not need die."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from nmf_nets.criterion import Terms
from nmf_nets.divergences.base import Divergence
from nmf_nets.division import ratio
from nmf_nets.factorization import Factorization
from nmf_nets.inits.base import integer
from nmf_nets.inits.random import random
from nmf_nets.matrix import Matrix
from nmf_nets.penalties.base import Penalty, refuse_strength
from nmf_nets.refusal import Refusal, refuse_count
from nmf_nets.restarts import Restarts
from nmf_nets.selection.base import Choice, Judgement, Selector
from nmf_nets.shapes import Codes, PerComponent, Scalar
from nmf_nets.updates.multiplicative import Multiplicative

Form = Literal["l1", "l2"]

PLAIN_STEPS = 100
"""Iterations without shrinkage at first: from a random start the dispersion is so large that what is needed dies."""

LOOK = 10
"""Iterations between two looks at the relevance."""


@dataclass(frozen=True)
class Prior:
    """Of the entries of h_k and w_k, with one scale for both: λ_k ~ inverse gamma (a, b), and given it they are
    exponential with mean λ_k (l1, f = Σ m) or half-normal with variance λ_k (l2, f = ½ Σ m²).

    b is chosen so that E[x̂] = mean(X): √((a − 1)(a − 2) mean / r) for l1, π (a − 1) mean / 2r for l2.
    Source: Tan & Févotte (2013).
    """

    form: Form
    b: float
    c: float
    """n + m + a + 1 for l1, ½ (n + m) + a + 1 for l2."""

    @classmethod
    def of(cls, form: Form, a: float, X: Matrix, n_components: int) -> "Prior":
        size, mean = sum(X.shape), float(X.mean)
        if form == "l1":
            return cls(form, math.sqrt((a - 1) * (a - 2) * mean / n_components), size + a + 1)
        return cls(form, math.pi * (a - 1) * mean / (2 * n_components), size / 2 + a + 1)

    def size(self, M: Codes) -> PerComponent:
        """f of each component, in float64."""
        return M.double().sum(0) if self.form == "l1" else 0.5 * M.double().square().sum(0)

    def relevance(self, factors: Factorization) -> PerComponent:
        """λ_k = (f(h_k) + f(w_k) + b) / c, where the objective is least in it, in units of b / c, what is left of it
        where a component is dead."""
        return 1 + (self.size(factors.H) + self.size(factors.W.T)) / self.b


class Shrinkage(Penalty):
    """R(M) = φ c Σ_k log(1 + (f(m_k) + g_k) / b) with the sizes g_k = f of the other factor: the tied scales are gone,
    as each is where the objective is least.

    Concave in f(m_k), so φ Σ_k f(m_k) / λ_k of the present M touches it from above: R⁺ = φ / λ_k for l1, φ m / λ_k for
    l2, R⁻ = 0. With these powers Terms.exponent is Tan and Févotte's.
    """

    psd, couples_rows = True, True

    def __init__(self, dispersion: float, prior: Prior, others: PerComponent):
        super().__init__(dispersion)
        self.prior, self.others = prior, others
        self.powers = (0.0, 0.0) if prior.form == "l1" else (1.0, 1.0)
        self.degree = 0.0

    def value(self, M: Codes) -> Scalar:
        grown = (self.prior.size(M) + self.others) / self.prior.b
        return self.strength * self.prior.c * torch.log1p(grown).sum()

    def split_gradient(self, M: Codes) -> tuple[Tensor, Tensor]:
        prior = self.prior
        pull = (self.strength * prior.c / (prior.b + self.others + prior.size(M))).to(M.dtype)
        return (pull.expand_as(M) if prior.form == "l1" else pull * M), M.new_zeros(())


@dataclass(frozen=True)
class State:
    """Factors, the dispersion φ, and the objective J, which no iteration raises, with them."""

    factors: Factorization
    dispersion: float
    objective: float


def relevance_determination(
    X: Matrix,
    divergence: Divergence,
    start: Factorization,
    prior: Prior,
    dispersion: float | None = None,
) -> Iterator[State]:
    """Lowers J = D(X | H W) / φ + c Σ_k log(1 + (f(h_k) + f(w_k)) / b) + ½ N log φ by multiplicative steps, for ever.

    dispersion: φ, the noise: its variance for β = 2, 1 for Poisson counts and β = 1, the inverse of the shape of gamma
        noise for β = 0. None finds it with the rest: N d(x | x̂) / φ has 2 φ / N D at its minimum, as Var x = φ x̂^(2−β)
        where noise is small (Jørgensen 1987, the saddle point of the Tweedie models). N is the number of entries.
    A dead component is left to die: its factors fall by a factor in every step.
    """
    update, factors, mass = Multiplicative(divergence), start, float(X.mass)
    while True:
        D = max(float(divergence.total(X, factors)), divergence.rounding(X))
        phi = 2 * D / mass if dispersion is None else dispersion
        shrinkage = prior.c * float(prior.relevance(factors).log().sum())
        yield State(factors, phi, D / phi + shrinkage + 0.5 * mass * math.log(phi))
        H, W = factors.H, factors.W
        H = update.on(X, W, Terms((Shrinkage(phi, prior, prior.size(W.T)),))).codes(H)
        W = update.on(X.T, H.T, Terms((Shrinkage(phi, prior, prior.size(H)),))).codes(W.T).T
        factors = Factorization(H, W)


class Relevance(Selector):
    """Automatic relevance determination: of the largest number of components, those whose scale stays off the floor.

    form: l1 for the exponential prior, l2 for the half-normal one. a: of the prior of scales, more than 2; small ones
    say little. dispersion: as in `relevance_determination`. repeats: random starts, of which the one with the least
    objective counts, and the others say how sure it is.
    margin: λ_k counts from so many times its floor b / c above it.
    For every divergence, sparse data and data with weights.
    Source: Tan & Févotte (2013); that φ is found with the rest, and begins with what plain steps leave, is ours.
    """

    score = "relevance, in units of its floor"
    once = True

    def __init__(
        self,
        form: Form = "l1",
        a: float = 5.0,
        dispersion: float | None = None,
        repeats: int = 5,
        margin: float = 1.0,
        max_iter: int = 3000,
        tol: float = 1e-4,
    ):
        if form not in ("l1", "l2"):
            raise Refusal(f"form of relevance is {form!r}, but must be l1 or l2.")
        if not a > 2:
            raise Refusal(f"a of relevance must be more than 2, so that λ has a mean square, but is {a!r}.")
        if dispersion is not None and not refuse_strength(dispersion, "dispersion") > 0:
            raise Refusal("dispersion of relevance must be more than 0, or None to be found, but is 0.")
        for name, count in (("repeats", repeats), ("max_iter", max_iter)):
            refuse_count(f"{name} of relevance", count)
        self.form: Form = form
        self.a, self.dispersion, self.repeats = a, dispersion, repeats
        self.margin, self.max_iter, self.tol = margin, max_iter, tol

    def judge(self, restarts: Restarts, n_components: int, generator: torch.Generator) -> Judgement:
        X, divergence = restarts.X, restarts.divergence
        prior = Prior.of(self.form, self.a, X, n_components)
        ends = [
            self._end(X, divergence, prior, n_components, torch.Generator().manual_seed(integer(generator)))
            for _ in range(self.repeats)
        ]
        best = min(ends, key=lambda end: end.objective)
        kept = [int((prior.relevance(end.factors) > 1 + self.margin).sum()) for end in ends]
        relevance = prior.relevance(best.factors).sort(descending=True).values
        return Judgement(
            relevance.cpu().numpy(),
            figures={"dispersion": best.dispersion},
            arrays={"kept": np.array(kept, dtype=np.int64)},
        )

    def choose(self, judgements: Mapping[int, Judgement]) -> Choice:
        most = max(judgements)
        judgement = judgements[most]
        count = int((judgement.values > 1 + self.margin).sum())
        sureness = float((judgement.arrays["kept"] == count).mean())
        if count == most:
            return Choice(None, sureness, f"all {most} components stay relevant; try more")
        if count == 0:
            return Choice(None, sureness, f"none of {most} components is relevant")
        gap = f"{judgement.values[count - 1]:.3g} times its floor, the next only {judgement.values[count]:.3g}"
        return Choice(count, sureness, f"the least relevant component that is kept has {gap}")

    def _end(
        self, X: Matrix, divergence: Divergence, prior: Prior, n_components: int, generator: torch.Generator
    ) -> State:
        """Where no relevance moves by more than `tol` of it any more."""
        factors, update = random(X, n_components, generator), Multiplicative(divergence)
        H, W = factors.H, factors.W
        for _ in range(PLAIN_STEPS):
            H = update.on(X, W).codes(H)
            W = update.on(X.T, H.T).codes(W.T).T
        states = relevance_determination(X, divergence, level(Factorization(H, W), prior), prior, self.dispersion)
        state = next(states)
        for _ in range(self.max_iter // LOOK):
            before = prior.relevance(state.factors)
            state = next(islice(states, LOOK - 1, None))
            if bool(((prior.relevance(state.factors) - before).abs() <= LOOK * self.tol * before).all()):
                break
        return state


def level(factors: Factorization, prior: Prior) -> Factorization:
    """The same product with f(h_k) = f(w_k), where their sum is least; what is dead on one side is so on both."""
    h, w = prior.size(factors.H), prior.size(factors.W.T)
    power = 0.5 if prior.form == "l1" else 0.25
    grow, shrink = (ratio(w, h) ** power).to(factors.H.dtype), (ratio(h, w) ** power).to(factors.H.dtype)
    return Factorization(factors.H * grow, factors.W * shrink[:, None])

"""Many starts of many numbers of components: small dense data together, others one after the other."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nmf_nets.divergences.base import Divergence, floor
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.divergences.kullback_leibler import KullbackLeibler
from nmf_nets.factorization import Factorization
from nmf_nets.fit import factorize
from nmf_nets.inits.base import refuse_n_components
from nmf_nets.inits.random import random
from nmf_nets.kernels.starts import cross_entropies_of_starts, multiply_starts, squares_of_starts, sweep_starts
from nmf_nets.matrix import DenseMatrix, Matrix
from nmf_nets.refusal import Refusal, refuse_count
from nmf_nets.starts import unit_of
from nmf_nets.threads import use_threads

SMALL = 2**21
"""n m of dense data up to which starts are fitted together; measured on 38 × 5,000 alone."""

WIDE = 512
"""Components of all starts that are fitted together: more do not make the products with X faster."""

EVERY = 10
"""Iterations between two looks at the losses, as `factorize` takes them."""


@dataclass(frozen=True)
class Fits:
    """Of one number of components: the factors that each start came to, and D(X | H W) with them, in float64."""

    H: Float[Tensor, "starts samples components"]
    W: Float[Tensor, "starts components features"]
    losses: Float[Tensor, " starts"]

    def __len__(self) -> int:
        return len(self.losses)

    def __getitem__(self, start: int) -> Factorization:
        return Factorization(self.H[start], self.W[start])

    @property
    def best(self) -> int:
        return int(self.losses.argmin())


class Restarts:
    """X and the divergence, and for each of the `numbers` of components the fits from random starts, `seeds` of them.

    Fits are made when they are first asked for, and kept until `forget`. The start of seed s is that of
    `factorize(X, n_components, init="random", seed=seed + s)`.
    together: whether starts are fitted together, by HALS or multiplicative steps; None where that is faster. Otherwise
        each is fitted by the fastest solver there is for the divergence. Both stop where an iteration lowers D by less
        than `tol` of it, or after `max_iter`.
    fitted: is told of each number of starts that are done.
    """

    def __init__(
        self,
        X: Matrix,
        divergence: Divergence,
        numbers: Sequence[int],
        seeds: int = 50,
        max_iter: int = 1000,
        tol: float = 1e-5,
        seed: int = 0,
        together: bool | None = None,
        fitted: Callable[[int], None] = lambda count: None,
    ):
        for number in numbers:
            refuse_n_components(number)
        for name, value in {"seeds": seeds, "max_iter": max_iter}.items():
            refuse_count(name, value)
        divergence.refuse(X)
        if X.signed:
            raise Refusal("X has negative entries; the number of components of semi-NMF is not judged here.")
        if together and not can_together(X, divergence):
            raise Refusal(
                "starts are fitted together for dense data on the CPU, without weights, with the Frobenius or the "
                "Kullback–Leibler divergence alone; leave together=None."
            )
        self.X, self.divergence, self.numbers, self.seeds = X, divergence, tuple(numbers), seeds
        self.max_iter, self.tol, self.seed, self.fitted = max_iter, tol, seed, fitted
        small = can_together(X, divergence) and math.prod(X.shape) <= SMALL
        self.together = small if together is None else together
        self._fits: dict[int, Fits] = {}

    def __getitem__(self, n_components: int) -> Fits:
        if n_components not in self._fits:
            if self.together:
                self._fit_together(n_components)
            else:
                self._fits[n_components] = self._fit_in_turn(n_components)
        return self._fits[n_components]

    def forget(self, n_components: int) -> None:
        """Also of numbers that were never fitted: they will not be, beside others."""
        self._fits.pop(n_components, None)
        self.numbers = tuple(number for number in self.numbers if number != n_components)

    def beside(self, n_components: int) -> tuple[int, ...]:
        """The numbers whose fits are made in one go with those of this one, which is the first of them."""
        numbers, width = [n_components], n_components * self.seeds
        for number in self.numbers if self.together else ():
            if number in self._fits or number == n_components:
                continue
            width += number * self.seeds
            if width > WIDE:
                break
            numbers.append(number)
        return tuple(numbers)

    def _fit_in_turn(self, n_components: int) -> Fits:
        found = []
        for s in range(self.seeds):
            result = factorize(
                self.X,
                n_components,
                divergence=self.divergence,
                init="random",
                max_iter=self.max_iter,
                tol=self.tol,
                kkt_tol=None,
                check_every=EVERY,
                seed=self.seed + s,
            )
            if result.reason == "interrupted":
                raise KeyboardInterrupt
            found.append((Factorization(result.H, result.W), result.divergence_value))
            self.fitted(1)
        return _stacked(found)

    def _fit_together(self, n_components: int) -> None:
        """Also for as many of the numbers that are to come as go with it."""
        numbers = self.beside(n_components)
        unit = unit_of(self.X)
        X = self.X if unit == 1 else self.X.divided(unit)
        starts = [
            random(X, number, torch.Generator().manual_seed(self.seed + s))
            for number in numbers
            for s in range(self.seeds)
        ]
        found = [
            (
                Factorization(factors.H * math.sqrt(unit), factors.W * math.sqrt(unit)),
                float(self.divergence.total(X, factors)) * unit**self.divergence.beta,
            )
            for factors in fit_together(X, self.divergence, starts, self.max_iter, self.tol, self.fitted)
        ]
        for place, number in enumerate(numbers):
            self._fits[number] = _stacked(found[place * self.seeds : (place + 1) * self.seeds])


def _stacked(found: Sequence[tuple[Factorization, float]]) -> Fits:
    return Fits(
        torch.stack([factors.H for factors, _ in found]),
        torch.stack([factors.W for factors, _ in found]),
        torch.tensor([loss for _, loss in found], dtype=torch.float64),
    )


# Together ------------------------------------------------------------------------------------------------------------


def can_together(X: Matrix, divergence: Divergence) -> bool:
    """Dense, on the CPU, without weights, and a divergence with steps of its own."""
    plain = isinstance(X, DenseMatrix) and X.weights is None and X.device.type == "cpu"
    return plain and isinstance(divergence, Frobenius | KullbackLeibler)


def fit_together(
    X: Matrix,
    divergence: Divergence,
    starts: Sequence[Factorization],
    max_iter: int,
    tol: float,
    fitted: Callable[[int], None] = lambda count: None,
    relaxed: bool = True,
) -> list[Factorization]:
    """What `Solver(HALS())`, or `Solver(Multiplicative(divergence))`, makes of each start, whatever its n_components.

    Each stops for itself, as in `factorize`.
    relaxed: multiplicative steps are taken further than they would go, until D is seen to rise; see `multiply_starts`.
    """
    steps = _Sweeps(X) if isinstance(divergence, Frobenius) else _Multiplications(X)
    done: list[Factorization | None] = [None] * len(starts)
    going = list(range(len(starts)))
    H = np.concatenate([start.H.numpy().T for start in starts])
    W = np.concatenate([start.W.numpy() for start in starts])
    sizes = np.array([start.n_components for start in starts])
    losses, iteration = np.full(len(starts), np.inf), 0
    further = np.full(len(starts), relaxed)
    while going:
        first = np.concatenate([[0], np.cumsum(sizes)])
        count = min(EVERY, max_iter - iteration)
        use_threads(H.size * X.shape[1])
        steps.advance(H, W, first, further, count)
        iteration += count
        before, losses = losses, steps.losses(H, W, first)
        settled = before - losses <= tol * count * losses
        rose = further & ~(losses <= before)
        further &= ~rose
        stop = (tol > 0) & settled & ~rose | (iteration >= max_iter)
        if not stop.any():
            continue
        for place in np.flatnonzero(stop):
            rows = slice(first[place], first[place + 1])
            H_made, W_made = torch.from_numpy(H[rows].T.copy()), torch.from_numpy(W[rows].copy())
            done[going[place]] = Factorization(H_made, W_made)
        fitted(int(stop.sum()))
        rows = np.repeat(~stop, sizes)
        H, W, sizes, losses, further = H[rows], W[rows], sizes[~stop], losses[~stop], further[~stop]
        going = [start for start, stopped in zip(going, stop, strict=True) if not stopped]
    return [factors for factors in done if factors is not None]


class _Steps(ABC):
    """Of all starts: H is K × n and W K × m, and a start has the rows from `first` to the next one's."""

    @abstractmethod
    def advance(self, H: np.ndarray, W: np.ndarray, first: np.ndarray, further: np.ndarray, iterations: int) -> None:
        """In place; `further` are the starts that may go further than a step goes."""

    @abstractmethod
    def losses(self, H: np.ndarray, W: np.ndarray, first: np.ndarray) -> np.ndarray:
        """D(X | H W) of each start."""


class _Sweeps(_Steps):
    """HALS: one product with X for all starts, where each alone would have a thin one."""

    def __init__(self, X: Matrix):
        self.X, self.precise = X.numpy(), X.numpy().astype(np.float64)
        self.square_norm = float(X.square_norm)

    def advance(self, H: np.ndarray, W: np.ndarray, first: np.ndarray, further: np.ndarray, iterations: int) -> None:
        for _ in range(iterations):
            sweep_starts(H, W @ self.X.T, W, first)
            sweep_starts(W, H @ self.X, H, first)

    def losses(self, H: np.ndarray, W: np.ndarray, first: np.ndarray) -> np.ndarray:
        """½ (‖X‖² − 2 ⟨X, H W⟩ + ‖H W‖²) in float64, down to relative errors of 1e-6."""
        H, W = H.astype(np.float64), W.astype(np.float64)
        squares = np.empty(len(first) - 1)
        squares_of_starts(H, W, first, squares)
        products = np.add.reduceat(((H @ self.precise) * W).sum(1), first[:-1])
        return np.maximum(0.5 * (self.square_norm - 2 * products + squares), 0)


class _Multiplications(_Steps):
    """Steps of Kullback–Leibler: each start passes over X for itself, without temporaries of its size."""

    def __init__(self, X: Matrix):
        self.X, self.floor = X.numpy(), X.numpy().dtype.type(floor(X))
        self.constant = float(X.self_entropy - X.sum)

    def advance(self, H: np.ndarray, W: np.ndarray, first: np.ndarray, further: np.ndarray, iterations: int) -> None:
        multiply_starts(self.X, H, W, first, further, self.floor, iterations)

    def losses(self, H: np.ndarray, W: np.ndarray, first: np.ndarray) -> np.ndarray:
        totals = np.empty(len(first) - 1)
        cross_entropies_of_starts(self.X, H, W, first, self.floor, totals)
        return self.constant - totals

"""What takes part in a comparison, and what it is given."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from nmf_nets.criterion import PLAIN, Criterion, Terms
from nmf_nets.divergences.base import Divergence
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.part import part_name
from nmf_nets.penalties.base import PairPenalty
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Codes


@dataclass(frozen=True)
class Problem:
    """What every method is given, the same object for all: lower D(X | H W) + R_H(H) + R_W(Wᵀ) + R(H, W) with so
    many components.

    seed: for what a method draws itself.
    width: how many columns H may have, where the codes of n_components are spread over more of them (Decoder.spread);
    so many, or n_components.
    """

    X: Matrix
    divergence: Divergence
    n_components: int
    seed: int = 0
    on_H: Terms = PLAIN
    on_W: Terms = PLAIN
    width: int | None = None
    between: tuple[PairPenalty, ...] = ()

    @property
    def criterion(self) -> Criterion:
        return Criterion(self.divergence, self.on_H, self.on_W, self.between)

    @property
    def plain(self) -> bool:
        """Whether it is NMF of all of X and nothing else."""
        return not (self.criterion.penalised or self.X.signed or self.X.weights is not None)


@runtime_checkable
class Observer(Protocol):
    """What a method shows its factors to after an iteration, and asks whether to go on.

    factors: called off the clock, and only if this iteration is measured.
    """

    def __call__(self, factors: Callable[[], Factorization], iteration: int) -> bool: ...


Coder = Callable[[Matrix], Codes]
"""A method's own way to code rows that it has not seen, on the components where it stopped."""


class Method(ABC):
    """Something that makes factors. It never measures itself."""

    plain_only = True
    """Whether it knows neither penalties, nor weights of the data, nor negative entries."""

    takes_between = False
    """Whether it knows penalties on both factors at once."""

    @abstractmethod
    def refuse(self, problem: Problem, start: Factorization | None) -> None:
        """Raises Refusal for data, a divergence or a start that it cannot serve; nothing is given in its place.

        start: None asks for the method's own best start.
        """

    @abstractmethod
    def run(self, problem: Problem, start: Factorization | None, observe: Observer) -> Coder | None:
        """Iterates from the start, which is its own copy, until the observer says no or it has converged.

        start: None for its own best start, which it makes here, so that the clock sees it.
        Returns its own way to code unseen rows, if it has one.
        """


def refuse(method: Method, problem: Problem, start: Factorization | None) -> None:
    """Raises Refusal for what the method cannot serve."""
    if method.plain_only and not problem.plain:
        raise Refusal(f"{type(method).__name__} serves plain NMF alone, without penalties, weights and negative data.")
    for penalty in () if method.takes_between else problem.between:
        raise Refusal(f"{type(method).__name__} cannot heed {part_name(penalty)}, which is on both factors at once.")
    method.refuse(problem, start)

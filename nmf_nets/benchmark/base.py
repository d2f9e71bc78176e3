"""What takes part in a comparison, and what it is given."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from nmf_nets.divergences.base import Divergence
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.shapes import Codes


@dataclass(frozen=True)
class Problem:
    """What every method is given, the same object for all: lower D(X | H W) with so many components.

    seed: for what a method draws itself.
    """

    X: Matrix
    divergence: Divergence
    n_components: int
    seed: int = 0


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

"""What takes part in a comparison."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from nmf_nets.divergences.base import Divergence
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix


@runtime_checkable
class Observer(Protocol):
    """What a method shows its factors to after an iteration, and asks whether to go on.

    factors: called off the clock, and only if this iteration is measured.
    """

    def __call__(self, factors: Callable[[], Factorization], iteration: int) -> bool: ...


class Method(ABC):
    """Something that makes factors from a start. It never measures itself."""

    @abstractmethod
    def refuse(self, X: Matrix, divergence: Divergence) -> None:
        """Raises Refusal if it cannot serve these data or this divergence."""

    @abstractmethod
    def run(self, X: Matrix, start: Factorization, divergence: Divergence, observe: Observer) -> None:
        """Iterates from the start, which is its own copy, until the observer says no."""

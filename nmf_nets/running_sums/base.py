"""The interface of what is remembered of rows."""

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor

from nmf_nets.objective import Objective
from nmf_nets.shapes import Components


class RunningSums(ABC):
    """A model of D(X | H W) in W, quadratic, that is a sum over rows: it holds those of earlier batches as well."""

    @abstractmethod
    def fitted(self, objective: Objective, known: dict[str, Any]) -> Components:
        """W after the batch has taken the place of what was known of its rows.

        known: the sums, changed in place; empty before the first batch.
        """

    @abstractmethod
    def forget_(self, known: dict[str, Any], components: Tensor) -> None:
        """What the sums hold of these components."""

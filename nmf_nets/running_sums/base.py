"""The interface of what is remembered of rows."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from nmf_nets.objective import Objective
from nmf_nets.shapes import Components

FORGETFUL_PASSES = 2
"""Over rows, in which a batch counts more than those before it: their codes were made when W was worse."""

WINDOW = 64
"""Rows for each component that weigh in a forgetful pass at least, however small the batches."""

LARGE = 1e6
"""A weight beyond it becomes the unit."""


@dataclass(frozen=True)
class RunningSums(ABC):
    """A model of D(X | H W) in W, quadratic, that is a sum over rows: it holds those of earlier batches as well.

    repeats: steps over the model after each batch.
    memory: what rows that were seen before still weigh at each batch, beside those of the batch: of a stream, and in
    the first passes over the rows of a training matrix. Later all rows weigh the same.
    """

    repeats: int
    memory: float

    @abstractmethod
    def fitted(self, objective: Objective, known: dict[str, Any]) -> Components:
        """W after the batch has taken the place of what was known of its rows.

        known: the sums, changed in place; empty before the first batch.
        """

    @abstractmethod
    def forget_(self, known: dict[str, Any], components: Tensor) -> None:
        """What the sums hold of these components."""

    def count(self, objective: Objective, known: dict[str, Any]) -> bool:
        """Whether a new pass over the rows begins. known["weight"] becomes what the rows of the batch weigh: it grows,
        and the sums are left as they are, as the minimum does not depend on their unit.
        """
        known.setdefault("weight", 1.0)
        n_rows, n = objective.n_rows, objective.X.shape[0]
        begins = False
        if objective.rows is not None and n_rows is not None:
            seen, passes = known.get("seen", 0), known.get("passes", 0)
            begins = seen + n > n_rows
            known["seen"], known["passes"] = (n, passes + 1) if begins else (seen + n, passes)
        if objective.rows is None:
            known["weight"] /= self.memory
        elif n_rows is not None and n < n_rows and known["passes"] < FORGETFUL_PASSES:
            known["weight"] /= max(self.memory, 1 - n / (WINDOW * objective.factors.n_components))
        return begins

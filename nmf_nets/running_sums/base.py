"""The interface of what is remembered of rows."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from nmf_nets.criterion import Terms
from nmf_nets.matrix import Matrix
from nmf_nets.objective import Objective
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Components

FORGETFUL_PASSES = 2
"""Over rows, in which a batch counts more than those before it: their codes were made when W was worse."""

WINDOW = 64
"""Rows for each component that weigh in a forgetful pass at least, however small the batches."""

LARGE = 1e6
"""A weight beyond it becomes the unit."""


@dataclass(frozen=True)
class RunningSums(ABC):
    """A model of D(X | H W) in W that is a sum over rows: it holds those of earlier batches as well.

    repeats: steps over the model after each batch.
    memory: what rows that were seen before still weigh at each batch, beside those of the batch: of a stream, and in
    the first passes over the rows of a training matrix. Later all rows weigh the same.
    aging: at batch t of a stream they weigh no more than (1 − 1/t)^aging, so that the codes of the first batches, made
    when W was worse, are soon forgotten, and the more is remembered the longer the stream is; 0 leaves it to memory.
    """

    repeats: int
    memory: float
    aging: float

    replaces = True
    """Whether rows that are seen again take the place of what was known of them, or are added to it as a stream is."""

    takes_weights = False
    """Whether data may have weights."""

    takes_penalties = False
    """Whether W may have penalties; each batch then brings its part of them."""

    def __post_init__(self) -> None:
        if not 0 < self.memory <= 1:
            raise Refusal(f"memory is {self.memory}, but must be above 0, and at most 1, which forgets nothing.")
        if not 0 <= self.aging < float("inf"):
            raise Refusal(f"aging is {self.aging}, but must be 0, which leaves it to memory, or above.")

    @abstractmethod
    def fitted(self, objective: Objective, known: dict[str, Any]) -> Components:
        """W after the batch has taken the place of what was known of its rows.

        known: the sums, changed in place; empty before the first batch.
        """

    @abstractmethod
    def forget_(self, known: dict[str, Any], components: Tensor) -> None:
        """What the sums hold of these components."""

    def refuse(self, objective: Objective) -> None:
        """Raises Refusal for what the sums cannot heed."""
        self.refuse_terms(objective.on_W)
        self.refuse_data(objective.X)

    def refuse_terms(self, on_W: Terms) -> None:
        """Raises Refusal for penalties on W that the sums cannot heed."""
        if on_W.penalties and not self.takes_penalties:
            raise Refusal(
                "running sums know no penalties on W, but for the multiplicative ones; use update=multiplicative, or "
                "optimizer=block on full batches."
            )

    def refuse_data(self, X: Matrix) -> None:
        """Raises Refusal for weights that the sums cannot heed."""
        if X.weights is not None and not self.takes_weights:
            raise Refusal(
                f"{type(self).__name__} cannot heed weights of X; use update=multiplicative, whose sums do, or "
                "optimizer=block on full batches."
            )

    def count(self, objective: Objective, known: dict[str, Any]) -> bool:
        """Whether a new pass over the rows begins. known["weight"] becomes what the rows of the batch weigh: it grows,
        and the sums are left as they are, as the minimum does not depend on their unit.
        """
        known.setdefault("weight", 1.0)
        known["batches"] = known.get("batches", 0) + 1
        n_rows, n = objective.n_rows, objective.X.shape[0]
        begins = False
        if objective.rows is not None and n_rows is not None:
            seen, passes = known.get("seen", 0), known.get("passes", 0)
            begins = seen + n > n_rows
            known["seen"], known["passes"] = (n, passes + 1) if begins else (seen + n, passes)
        known["weight"] /= self._left(objective, known)
        return begins

    def _left(self, objective: Objective, known: dict[str, Any]) -> float:
        """What rows that were seen before weigh from now on."""
        n_rows, n, t = objective.n_rows, objective.X.shape[0], known["batches"]
        if objective.rows is None or (n_rows is None and not self.replaces):
            return self.memory if t == 1 else min(self.memory, (1 - 1 / t) ** self.aging)
        if n_rows is None or n == n_rows:
            return 1.0
        if known["passes"] < FORGETFUL_PASSES:
            return max(self.memory, 1 - n / (WINDOW * objective.factors.n_components))
        return 1.0 if self.replaces else 1 - n / n_rows

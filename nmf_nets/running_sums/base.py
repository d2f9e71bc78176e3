"""The interface of what is remembered of rows."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

import torch
from torch import Tensor

from nmf_nets.criterion import Terms
from nmf_nets.matrix import Matrix
from nmf_nets.objective import Objective
from nmf_nets.part import part_name
from nmf_nets.penalties.base import EntryPenalty, Penalty
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Components

FORGETFUL_PASSES = 2
"""Over rows, in which a batch counts more than those before it: their codes were made when W was worse."""

WINDOW = 64
"""Rows for each component that weigh in a forgetful pass at least, however small the batches."""

LARGE = 1e6
"""A weight beyond it becomes the unit."""

AGED = 64
"""The most aging: beside the second batch the first then weighs 2^−64, less than any rounding."""


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

    over_ranks = True
    """Whether batches may be spread over ranks."""

    takes: ClassVar[type[Penalty]] = EntryPenalty
    """The kind of penalties on W that they heed; each batch brings its part of them."""

    def __post_init__(self) -> None:
        if not (isinstance(self.memory, Real) and 0 < self.memory <= 1):
            raise Refusal(f"memory is {self.memory!r}, but must be above 0, and at most 1, which forgets nothing.")
        if not (isinstance(self.aging, Real) and 0 <= self.aging <= AGED):
            raise Refusal(f"aging is {self.aging!r}, but must be 0, which leaves it to memory, or above, up to {AGED}.")

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
        self.refuse_ranks(objective.group.size)

    def refuse_ranks(self, ranks: int) -> None:
        """Raises Refusal for several, if what is remembered cannot be spread over them."""
        if ranks > 1 and not self.over_ranks:
            raise Refusal(
                f"optimizer=online cannot spread {type(self).__name__} over {ranks} processes; use "
                "update=multiplicative, whose sums can be, optimizer=block on full batches, or one process."
            )

    def refuse_terms(self, on_W: Terms) -> None:
        """Raises Refusal for penalties on W that the sums cannot heed."""
        for penalty in on_W.penalties:
            if not isinstance(penalty, self.takes):
                raise Refusal(
                    f"running sums know no penalties on W but l1 and l2, and not {part_name(penalty)}; use "
                    "update=multiplicative, whose sums know any, or optimizer=block on full batches."
                )

    def coefficients(self, objective: Objective, known: dict[str, Any]) -> tuple[float, float]:
        """(λ₁, λ₂) of the penalties beside all rows that are summed, those of this batch among them; after `count`,
        once a batch. known["penalty"] holds them for a stream, known["weights"] what each row of a training matrix
        weighs.
        """
        linear, ridge = objective.on_W.coefficients
        if not linear and not ridge:
            return 0.0, 0.0
        weight, rows = known["weight"], objective.rows
        if rows is None:
            known["penalty"] += weight * torch.tensor(objective.terms_W.coefficients)
            return float(known["penalty"][0]), float(known["penalty"][1])
        of_rows = known["weights"]
        own = slice(*objective.group.span(len(of_rows)))
        (mass,) = objective.group.summed(of_rows[own].sum() - of_rows[rows].sum() + weight * len(rows))
        mass = float(mass) / (objective.n_rows or len(of_rows))
        return mass * linear, mass * ridge

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
        n_rows, n = objective.n_rows, objective.n_samples
        begins = False
        if objective.rows is not None and n_rows is not None:
            seen, passes = known.get("seen", 0), known.get("passes", 0)
            begins = seen + n > n_rows
            known["seen"], known["passes"] = (n, passes + 1) if begins else (seen + n, passes)
        known["weight"] /= self._left(objective, known)
        return begins

    def _left(self, objective: Objective, known: dict[str, Any]) -> float:
        """What rows that were seen before weigh from now on."""
        n_rows, n, t = objective.n_rows, objective.n_samples, known["batches"]
        if objective.rows is None or (n_rows is None and not self.replaces):
            return self.memory if t == 1 else min(self.memory, (1 - 1 / t) ** self.aging)
        if n_rows is None or n == n_rows:
            return 1.0
        if known["passes"] < FORGETFUL_PASSES:
            return max(self.memory, 1 - n / (WINDOW * objective.factors.n_components))
        return 1.0 if self.replaces else 1 - n / n_rows

"""The interface of a criterion for the number of components."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from nmf_nets.restarts import Restarts


@dataclass(frozen=True)
class Judgement:
    """What a criterion finds of one number of components; nothing but numbers, as it is kept in a file.

    values: of the score, one for each repeat, fold or subset of the starts; the repeat r of one number of components
        is that of another. Of a criterion that judges once, one for each component, falling.
    figures: further columns of the table.
    arrays: what is drawn or handed on besides, by name: `components`, `consensus`.
    """

    values: np.ndarray
    figures: Mapping[str, float] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def score(self) -> float:
        return float(self.values.mean())

    @property
    def standard_error(self) -> float:
        """Of the mean, as if repeats were independent; NaN for a single one."""
        count = len(self.values)
        return float(self.values.std(ddof=1)) / count**0.5 if count > 1 else float("nan")


@dataclass(frozen=True)
class Choice:
    """What a criterion makes of its judgements.

    n_components: None where it cannot tell: the numbers that were tried do not differ, say.
    sureness: from 0 to 1, the part of the repeats that would choose the same.
    sentence: why, without the number: "the cophenetic correlation falls from 0.988 to 0.954 after it".
    """

    n_components: int | None
    sureness: float
    sentence: str


class Selector(ABC):
    """A criterion for the number of components."""

    score: str
    """What its score is, as an axis says it."""

    once = False
    """Whether it judges the largest number alone, and chooses from that."""

    @abstractmethod
    def judge(self, restarts: Restarts, n_components: int, generator: torch.Generator) -> Judgement:
        """restarts: the data, the divergence, and the fits that criteria share.

        generator: begins alike for every number of components, so that folds that are drawn first are the same.
        """

    @abstractmethod
    def choose(self, judgements: Mapping[int, Judgement]) -> Choice:
        """From the judgements of at least one number of components, in rising order; of one alone if it judges once."""


def agreement(choices: Sequence[int | None], chosen: int | None) -> float:
    """The part of the repeats that choose as all of them together do."""
    return sum(choice == chosen for choice in choices) / len(choices)

"""The interface of a criterion for the number of components."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch

from nmf_nets.restarts import Restarts


@dataclass(frozen=True)
class Judgement:
    """What a criterion finds of one number of components; nothing but numbers, as it is kept in a file.

    values: of the score, one for each repeat, fold or subset of the starts; the repeat r of one number of components
        is that of another. Of a criterion that judges once, one for each component, falling.
    whole: the score of all repeats together, where that is not the mean of the values.
    figures: further columns of the table.
    arrays: what is drawn or handed on besides, by name: `components`, `consensus`.
    """

    values: np.ndarray
    whole: float | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def score(self) -> float:
        return float(self.values.mean()) if self.whole is None else self.whole

    @property
    def spread(self) -> float:
        """Standard deviation over the repeats; 0 for a single one."""
        return float(self.values.std(ddof=1)) if len(self.values) > 1 else 0.0


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

    better: Literal["high", "low"] = "high"
    """Which scores are good."""

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


Curve = Mapping[int, float]
"""The score of each number of components, in rising order."""


def agreement(rule: Callable[[Curve], int | None], judgements: Mapping[int, Judgement]) -> float:
    """The part of the repeats from whose own scores the rule chooses what it does from the scores of all."""
    chosen = rule({number: judgement.score for number, judgement in judgements.items()})
    repeats = min(len(judgement.values) for judgement in judgements.values())
    curves = ({n: float(judgement.values[r]) for n, judgement in judgements.items()} for r in range(repeats))
    return sum(rule(curve) == chosen for curve in curves) / repeats


def subsets(seeds: int, generator: torch.Generator, count: int = 10) -> list[torch.Tensor]:
    """Halves of the starts, drawn at random, for criteria that judge all starts together; no less than two in each."""
    size = min(seeds, max(2, seeds // 2))
    return [torch.randperm(seeds, generator=generator)[:size].sort().values for _ in range(count)]

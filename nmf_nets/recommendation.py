"""What several criteria say together."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from nmf_nets.pages.table import Table
from nmf_nets.selection.base import Choice

SURE, FAIRLY_SURE = 0.8, 0.6
"""Least support of these words."""


@dataclass(frozen=True)
class Recommendation:
    """The number of components with the greatest support, of equals the smaller; None where no criterion can tell.

    choices: of each criterion, by its name. tried: the numbers of components, rising.
    """

    choices: Mapping[str, Choice]
    tried: tuple[int, ...]

    @property
    def supports(self) -> dict[int, float]:
        """Of each number that was chosen, falling: the sum of sureness of those that chose it, by how many there are.

        So a criterion that cannot tell counts against all of them.
        """
        found: dict[int, float] = {}
        for choice in self.choices.values():
            if choice.n_components is not None:
                share = choice.sureness / len(self.choices)
                found[choice.n_components] = found.get(choice.n_components, 0.0) + share
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))

    @property
    def n_components(self) -> int | None:
        return next(iter(self.supports), None)

    @property
    def support(self) -> float:
        return next(iter(self.supports.values()), 0.0)

    @property
    def sentence(self) -> str:
        """Also who disagrees, and whether more should be tried."""
        chosen = self.n_components
        if chosen is None:
            return f"no recommendation: none of {_counted(self.choices)} can tell among {_spelled(self.tried)}."
        agreeing = [name for name, choice in self.choices.items() if choice.n_components == chosen]
        word = "sure" if self.support >= SURE else "fairly sure" if self.support >= FAIRLY_SURE else "not sure"
        parts = [
            f"n_components = {chosen}: {len(agreeing)} of {_counted(self.choices)} say so ({', '.join(agreeing)})",
            *(
                f"{name} {'cannot tell' if choice.n_components is None else f'says {choice.n_components}'}"
                for name, choice in self.choices.items()
                if choice.n_components != chosen
            ),
            f"support {self.support:.2f}, {word}",
        ]
        if chosen == self.tried[-1]:
            parts.append("it is the largest that was tried: try more")
        return "; ".join(parts) + "."

    def table(self) -> Table:
        frame = pd.DataFrame(
            [
                {
                    "criterion": name,
                    "n_components": "—" if choice.n_components is None else str(choice.n_components),
                    "sureness": choice.sureness,
                    "why": choice.sentence,
                }
                for name, choice in self.choices.items()
            ]
        )
        note = "sureness: the part of the repeats, or of random halves of the starts, that say the same."
        return Table("choices", "What each criterion says", frame, {"sureness": "{:.2f}"}, note)


def _counted(choices: Mapping[str, Choice]) -> str:
    return f"{len(choices)} {'criterion' if len(choices) == 1 else 'criteria'}"


def _spelled(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers))

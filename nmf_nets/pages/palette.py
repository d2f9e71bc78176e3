"""How a method is drawn, everywhere the same."""

from collections.abc import Iterable
from dataclasses import dataclass

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7b5ea7", "#8c6d31")
"""Okabe and Ito's, which all can tell apart, on white and on black; the last two are added."""

DASHES = (("-", "solid"), ("--", "dash"), (":", "dot"), ("-.", "dashdot"))


@dataclass(frozen=True)
class Style:
    """A color, and a dash in the words of matplotlib and of plotly."""

    color: str
    line: str
    dash: str


def styles(methods: Iterable[str]) -> dict[str, Style]:
    """By the order of names; more methods than colors are told apart by dashes."""
    return {
        method: Style(COLORS[number % len(COLORS)], *DASHES[number // len(COLORS) % len(DASHES)])
        for number, method in enumerate(dict.fromkeys(methods))
    }

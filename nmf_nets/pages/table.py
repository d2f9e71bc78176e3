"""One table in every form that it is asked for in."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pandas as pd
from rich import box
from rich.markup import escape
from rich.table import Table as RichTable

Frame = Any
"""A pandas frame; by pandas's own annotations nearly everything could be a Series too."""

Form = str | Callable[[float], str]
"""A format, or what writes a value."""

LONG = 30
"""Characters of a text that a terminal may break."""


@dataclass(frozen=True)
class Table:
    """A frame of raw values, and how its columns are written; text stands left, numbers right.

    about: the task and the track, if it is of one.
    """

    name: str
    title: str
    frame: Frame
    formats: Mapping[Any, Form] = field(default_factory=dict)
    caption: str = ""
    about: tuple[str, str] | None = None

    @property
    def cells(self) -> list[list[str]]:
        return [
            [_written(value, self.formats.get(column, "{}")) for column, value in row.items()]
            for row in self.frame.to_dict("records")
        ]

    @property
    def rows(self) -> Iterator[tuple[str | None, list[tuple[str, str, bool]]]]:
        """Of each row the method, if it has one, and of each cell the text, what it sorts by, whether it is text."""
        is_text = [self.is_text(column) for column in self.frame.columns]
        for texts, values in zip(self.cells, self.frame.itertuples(index=False, name=None), strict=True):
            method = values[0] if self.frame.columns[0] == "method" else None
            yield method, list(zip(texts, map(sortable, values), is_text, strict=True))

    def is_text(self, column: str) -> bool:
        return not (pd.api.types.is_numeric_dtype(self.frame[column]) or column in self.formats)

    def rich(self) -> RichTable:
        table = RichTable(
            title=escape(self.title),
            caption=escape(self.caption),
            box=box.SIMPLE_HEAD,
            pad_edge=False,
            title_justify="left",
            caption_justify="left",
        )
        for column in self.frame.columns:
            long = self.frame[column].map(lambda value: len(str(value))).max() > LONG
            table.add_column(escape(column), justify="left" if self.is_text(column) else "right", no_wrap=not long)
        for row in self.cells:
            table.add_row(*map(escape, row))
        return table

    def csv(self) -> str:
        return self.frame.to_csv(index=False)

    @property
    def href(self) -> str:
        """The CSV, as a link that asks for nothing."""
        return f"data:text/csv;charset=utf-8,{quote(self.csv())}"

    def markdown(self) -> str:
        rule = [":--" if self.is_text(column) else "--:" for column in self.frame.columns]
        lines = [list(self.frame.columns), rule, *self.cells]
        text = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
        return f"**{self.title}**\n\n{text}\n\n{self.caption}\n"

    def latex(self) -> str:
        """A booktabs table."""
        frame: Frame = pd.DataFrame(self.cells, columns=self.frame.columns)
        style = frame.style.hide(axis="index").format(escape="latex").format_index(escape="latex", axis=1)
        columns = "".join("l" if self.is_text(column) else "r" for column in self.frame.columns)
        return style.to_latex(
            hrules=True, column_format=columns, caption=_tex(f"{self.title}. {self.caption}"), label=f"tab:{self.name}"
        )


def sortable(value: Any) -> str:
    """As JavaScript reads it; empty if missing."""
    if isinstance(value, str):
        return value
    return "" if pd.isna(value) else str(value).replace("inf", "Infinity")


def _written(value: Any, form: Form) -> str:
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "—"
    if isinstance(value, float) and math.isinf(value):
        return "never"
    return form.format(value) if isinstance(form, str) else form(value)


def _tex(text: str) -> str:
    for sign in "\\&%$#_{}":
        text = text.replace(sign, {"\\": r"\textbackslash "}.get(sign, "\\" + sign))
    return text

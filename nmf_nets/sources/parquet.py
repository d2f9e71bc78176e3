"""Tables in row groups."""

from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import torch

from nmf_nets.as_matrix import target_dtype, torch_dtype
from nmf_nets.contents import reading
from nmf_nets.refusal import Refusal
from nmf_nets.sources.base import Source


class Parquet(Source):
    """The rows of a table whose columns are features.

    A row group is read as a whole, and the last one is kept, as its rows may be asked for in several blocks: memory
    holds one besides the blocks.
    Raises Refusal for columns that are not numbers.
    """

    def __init__(self, file: pyarrow.parquet.ParquetFile, dtype: torch.dtype | None = None, name: str = "X"):
        schema = file.schema_arrow
        index = [
            column for column in (schema.pandas_metadata or {}).get("index_columns", []) if isinstance(column, str)
        ]
        self.columns = [column for column in schema.names if column not in index]
        for column in self.columns:
            kind = schema.field(column).type
            if not (
                pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind) or pyarrow.types.is_boolean(kind)
            ):
                raise Refusal(f"{name} must hold numbers, but column {column!r} is of type {kind}; drop or encode it.")
        kinds = [np.dtype(schema.field(column).type.to_pandas_dtype()) for column in self.columns]
        self.stored = target_dtype(np.result_type(*kinds) if kinds else np.dtype(float), dtype)
        shape = (file.metadata.num_rows, len(self.columns))
        super().__init__(shape, torch_dtype(self.stored), False, name, tuple(self.columns))
        self.file = file
        heights = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        self._starts = np.concatenate([[0], np.cumsum(heights)])
        self._held: tuple[int, np.ndarray] = (-1, np.empty((0, shape[1]), self.stored))

    def read(self, start: int, stop: int) -> np.ndarray:
        first, last = np.searchsorted(self._starts, [start, stop - 1], side="right") - 1
        parts = []
        for group in range(first, last + 1):
            begins = self._starts[group]
            parts.append(self._group(group)[max(0, start - begins) : stop - begins])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def values_in(self, start: int, stop: int) -> int:
        return (stop - start) * self.shape[1]

    def _group(self, group: int) -> np.ndarray:
        held, values = self._held
        if held != group:
            table = self.file.read_row_group(group, self.columns, use_threads=False)
            values = np.empty((table.num_rows, self.shape[1]), self.stored)
            with np.errstate(over="ignore"):  # what overflows is infinite, and refused with its place
                for j, column in enumerate(table.columns):
                    values[:, j] = column.to_numpy()
            self._held = group, values
        return values


def open_parquet(path: Path, key: str | None = None, dtype: torch.dtype | None = None) -> Parquet:
    """The rows of a .parquet file."""
    with reading(path, "parquet"):
        return Parquet(pyarrow.parquet.ParquetFile(path), dtype, str(path))

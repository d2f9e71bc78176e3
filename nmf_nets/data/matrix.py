"""The user's own file."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nmf_nets.contents import Contents, contents_of
from nmf_nets.data.base import TableDataModule
from nmf_nets.refusal import Refusal


class MatrixFile(TableDataModule):
    """A matrix with samples as rows from .npy, .npz (dense or scipy sparse), .mtx, .csv, .tsv, .parquet, .zarr, HDF5
    (.h5, .hdf5), IDX (-ubyte).

    .npz, .zarr and HDF5 give the array named X, or the only two-dimensional one; beside it they may hold `labels` (a
    class for every sample, or its number among `label_names`), `feature_names` or `vocabulary`, `sample_names`, and
    `image_shape`. Groups of data, indices, indptr and shape are sparse matrices, those of 10x Genomics with their cells
    as samples. Tables may have a header of feature names. An IDX file of images (MNIST's) brings its shape, and labels
    from the file that is named like it.
    key: which array, of .npz, .zarr and HDF5.
    index_column: of a table, the column that names the samples, by its own name or its place from 0.
    transpose: for files with samples as columns; the index column then names the features.
    image_shape: (height, width), where a row is an image.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        key: str | None = None,
        index_column: str | int | None = None,
        transpose: bool = False,
        image_shape: Sequence[int] | None = None,
        **table: Any,
    ):
        super().__init__(path, **table)
        self.key, self.index_column, self.transpose = key, index_column, transpose
        self.image_shape = (image_shape[0], image_shape[1]) if image_shape else None

    def contents(self, path: Path) -> Contents:
        found = self._with_samples_as_rows(path, self.key)
        m = found.X.shape[-1]
        if self.image_shape and math.prod(self.image_shape) != m:
            raise Refusal(f"data.image_shape is {self.image_shape}, but {path} has {m} features.")
        return replace(found, image_shape=self.image_shape or found.image_shape)

    def weights_in(self, path: Path) -> Contents:
        return self._with_samples_as_rows(path, None)

    def _with_samples_as_rows(self, path: Path, key: str | None) -> Contents:
        found = contents_of(path, key, self.index_column)
        return found.T if self.transpose else found

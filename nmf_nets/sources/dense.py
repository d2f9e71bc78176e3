"""A dense array whose rows can be sliced."""

from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

from nmf_nets.as_matrix import refuse_kind, refuse_shape, target_dtype, torch_dtype
from nmf_nets.contents import refuse_objects
from nmf_nets.sources.base import Source


@runtime_checkable
class Sliced(Protocol):
    """An array on disk: of numpy's format, of h5py or of zarr."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype: ...

    def __getitem__(self, part: slice) -> Any: ...


class Dense(Source):
    """The rows of an array that is read by slices."""

    def __init__(
        self,
        array: Sliced,
        dtype: torch.dtype | None = None,
        name: str = "X",
        feature_names: tuple[str, ...] | None = None,
    ):
        refuse_objects(array)
        refuse_kind(array.dtype, name)
        refuse_shape(array.shape, name)
        n, m = array.shape
        super().__init__((n, m), torch_dtype(target_dtype(array.dtype, dtype)), False, name, feature_names)
        self.array = array

    def read(self, start: int, stop: int) -> np.ndarray:
        return self.array[start:stop]

    def values_in(self, start: int, stop: int) -> int:
        return (stop - start) * self.shape[1]

"""The data matrix, dense or sparse."""

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any
from weakref import ref

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from nmf_nets.shapes import PerSample, Rows, Scalar
from nmf_nets.sparse_product import sparse_product

# Said once a process, to users who did not choose torch's CSR; what of it is used here is tested here.
warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta state", UserWarning)


@dataclass(frozen=True)
class Whole:
    """What scales and costs are measured by: the shape, the number of values that are stored, Σ v |x| in float64, and
    Σ v, or how many entries there are.
    """

    shape: tuple[int, int]
    n_values: int
    total: Scalar
    mass: float | Scalar

    @property
    def T(self) -> "Whole":
        return replace(self, shape=(self.shape[1], self.shape[0]))


class Matrix(ABC):
    """X, finite, of shape (n_samples, n_features); its `values` are all entries or the stored ones.

    Non-negative, unless the door was opened for semi-NMF.

    weights: v ≥ 0 where `values` are, D = Σ v d(x | x̂); what is not stored was then not observed. None counts every
    entry once, and what is not stored is zero.

    The divergences and updates are written in `@`, `sample`, `with_values`, `columns` and `row_sum`, so that
    one text serves both kinds and nothing sparse becomes dense.
    """

    values: Tensor
    weights: Tensor | None
    part_of: Whole | None = None
    """What these are some rows of: of a batch that ranks share, or of a matrix that is read in blocks. None where they
    are all.
    """

    _back: "ref[Matrix] | None" = None
    """To what this is the transpose of, and is kept by; not to keep it, or the two would outlive their last use until
    the next collection of garbage, which does not see how large they are."""

    @property
    def _made_of(self) -> "Matrix | None":
        return None if self._back is None else self._back()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_back"}

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]: ...

    @property
    @abstractmethod
    def T(self) -> "Matrix":
        """Xᵀ; made once and kept."""

    @abstractmethod
    def __matmul__(self, D: Tensor) -> Tensor:
        """X D, dense; differentiable in D."""

    @abstractmethod
    def product_of(self, values: Tensor, D: Tensor) -> Tensor:
        """V D, dense, of numbers V that lie where `values` are; differentiable in them, D is constant."""

    @abstractmethod
    def sample(self, H: Tensor, W: Tensor) -> Tensor:
        """(H W) where `values` are, in O(r) work for each value."""

    @abstractmethod
    def with_values(self, values: Tensor) -> "Matrix":
        """The same pattern with other values, without weights."""

    @abstractmethod
    def divided(self, by: float) -> "Matrix":
        """X / by, with its weights."""

    @abstractmethod
    def columns(self, w: Tensor) -> Tensor:
        """w_j where `values` are."""

    @abstractmethod
    def of_rows(self, h: Tensor) -> Tensor:
        """h_i where `values` are."""

    @abstractmethod
    def row_sum(self, values: Tensor) -> PerSample:
        """The sum over each row of numbers that lie where `values` are."""

    @property
    @abstractmethod
    def row_lengths(self) -> Tensor:
        """How many values each row has."""

    @abstractmethod
    def row_max(self, values: Tensor) -> PerSample:
        """The largest in each row of non-negative numbers that lie where `values` are; 0 for an empty row."""

    @abstractmethod
    def rows(self, index: Rows) -> "Matrix": ...

    @abstractmethod
    def span(self, start: int, stop: int) -> "Matrix":
        """Rows start … stop − 1."""

    @abstractmethod
    def dense(self) -> Tensor:
        """All entries as a tensor: for one block at a time, never for a whole sparse matrix."""

    @abstractmethod
    def numpy(self) -> Any:
        """As other libraries take it, on the host: an array in row order, or scipy's CSR; shared where possible."""

    @abstractmethod
    def to(self, *args: Any) -> "Matrix":
        """In another dtype or on another device; itself where nothing changes, so that its transpose is kept."""

    @abstractmethod
    def detach(self) -> "Matrix":
        """Without the graph of its values; itself where they have none."""

    @property
    def dtype(self) -> torch.dtype:
        return self.values.dtype

    @property
    def device(self) -> torch.device:
        return self.values.device

    @property
    def is_sparse(self) -> bool:
        return self.values.dim() == 1

    @property
    def given_weights(self) -> Tensor:
        """The weights of a matrix that has some."""
        assert self.weights is not None
        return self.weights

    @cached_property
    def signed(self) -> bool:
        """Whether some entry is negative, as only semi-NMF admits."""
        return bool((self.values < 0).any())

    @cached_property
    def mass(self) -> float | Scalar:
        """How many entries count: n m, or Σ v in float64."""
        return float(math.prod(self.shape)) if self.weights is None else self.weights.sum(dtype=torch.float64)

    @cached_property
    def sum(self) -> Scalar:
        """Σ v x in float64."""
        return self._summed(lambda x: x)

    @cached_property
    def square_norm(self) -> Scalar:
        """Σ v x² in float64."""
        return self._summed(torch.square)

    @cached_property
    def self_entropy(self) -> Scalar:
        """Σ v x log x in float64, with 0 log 0 = 0."""
        return self._summed(lambda x: torch.xlogy(x, x))

    @cached_property
    def row_totals(self) -> Tensor:
        """Σ_j x_ij as a column; weights do not count."""
        return self @ self.values.new_ones(self.shape[1], 1)

    def _summed(self, of: Callable[[Tensor], Tensor]) -> Scalar:
        """Σ v f(x) in float64, a few rows or values at a time: a copy in float64 would be twice the data."""
        values, weights = self.values, self.weights
        width = max(1, 2**18 * len(values) // max(1, values.numel()))
        parts = [values.new_zeros((), dtype=torch.float64)]
        for start in range(0, len(values), width):
            part = slice(start, start + width)
            found = of(values[part].double())
            parts.append((found if weights is None else weights[part] * found).sum())
        return torch.stack(parts).sum()

    @cached_property
    def whole(self) -> Whole:
        """Of what these are some rows of, or of themselves."""
        if self.part_of is not None:
            return self.part_of
        total = self._summed(torch.abs) if self.signed else self.sum
        return Whole(self.shape, self.values.numel(), total, self.mass)

    @cached_property
    def mean(self) -> Scalar:
        """Σ v |x| / Σ v over all entries, stored or not, in the dtype of X: the scale of the data; 0 if none counts. Of
        the whole batch, where this is a part of one.
        """
        return (self.whole.total / (self.whole.mass or 1.0)).to(self.dtype)

    def among(self, whole: Whole) -> "Matrix":
        """Itself, as rows of a larger matrix: scale and floor of X̂ must not depend on which of them are at hand."""
        self.part_of = whole
        return self

    def blocks(self, entries: int = 2**22) -> Iterator[tuple[slice, "Matrix"]]:
        """Consecutive rows with about so many values in each block."""
        n = self.shape[0]
        height = max(1, entries * n // max(1, self.values.numel()))
        for start in range(0, n or 1, height):  # of no rows, one block without any
            stop = min(n, start + height)
            yield slice(start, stop), self.span(start, stop)


class DenseMatrix(Matrix):
    """A tensor of shape (n_samples, n_features), which may be what an earlier layer of a larger network made."""

    def __init__(self, values: Tensor, weights: Tensor | None = None):
        self.values, self.weights = values, weights
        self._transpose: DenseMatrix | None = None

    @property
    def shape(self) -> tuple[int, int]:
        return self.values.shape[0], self.values.shape[1]

    @property
    def T(self) -> "DenseMatrix":
        made_of = self._made_of
        if isinstance(made_of, DenseMatrix):
            return made_of
        if self._transpose is None:
            self._transpose = DenseMatrix(self.values.T, None if self.weights is None else self.weights.T)
            self._transpose._back = ref(self)
            self._transpose.part_of = self.part_of and self.part_of.T
        return self._transpose

    def __matmul__(self, D: Tensor) -> Tensor:
        return (D.mT @ self.values.mT).mT  # BLAS is up to five times faster with thin D where it comes first

    def product_of(self, values: Tensor, D: Tensor) -> Tensor:
        return (D.detach().mT @ values.mT).mT

    def sample(self, H: Tensor, W: Tensor) -> Tensor:
        return H @ W

    def with_values(self, values: Tensor) -> "DenseMatrix":
        return DenseMatrix(values)

    def divided(self, by: float) -> "DenseMatrix":
        return DenseMatrix(self.values / by, self.weights)

    def columns(self, w: Tensor) -> Tensor:
        return w.expand(self.shape)

    def of_rows(self, h: Tensor) -> Tensor:
        return h[:, None]

    def row_sum(self, values: Tensor) -> PerSample:
        return values.sum(1)

    @property
    def row_lengths(self) -> Tensor:
        return torch.full(self.shape[:1], self.shape[1], device=self.device)

    def row_max(self, values: Tensor) -> PerSample:
        return values.amax(1) if values.shape[1] else values.new_zeros(len(values))

    def rows(self, index: Rows) -> "DenseMatrix":
        return DenseMatrix(self.values[index], None if self.weights is None else self.weights[index])

    def span(self, start: int, stop: int) -> "DenseMatrix":
        return DenseMatrix(self.values[start:stop], None if self.weights is None else self.weights[start:stop])

    def dense(self) -> Tensor:
        return self.values

    def numpy(self) -> np.ndarray:
        return np.ascontiguousarray(self.values.cpu().numpy())

    def to(self, *args: Any) -> "DenseMatrix":
        values = self.values.to(*args)
        if values is self.values:
            return self
        return DenseMatrix(values, None if self.weights is None else self.weights.to(*args))

    def detach(self) -> "DenseMatrix":
        return DenseMatrix(self.values.detach(), self.weights) if self.values.requires_grad else self


class SparseMatrix(Matrix):
    """CSR without duplicates; the CSR of the transpose is made at first use and kept beside it.

    Without weights it holds no explicit zeros; with weights a stored zero is a zero that was observed.
    """

    def __init__(self, csr: Tensor, weights: Tensor | None = None):
        self.csr, self.weights = csr, weights
        self._transpose: SparseMatrix | None = None

    @property
    def values(self) -> Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.csr.values()

    @property
    def shape(self) -> tuple[int, int]:
        return self.csr.shape[0], self.csr.shape[1]

    @property
    def T(self) -> "SparseMatrix":
        made_of = self._made_of
        if isinstance(made_of, SparseMatrix):
            return made_of
        if self._transpose is None:
            weights = None if self.weights is None else self.with_values(self.weights)._transposed().values()
            self._transpose = SparseMatrix(self._transposed(), weights)
            self._transpose._back = ref(self)
            self._transpose.part_of = self.part_of and self.part_of.T
        return self._transpose

    def _transposed(self) -> Tensor:
        n, m = self.shape
        if self.device.type == "cpu":  # torch would take three times the memory
            t = self.numpy().T.tocsr()
            return csr_tensor(torch.from_numpy(t.indptr), torch.from_numpy(t.indices), torch.from_numpy(t.data), (m, n))
        csc = self.csr.to_sparse_csc()
        return csr_tensor(csc.ccol_indices(), csc.row_indices(), csc.values(), (m, n))

    def __matmul__(self, D: Tensor) -> Tensor:
        if D.requires_grad and torch.is_grad_enabled():
            return _SparseProduct.apply(D, self)  # pyright: ignore[reportReturnType]
        return sparse_product(self.csr, D)

    def product_of(self, values: Tensor, D: Tensor) -> Tensor:
        return _ProductOfValues.apply(values, D.detach(), self)  # pyright: ignore[reportReturnType]

    def sample(self, H: Tensor, W: Tensor) -> Tensor:
        if self.device.type == "cuda" or torch.backends.mkl.is_available():
            return torch.sparse.sampled_addmm(self.csr, H.contiguous(), W.contiguous(), beta=0.0).values()
        W = W.T.contiguous()
        parts = zip(self.row_of_value.split(2**20), self.column_of_value.split(2**20), strict=True)
        return torch.cat([(H[i] * W[j]).sum(1) for i, j in parts])

    def with_values(self, values: Tensor) -> "SparseMatrix":
        return SparseMatrix(csr_tensor(self.csr.crow_indices(), self.csr.col_indices(), values, self.shape))

    def divided(self, by: float) -> "SparseMatrix":
        return SparseMatrix(self.with_values(self.values / by).csr, self.weights)

    def columns(self, w: Tensor) -> Tensor:
        return w[self.column_of_value]

    def of_rows(self, h: Tensor) -> Tensor:
        return h[self.row_of_value]

    def row_sum(self, values: Tensor) -> PerSample:
        return values.new_zeros(self.shape[0]).index_add_(0, self.row_of_value, values)

    @property
    def row_lengths(self) -> Tensor:
        return self.csr.crow_indices().diff()

    def row_max(self, values: Tensor) -> PerSample:
        return values.new_zeros(self.shape[0]).scatter_reduce_(0, self.row_of_value, values, "amax")

    def rows(self, index: Rows) -> "SparseMatrix":
        index = torch.where(index < 0, index + self.shape[0], index)
        start = self.csr.crow_indices().long()[index]
        length = self.csr.crow_indices().long()[index + 1] - start
        crow = torch.cat([length.new_zeros(1), length.cumsum(0)])
        offset = torch.repeat_interleave(start - crow[:-1], length)
        taken = offset + torch.arange(len(offset), device=offset.device)
        csr = csr_tensor(crow, self.column_of_value[taken], self.values[taken], (len(index), self.shape[1]))
        return SparseMatrix(csr, None if self.weights is None else self.weights[taken])

    def span(self, start: int, stop: int) -> "SparseMatrix":
        crow = self.csr.crow_indices()[start : stop + 1]
        first, last = int(crow[0]), int(crow[-1])
        columns, values = self.column_of_value[first:last], self.values[first:last]
        csr = csr_tensor(crow - first, columns, values, (stop - start, self.shape[1]))
        return SparseMatrix(csr, None if self.weights is None else self.weights[first:last])

    def dense(self) -> Tensor:
        return self.csr.to_dense()

    def numpy(self) -> scipy.sparse.csr_array:
        parts = (self.values, self.column_of_value, self.csr.crow_indices())
        return scipy.sparse.csr_array(tuple(part.cpu().numpy() for part in parts), shape=self.shape)

    def to(self, *args: Any) -> "SparseMatrix":
        csr = self.csr.to(*args)
        if csr is self.csr:
            return self
        return SparseMatrix(csr, None if self.weights is None else self.weights.to(*args))

    def detach(self) -> "SparseMatrix":
        return SparseMatrix(self.csr.detach(), self.weights) if self.csr.requires_grad else self

    @property
    def column_of_value(self) -> Tensor:
        return self.csr.col_indices()

    @cached_property
    def row_of_value(self) -> Tensor:
        crow = self.csr.crow_indices()
        return torch.repeat_interleave(torch.arange(self.shape[0], device=crow.device), crow.diff())


def stacked(parts: Sequence[Matrix]) -> Matrix:
    """The rows of all parts, which are of one kind, under each other."""
    weights = None if parts[0].weights is None else torch.cat([part.given_weights for part in parts])
    sparse = [part for part in parts if isinstance(part, SparseMatrix)]
    if not sparse:
        return DenseMatrix(torch.cat([part.values for part in parts]), weights)
    columns, values = (torch.cat([getattr(p, name) for p in sparse]) for name in ("column_of_value", "values"))
    lengths = torch.cat([part.row_lengths for part in sparse]).long()
    crow = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    return SparseMatrix(csr_tensor(crow, columns, values, (len(lengths), parts[0].shape[1])), weights)


class _SparseProduct(torch.autograd.Function):
    """X D with the backward pass on the stored transpose: torch's own multiplies by `csr.t()`, 6 to 8 times slower."""

    @staticmethod
    def forward(ctx: Any, D: Tensor, X: SparseMatrix) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.X = X
        return sparse_product(X.csr, D)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return sparse_product(ctx.X.T.csr, gradient), None


class _ProductOfValues(torch.autograd.Function):
    """V D, V in the pattern of X, with the backward pass on that pattern."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, D: Tensor, X: SparseMatrix) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.D, ctx.X = D, X
        return sparse_product(X.with_values(values).csr, D)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return ctx.X.sample(gradient, ctx.D.T), None, None


def csr_tensor(crow: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    return torch.sparse_csr_tensor(crow.to(columns.dtype), columns, values, shape, check_invariants=False)

"""½ λ Σ ‖m_i − m_{i−1}‖²."""

import math
from collections.abc import Sequence
from typing import Any

import scipy.sparse
from sklearn.feature_extraction.image import grid_to_graph

from nmf_nets.as_matrix import as_matrix
from nmf_nets.penalties.base import LaplacianPenalty
from nmf_nets.refusal import Refusal


class Smoothness(LaplacianPenalty):
    """R = ½ λ Σ ‖m_i − m_j‖² over rows that are next to each other: in their order, as times or wavelengths have it, or
    on a grid.

    shape: of the grid, [height, width] for the pixels of an image, on W; up to three lengths. None for the order.
    X: with a row for each of M: the data for H, their transpose for W. Not needed beside a shape.
    Source: Virtanen (2007) for the order in time, who divides by ‖m_k‖² besides.
    """

    def __init__(self, strength: float, X: Any = None, shape: Sequence[int] | None = None):
        super().__init__(strength, grid(lengths(X, shape)))


def lengths(X: Any, shape: Sequence[int] | None) -> list[int]:
    """Of the grid that the rows of X make."""
    n_rows = None if X is None else as_matrix(X).shape[0]
    if shape is None:
        if n_rows is None:
            raise Refusal("smoothness needs a row of X for each row of the factor, or a shape.")
        return [n_rows]
    found = list(shape) if isinstance(shape, Sequence) else []
    if not 1 <= len(found) <= 3 or not all(isinstance(length, int) and length > 0 for length in found):
        raise Refusal(f"shape of smoothness must be one to three integers above 0, but is {shape!r}.")
    if n_rows not in (None, math.prod(found)):
        raise Refusal(f"shape of smoothness is {found}, {math.prod(found)} places, but the factor has {n_rows} rows.")
    return found


def grid(shape: list[int]) -> scipy.sparse.csr_array:
    """1 for places that are next to each other, counted with the last length the fastest."""
    A = scipy.sparse.csr_array(grid_to_graph(*shape, *[1] * (2 - len(shape))), dtype=float)
    A.setdiag(0)
    A.eliminate_zeros()
    return A

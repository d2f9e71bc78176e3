"""How well true components were found again."""

import torch
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from nmf_nets.shapes import Components

TINY = torch.finfo(torch.float64).tiny
"""Under a norm that is divided by: components have no scale."""


def matching(W: Components, W_true: Float[Tensor, "true_components features"]) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs of the best one-to-one matching by cosine: rows of W_true, rising, their rows of W, the cosines.

    Blind to the scale of components.
    """
    found, true = (torch.nn.functional.normalize(M.double(), dim=1, eps=TINY).cpu() for M in (W, W_true))
    cosines = true @ found.T
    rows, columns = map(torch.as_tensor, linear_sum_assignment(cosines.numpy(), maximize=True))
    return rows, columns, cosines[rows, columns]


def matched_cosines(W: Components, W_true: Float[Tensor, "true_components features"]) -> Tensor:
    """The cosine of each true component with the one of W that the best one-to-one matching gives it.

    0 for a true component that is left over. Blind to the order and the scale of components.
    """
    rows, _, cosines = matching(W, W_true)
    matched = torch.zeros(len(W_true), dtype=torch.float64)
    matched[rows] = cosines
    return matched

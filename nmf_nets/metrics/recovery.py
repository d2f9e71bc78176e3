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


def motif_cosines(
    motifs: Float[Tensor, "components lags features"], true: Float[Tensor, "true_components true_lags features"]
) -> Tensor:
    """As `matched_cosines` of motifs, each pair at the common shift in time at which it agrees best.

    What a shift pushes out of the shorter one counts as missing. A sequence plays a later motif earlier, to the same X.
    """
    found, wanted = (
        M / torch.linalg.vector_norm(M, dim=(1, 2), keepdim=True).clamp(min=TINY)
        for M in (motifs.double().cpu(), true.double().cpu())
    )
    beside = wanted.shape[1] - 1
    padded = torch.nn.functional.pad(found, (0, 0, beside, beside))
    shifted = padded.unfold(1, wanted.shape[1], 1)  # (components, shifts, features, true_lags)
    cosines = torch.einsum("klm,jsml->skj", wanted, shifted).amax(0)
    rows, columns = linear_sum_assignment(cosines.numpy(), maximize=True)
    matched = torch.zeros(len(true), dtype=torch.float64)
    matched[rows] = cosines[rows, columns]
    return matched

"""What steps along the gradient of ½⟨H G, H⟩ − ⟨B, H⟩ share."""

import torch

from nmf_nets.division import divisor
from nmf_nets.shapes import Codes, Gram, Scalar

ITERATIONS = 20


def curvature_bound(G: Gram) -> Scalar:
    """L ≥ λ_max(G) for G ≥ 0: max_k (G v)_k / v_k of a positive v near the first eigenvector; 1 where G = 0.

    Without waiting for the device. Source: Collatz (1942), Wielandt (1950).
    """
    M = G.double()
    v, image = torch.ones_like(M[0]), M.sum(1)
    for _ in range(ITERATIONS):
        most = image.amax()
        v = (image / divisor(most)).clamp(min=1e-3)  # of any positive v it is a bound
        image = M @ v
    bound = torch.minimum((image / v).amax(), M.diagonal().sum()) * (1 + 4 * torch.finfo(G.dtype).eps)
    return divisor(bound).to(G.dtype)


def zero_where_nothing_pulls(H: Codes, B: Codes, G: Gram) -> Codes:
    """Rows with b ≤ 0, whose solution as G ≥ 0 is 0, at once; components with G_kk = 0 stay."""
    return torch.where((B > 0).any(1, keepdim=True) | (G.diagonal() <= 0), H, 0)

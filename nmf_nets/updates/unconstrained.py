"""Least squares without a constraint."""

import torch

from nmf_nets.penalties.l2 import L2
from nmf_nets.shapes import Codes, Gram
from nmf_nets.updates.base import GramUpdate


class Unconstrained(GramUpdate):
    """H = B G⁺ of any sign, B = X Wᵀ, G = W Wᵀ: the least ½ ‖X − H W‖², of the least norm. On W the step of semi-NMF.

    The least ½ ‖X − H W‖² over H ≥ 0 and W of any sign need not be attained: components may grow against each other for
    ever, until a dtype has no digits left for their difference. An L2 penalty on both factors, however small, ends it.
    Source: Ding, Li & Jordan (2010).
    """

    signed, takes = True, L2

    @staticmethod
    def solve(H: Codes, B: Codes, G: Gram, repeats: int, progress: float) -> Codes:
        """The pseudo-inverse in float64; what of G is rounding of its dtype counts as zero."""
        inverse = torch.linalg.pinv(G.double(), hermitian=True, rtol=len(G) * torch.finfo(G.dtype).eps)
        return (B.double() @ inverse).to(B.dtype)

"""Orthogonal codes: each sample in one component."""

import torch

from nmf_nets.division import ratio
from nmf_nets.shapes import Codes, Gram
from nmf_nets.updates.base import GramUpdate


class Assignment(GramUpdate):
    """h_ik = b_ik / g_kk at the k where [b_ik]₊² / g_kk is largest, else 0; B = X Wᵀ, G = W Wᵀ.

    The best codes of those with at most one entry above 0, so that HᵀH is diagonal: not the problem of NMF but of
    orthogonal NMF, and in one step. With hals on W (Solver(Assignment(), update_W=HALS())), which on such codes is
    exact as well, monotone: k-means with clusters that are rays. It depends on its start as k-means does, and a
    component that loses all samples stays without.
    Refuses weights.
    Source: Pompili, Gillis, Absil & Glineur (2014), EM-ONMF, whose w_k is the singular vector that both steps lead to.
    """

    takes_weights = False

    @staticmethod
    def solve(H: Codes, B: Codes, G: Gram, repeats: int, progress: float) -> Codes:
        """The same from any H."""
        B, size = B.clamp(min=0), G.diagonal()
        one = ratio(B, size.sqrt()).argmax(1, keepdim=True)
        return torch.zeros_like(B).scatter_(1, one, ratio(B, size).gather(1, one))

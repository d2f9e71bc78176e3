"""HALS for components that may not be long."""

from nmf_nets.constraints.unit_norm import in_unit_ball
from nmf_nets.division import ratio
from nmf_nets.shapes import Codes, Gram
from nmf_nets.updates.base import GramUpdate


class UnitBall(GramUpdate):
    """h_k ← [h_k + (B_k − H G_k) / G_kk]₊ / max(1, ‖·‖₂) for every column k: exact for each, so D never rises.

    On W, whose rows are the columns then, the step of sparse coding and of online dictionary learning.

    Source: Mairal et al. (2010).
    """

    @staticmethod
    def solve(H: Codes, B: Codes, G: Gram, repeats: int, progress: float) -> Codes:
        H = in_unit_ball(H.T).T.contiguous()
        for _ in range(repeats):
            for k in range(H.shape[1]):
                column = (H[:, k] + ratio(B[:, k] - H @ G[:, k], G[k, k])).clamp(min=0)
                H[:, k] = in_unit_ball(column[None])[0]
        return H

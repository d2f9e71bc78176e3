"""How few entries carry a vector."""

import math

import torch
from torch import Tensor

from nmf_nets.shapes import Components


def hoyer_sparseness(M: Components) -> Tensor:
    """(√m − ‖w‖₁ / ‖w‖₂) / (√m − 1) of each row: 1 for a single entry, 0 for equal entries, 0 for a row of zeros.

    Source: Hoyer (2004).
    """
    root = math.sqrt(M.shape[1])
    if root == 1:
        return torch.zeros(len(M), dtype=M.dtype, device=M.device)
    norm = torch.linalg.vector_norm(M, dim=1)
    return torch.where(norm > 0, (root - M.abs().sum(1) / norm) / (root - 1), 0)

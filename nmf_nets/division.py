"""What becomes of a division by zero."""

import torch
from torch import Tensor


def divisor(values: Tensor) -> Tensor:
    """1 in place of every 0: what is divided by it keeps its value there."""
    return torch.where(values > 0, values, 1)


def ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """0 where the denominator is."""
    return torch.where(denominator > 0, numerator / denominator, 0)

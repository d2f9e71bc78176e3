"""Rows that are seen later."""

import torch
from torch import Tensor


def delayed(H: Tensor, lags: int) -> Tensor:
    """[S_0 H, S_1 H, …, S_(lags − 1) H], where S_τ shifts rows down by τ and fills with zeros."""
    n = len(H)
    padded = torch.nn.functional.pad(H, (0, 0, lags - 1, 0))
    return torch.cat([padded[lags - 1 - lag : lags - 1 - lag + n] for lag in range(lags)], 1)


def gathered(P: Tensor, lags: int) -> Tensor:
    """Σ_τ S_−τ P_τ of P = [P_0, P_1, …]: the adjoint of `delayed`, where S_−τ shifts rows up."""
    n = len(P)
    first, *others = P.chunk(lags, 1)
    total = first.clone()
    for lag, part in enumerate(others, 1):
        total[: max(0, n - lag)] += part[lag:]
    return total


def surroundings(H: Tensor, lags: int) -> Tensor:
    """K H: of each row the sum of the rows that are less than `lags` away from it, itself included."""
    width = 2 * lags - 1
    return width * torch.nn.functional.avg_pool1d(H.T[None], width, stride=1, padding=lags - 1)[0].T


def moved(M: Tensor, by: Tensor, fill: Tensor) -> Tensor:
    """Every M[k], rows first, so many rows later as by[k] says, with fill[k] where nothing is left."""
    rows = torch.arange(M.shape[1], device=M.device) - by[:, None]
    taken = M[torch.arange(len(M), device=M.device)[:, None], rows.clamp(0, M.shape[1] - 1)]
    flat = [-1, *[1] * (M.dim() - 1)]
    inside = (rows >= 0) & (rows < M.shape[1])
    return torch.where(inside.reshape(*inside.shape, *flat[2:]), taken, fill.reshape(flat))

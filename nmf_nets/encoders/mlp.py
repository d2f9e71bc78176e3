"""An amortised encoder: one forward pass a row, with weights of any sign."""

from itertools import pairwise

import torch
from torch import nn

from nmf_nets.divergences.base import Divergence
from nmf_nets.encoders.base import Encoder
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.shapes import Codes, Components, Rows
from nmf_nets.updates.least_squares import damped_least_squares, lifted_codes


class MLP(Encoder):
    """Least-squares codes, corrected by a net f of the row x̃ = x / Σ_j x_j; scaling a row scales its code.

        β = 2   h = [ x W⁺ + u f(x̃) ]₊                          u = Σx / (√n_features ‖W‖)
        β < 2   h = Σx · softmax( log h₀ + f(x̃) ) / Σ_j w_kj    h₀ the lifted least-squares code

    so that X̂ has the row sums of X where the divergence asks for that. The last layer of f starts at zero: training
    starts from the least-squares codes, with no unit dead. W is not trained through W⁺.
    hidden: width of each hidden layer.
    """

    def __init__(self, start: Factorization, divergence: Divergence, hidden: tuple[int, ...] = (256,), seed: int = 0):
        super().__init__()
        self.divergence = divergence
        generator = torch.Generator().manual_seed(seed)
        sizes = [start.W.shape[1], *hidden]
        self.layers = nn.ModuleList(
            nn.Linear(before, after, device=start.W.device, dtype=start.W.dtype) for before, after in pairwise(sizes)
        )
        self.last = nn.Linear(sizes[-1], start.n_components, device=start.W.device, dtype=start.W.dtype)
        with torch.no_grad():
            for layer in self.layers:
                noise = torch.randn(layer.weight.shape, generator=generator, dtype=torch.float64)
                layer.weight.copy_(noise * (2 / layer.in_features) ** 0.5)
                layer.bias.zero_()
            self.last.weight.zero_()
            self.last.bias.zero_()

    def forward(self, X: Matrix, W: Components, rows: Rows | None = None) -> Codes:
        W = W.detach()
        total = X @ W.new_ones(X.shape[1], 1)
        correction = self._correction(X, total)
        if self.divergence.beta < 2:
            s = W.sum(1)
            share = lifted_codes(X, W) * s
            share = share.clamp(min=torch.finfo(W.dtype).tiny).log() + correction
            return total * share.softmax(1) / torch.where(s > 0, s, 1)
        omega = (W.square().sum() * X.shape[1]).sqrt()
        h = damped_least_squares(X @ W.T, W @ W.T) + total / torch.where(omega > 0, omega, 1) * correction
        return h.clamp(min=0)

    def _correction(self, X: Matrix, total: torch.Tensor) -> torch.Tensor:
        """f(x̃), times the root of n_features in the first layer: entries of x̃ are about 1 / n_features each."""
        first, *others = (*self.layers, self.last)
        width = X.shape[1]
        z = (X @ first.weight.T) * torch.where(total > 0, width / total, 0) + first.bias
        for layer in others:
            z = layer(z.relu())
        return z

    def refuse(self, divergence: Divergence) -> None:
        pass

"""An amortised encoder: one forward pass a row, with weights of any sign."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import nn

from nmf_nets.cold_start import damped_least_squares, lifted_codes
from nmf_nets.divergences.base import Divergence
from nmf_nets.encoders.base import Encoder
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Codes, Components, Rows


class MLP(Encoder):
    """Least-squares codes, corrected by a net f of the row x̃ = x / Σ_j x_j; scaling a row scales its code.

        β = 2   h = [ x W⁺ + u f(x̃) ]₊       u = Σx / (√n_features ‖W‖)
        else    h = c h₀ ∘ exp f(x̃)           h₀ the lifted least-squares code

    with c = 1, but for KL such that Σ_j x̂_j = Σ_j x_j, which the best code has: then h is Σx times a softmax. The last
    layer of f starts at zero: training starts from the least-squares codes, with no unit dead. W is not trained
    through W⁺.
    hidden: width of each hidden layer.
    """

    def __init__(self, start: Factorization, divergence: Divergence, hidden: Sequence[int] = (256,), seed: int = 0):
        super().__init__()
        self.divergence = divergence
        generator = torch.Generator().manual_seed(seed)
        sizes = [start.W.shape[1], *hidden]
        like = {"device": start.W.device, "dtype": start.W.dtype}
        self.layers = nn.ModuleList(nn.Linear(before, after, **like) for before, after in pairwise(sizes))
        self.last = nn.Linear(sizes[-1], start.n_components, **like)
        with torch.no_grad():
            for layer in self._linear[:-1]:
                noise = torch.randn(layer.out_features, layer.in_features, generator=generator, dtype=torch.float64)
                layer.weight.copy_(noise * (2 / layer.in_features) ** 0.5)
                layer.bias.zero_()
            self.last.weight.zero_()
            self.last.bias.zero_()

    @property
    def _linear(self) -> list[nn.Linear]:
        return [*cast(Iterable[nn.Linear], self.layers), self.last]

    def forward(self, X: Matrix, W: Components, rows: Rows | None = None) -> Codes:
        W = W.detach()
        total = X @ W.new_ones(X.shape[1], 1)
        correction = self._correction(X, total)
        if self.divergence.beta == 2:
            omega = (W.square().sum() * X.shape[1]).sqrt()
            h = damped_least_squares(X @ W.T, W @ W.T) + total / torch.where(omega > 0, omega, 1) * correction
            return h.clamp(min=0)
        if self.divergence.beta != 1:
            return lifted_codes(X, W) * correction.exp()
        s = W.sum(1)
        share = (lifted_codes(X, W) * s).clamp(min=torch.finfo(W.dtype).tiny).log() + correction
        return total * share.softmax(1) / torch.where(s > 0, s, 1)

    def _correction(self, X: Matrix, total: torch.Tensor) -> torch.Tensor:
        """f(x̃), whose first layer sees n_features x̃, with entries of about 1."""
        first, *others = self._linear
        z = (X @ first.weight.T) * torch.where(total > 0, X.shape[1] / total, 0) + first.bias
        for layer in others:
            z = layer(z.relu())
        return z

    def refuse(self, divergence: Divergence) -> None:
        if divergence.beta != self.divergence.beta:
            raise Refusal(
                f"encoder=mlp was made for β = {self.divergence.beta:g}, but the divergence has β = {divergence.beta:g}"
                "; make both from the same divergence."
            )

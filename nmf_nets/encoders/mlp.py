"""An amortised encoder: one forward pass a row, with weights of any sign."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from nmf_nets.cold_start import lifted_codes
from nmf_nets.criterion import PLAIN, Terms
from nmf_nets.divergences.base import Divergence
from nmf_nets.division import divisor, ratio
from nmf_nets.encoders.base import Encoder, refuse_weights
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Codes, Components, Rows

DAMPINGS = (1e-2, 1e-1, 1.0)
"""Of least squares, relative to the diagonal of W Wᵀ."""

LEAST = 1e-8
"""Shares and ratios that the net sees are no further from 1 than this and its inverse."""


class MLP(Encoder):
    """A code that W gives at once, corrected by a net f of the row; scaling a row scales its code.

        β = 2   h = [ h₁ + u f(h₀/u, h₁/u, h₂/u) ]₊       h₀, h₁, h₂ = x Wᵀ (G + μ diag G)⁻¹ with μ = 0.01, 0.1, 1
        else    h = c h₀ ∘ ρ ∘ exp f(log h₀, log ρ, x / Σx)       h₀ the lifted least-squares code, ρ = N / P there

    u is the size of x Wᵀ, c = 1, but for KL such that Σ_j x̂_j = Σ_j x_j, which the best code has: then h is Σx times a
    softmax. For β = 2 the best code depends on x Wᵀ alone, so f need not see more. f is linear plus a perceptron, both
    at zero at first: training starts from the code that W gives, with no unit dead. W is a constant here.
    hidden: width of each hidden layer. What a layer sums is divided by the root of the number of its inputs, so one
    learning rate serves all widths.
    """

    def __init__(self, start: Factorization, divergence: Divergence, hidden: Sequence[int] = (256,), seed: int = 0):
        super().__init__()
        self.divergence = divergence
        r, (_, m) = start.n_components, start.W.shape
        generator = torch.Generator().manual_seed(seed)
        n_given = len(DAMPINGS) * r if divergence.beta == 2 else 2 * r
        sizes = [n_given, *hidden]

        def layer(before: int, after: int, scale: float, bias: bool = True) -> nn.Linear:
            made = nn.Linear(before, after, bias, device=start.W.device, dtype=start.W.dtype)
            with torch.no_grad():
                made.weight.copy_(scale * torch.randn(after, before, generator=generator, dtype=torch.float64))
                if bias:
                    made.bias.zero_()
            return made

        self.layers = nn.ModuleList(layer(before, after, 2**0.5) for before, after in pairwise(sizes))
        self.last = layer(sizes[-1], r, 0.0)
        self.skip = layer(n_given, r, 0.0, bias=False)
        sees_row = divergence.beta != 2 and len(hidden) > 0
        self.row = layer(m, sizes[1], 0.3 * 2**0.5, bias=False) if sees_row else None

    def forward(self, X: Matrix, W: Components, rows: Rows | None = None, terms: Terms = PLAIN) -> Codes:
        W = W.detach()
        if self.divergence.beta == 2:
            given, unit, root = _damped_codes(X, W)
            seen = torch.cat(given, 1) / divisor(unit)
            return (given[1] + unit * self._correction(seen, X, unit)).clamp(min=0) / root
        total, s = X.row_totals, W.sum(1)  # of a component of zeros, whose code is 0
        per_s, s = ratio(torch.ones_like(s), s), divisor(s)
        with torch.set_grad_enabled(torch.is_grad_enabled() and X.values.requires_grad):
            h = lifted_codes(X, W)
            P, N = self.divergence.split_gradient(X, h, W)
            rho = torch.where(P > 0, N / P, 1).clamp(LEAST, 1 / LEAST).log()
            share = (h * s / divisor(total)).clamp(min=LEAST).log()
            given = torch.cat([share + torch.tensor(float(len(s))).log(), rho], 1)
        corrected = share + rho + self._correction(given, X, total)
        if self.divergence.beta == 1:
            return total * corrected.softmax(1) * per_s
        return total * corrected.exp() * per_s

    def _correction(self, given: Tensor, X: Matrix, total: Tensor) -> Tensor:
        """f, of numbers of about 1."""
        z = given
        for number, layer in enumerate(self.layers):
            z = _scaled(layer, z)  # pyright: ignore[reportArgumentType]
            if number == 0 and self.row is not None:
                z = z + (X @ self.row.weight.T) * (X.shape[1] ** 0.5 / divisor(total))
            z = z.relu()
        return _scaled(self.last, z) + _scaled(self.skip, given)

    def refuse_data(self, X: Matrix, terms: Terms = PLAIN) -> None:
        refuse_weights(self, X)

    def refuse(self, divergence: Divergence, terms: Terms = PLAIN) -> None:
        if divergence.beta != self.divergence.beta:
            raise Refusal(
                f"encoder=mlp was made for β = {self.divergence.beta:g}, but the divergence has β = {divergence.beta:g}"
                "; make both from the same divergence."
            )


def _scaled(layer: nn.Linear, z: Tensor) -> Tensor:
    product = z @ layer.weight.T / layer.in_features**0.5
    return product if layer.bias is None else product + layer.bias


def _damped_codes(X: Matrix, W: Components) -> tuple[list[Codes], Tensor, Tensor]:
    """h_μ ∘ √diag(G) of each damping, the root mean square of x Wᵀ / √diag(G) over components, and √diag(G)."""
    B, G = X @ W.T, W @ W.T
    root = divisor(G.diagonal()).sqrt()
    B, G = B / root, G / root / root[:, None]
    one = torch.eye(len(G), dtype=G.dtype, device=G.device)
    unit = B.square().mean(1, keepdim=True).sqrt()
    codes = [torch.linalg.solve(G + damping * one, B.T).T for damping in DAMPINGS]
    return codes, unit, root

"""Half-steps whose coupling of components is learned, a layer each."""

import torch
from torch import Tensor, nn

from nmf_nets.cold_start import damped_least_squares, flat_codes, lifted_codes
from nmf_nets.criterion import PLAIN, Terms
from nmf_nets.divergences.base import Divergence, floor
from nmf_nets.division import divisor
from nmf_nets.encoders.base import Encoder
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Codes, Components, Rows

LEAST = 1e-6
"""Of a row's flat code: ratios do not move a code below it."""

RIDGE = 1e-3
"""Of the curvature, relative to that of a flat code, so that a component that nothing needs takes short steps."""


class LISTA(Encoder):
    """From least-squares codes, `layers` learned steps on the gradient ∇ = ∂D/∂h of the current W:

        h ← [ h − ∇ S⁻¹ (C + μ_l I)⁻¹ P_l S⁻¹ + (h − h_before) ∘ M_l − u θ_l ]₊        S = diag(√q)

    q is the curvature of D in each code alone: Σ_j w_kj² for Frobenius, Σ_j x_j w_kj² / x̂_j² for KL, where each step
    also scales the row to Σ_j x̂_j = Σ_j x_j, which the best code has. C holds the cosines between components, u has the
    size of the row. Learned are P_l (r × r), M_l, θ_l (r) and log μ_l, which know no units; at first P_l = I,
    M_l = θ_l = 0, μ_l = 1: damped Newton steps, cut at zero. W is a constant here. The code of a row scales with it,
    and sparse data are seen where they are stored. With weights v every sum over j, but that of C, is Σ_j v_ij …, and
    the first codes are flat: a row is coded from what was observed of it.
    Source: Gregor & LeCun (2010); the step on the gradient of the current W is Liu et al.'s (2019), the damping ours.
    """

    def __init__(self, start: Factorization, divergence: Divergence, layers: int = 5):
        super().__init__()
        self.divergence = divergence
        r, like = start.n_components, start.W
        self.coupling = nn.Parameter(torch.eye(r, dtype=like.dtype, device=like.device).repeat(layers, 1, 1))
        self.momentum = nn.Parameter(like.new_zeros(layers, r))
        self.threshold = nn.Parameter(like.new_zeros(layers, r))
        self.log_damping = nn.Parameter(like.new_zeros(layers))

    def forward(self, X: Matrix, W: Components, rows: Rows | None = None, terms: Terms = PLAIN) -> Codes:
        W = W.detach()
        if self.divergence.beta == 1:
            return self._kullback_leibler(X, W)
        return self._frobenius(X, W) if X.weights is None else self._weighted_squares(X, W)

    def _layers(self, W: Components) -> list[tuple[Tensor, Tensor, Tensor]]:
        """What (C + μ I)⁻¹ P, M and θ of each layer are on W."""
        G = W @ W.T
        root = divisor(G.diagonal()).sqrt()
        cosines = G / root / root[:, None]
        damped = cosines + self.log_damping.exp()[:, None, None] * torch.eye(len(G), dtype=G.dtype, device=G.device)
        return list(zip(torch.linalg.solve(damped, self.coupling), self.momentum, self.threshold, strict=True))

    def _frobenius(self, X: Matrix, W: Components) -> Codes:
        """On h ∘ √q, G and B likewise."""
        B, G = X @ W.T, W @ W.T
        root = divisor(G.diagonal()).sqrt()
        h = (damped_least_squares(B, G) * root).clamp(min=0)
        B, G = B / root, G / root / root[:, None]
        before, size = h, X.row_totals / X.shape[1] ** 0.5
        for P, M, theta in self._layers(W):
            step = (B - h @ G) @ P + (h - before) * M - size * theta
            before, h = h, (h + step).clamp(min=0)
        return h / root

    def _weighted_squares(self, X: Matrix, W: Components) -> Codes:
        """The same steps on what was observed, with the curvature that each row has there."""
        v, mass = X.given_weights, X.row_sum(X.given_weights)[:, None]
        root = divisor(X.product_of(v, W.T.square())).sqrt()
        h = flat_codes(X, W) * root
        before, size = h, X.row_sum(v * X.values)[:, None] / divisor(mass).sqrt()
        for P, M, theta in self._layers(W):
            downhill = X.product_of(v * (X.values - X.sample(h / root, W)), W.T) / root
            step = downhill @ P + (h - before) * M - size * theta
            before, h = h, (h + step).clamp(min=0)
        return h / root

    def _kullback_leibler(self, X: Matrix, W: Components) -> Codes:
        least, squares = floor(X), W.T.square().contiguous()
        if X.weights is None:
            v, s, total, first = 1, W.sum(1), X.row_totals, lifted_codes(X, W)
        else:
            v, s, first = X.weights, X.product_of(X.weights, W.T), flat_codes(X, W)
            total = X.row_sum(X.weights * X.values)[:, None]
        s = divisor(s)
        flat = total / s / len(W)
        ridge = RIDGE * s / divisor(flat)
        h = torch.maximum(first, LEAST * flat)
        before = h
        for P, M, theta in self._layers(W):
            reconstruction = X.sample(h, W).clamp(min=least)
            ratio = v * X.values / reconstruction
            gradient = s - X.product_of(ratio, W.T)
            root = (X.product_of(ratio / reconstruction, squares) + ridge).sqrt()
            step = (h - before) * M - (gradient / root) @ P / root - flat * theta
            new = torch.maximum(h + step, LEAST * flat)
            before, h = h, new * (total / divisor((new * s).sum(1, keepdim=True)))
        return h

    def refuse(self, divergence: Divergence, terms: Terms = PLAIN) -> None:
        if divergence.beta not in (1, 2) or divergence.beta != self.divergence.beta:
            raise Refusal(
                f"encoder=lista has layers for β = 1 and 2, one of them, but was made for β = {self.divergence.beta:g} "
                f"and the divergence has β = {divergence.beta:g}; make both from the same one, or use encoder=mlp."
            )

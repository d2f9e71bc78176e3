"""Convex NMF: codes that are non-negative mixtures of features."""

from torch import Tensor

from nmf_nets.cold_start import projection_scale
from nmf_nets.constraints.base import Constraint
from nmf_nets.criterion import PLAIN, Terms
from nmf_nets.divergences.base import Divergence
from nmf_nets.encoders.base import Encoder, refuse_weights
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.shapes import Codes, Components, Rows
from nmf_nets.weight import Weight


class Linear(Encoder):
    """H = X A, A ≥ 0 of shape (n_features, n_components).

    Not NMF but a restriction of it: X ≈ X A W is convex NMF of Xᵀ, Xᵀ ≈ Wᵀ Aᵀ Xᵀ, and reaches the loss of NMF only if
    every component has a feature of its own. Expect a gap.
    A starts at Wᵀ, scaled so that X A has the size of H.
    Source: Ding, Li & Jordan (2010); Egendal et al. (2025).
    """

    def __init__(self, start: Factorization, constraint: Constraint):
        super().__init__()
        self.A = Weight(start.W.T * projection_scale(start.W), constraint)

    def forward(self, X: Matrix, W: Components, rows: Rows | None = None, terms: Terms = PLAIN) -> Codes:
        return X @ self.A.value

    def rescale_(self, sizes: Tensor) -> None:
        self.A.assign_(self.A.value.detach() * sizes)

    def restart_(self, components: Tensor, W: Components, codes: Codes) -> None:
        restarted = self.A.value.detach().clone()
        restarted[:, components] = W[components].T * projection_scale(W)
        self.A.assign_(restarted)

    def refuse_data(self, X: Matrix, terms: Terms = PLAIN) -> None:
        refuse_weights(self, X)

    def refuse(self, divergence: Divergence, terms: Terms = PLAIN) -> None:
        pass

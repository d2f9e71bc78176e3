"""Projective NMF: codes that are the projections on the components themselves."""

from nmf_nets.cold_start import projection_scale
from nmf_nets.constraints.base import Constraint
from nmf_nets.criterion import PLAIN, Terms
from nmf_nets.divergences.base import Divergence
from nmf_nets.encoders.base import Encoder, refuse_weights
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.shapes import Codes, Components, Rows
from nmf_nets.weight import Weight


class Projective(Encoder):
    """H = c X Wᵀ, with W learned in both places and c > 0 one number.

    Not NMF but a restriction of it: X ≈ X Vᵀ V with V = √c W is projective NMF, and reaches the loss of NMF only if the
    components can be orthogonal, each feature in one of them. Expect a gap.
    A multiplicative step makes c the best there is before it moves W, without which the step on W would diverge.
    c starts where H W has the size of X.
    Source: Yang & Oja (2010).
    """

    tied = codes_follow_W = True

    def __init__(self, start: Factorization, constraint: Constraint):
        super().__init__()
        self.scale = Weight(projection_scale(start.W).reshape(1), constraint)

    def forward(self, X: Matrix, W: Components, rows: Rows | None = None, terms: Terms = PLAIN) -> Codes:
        return X @ W.T * self.scale.value

    def refuse_data(self, X: Matrix, terms: Terms = PLAIN) -> None:
        refuse_weights(self, X)

    def refuse(self, divergence: Divergence, terms: Terms = PLAIN) -> None:
        pass

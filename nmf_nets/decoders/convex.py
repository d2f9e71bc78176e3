"""Convex NMF: components that are non-negative mixtures of samples."""

from torch import Tensor

from nmf_nets.constraints.base import Constraint
from nmf_nets.decoders.base import Decoder
from nmf_nets.division import ratio
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Components
from nmf_nets.weight import Weight


class Convex(Decoder):
    """W = C X, C ≥ 0 of shape (n_components, n_samples), X the training matrix.

    w_k lies in the cone of the samples, and divided by Σ_i c_ki in their convex hull.

    Not NMF but a restriction of it: X ≈ H C X. The transpose of X makes of it the linear encoder, Xᵀ ≈ Wᵀ Aᵀ Xᵀ.
    With encoder=table and multiplicative steps it is the algorithm of its source for X ≥ 0, without the root: the
    Hessian is positive semidefinite, so that exponent 1 never raises D either. Sparse X stays sparse.
    C starts at the H of the start, each component the mean of the samples that have it, and of the size of the data.
    Source: Ding, Li & Jordan (2010).
    """

    def __init__(self, start: Factorization, constraint: Constraint, X: Matrix):
        super().__init__()
        if X.signed:
            raise Refusal("decoder=convex needs X ≥ 0; use experiment=semi for data with negative entries.")
        if X.weights is not None:
            raise Refusal(
                "decoder=convex mixes whole samples, but X has weights, or entries that were not observed; use "
                "decoder=linear, or impute them."
            )
        self.X = X
        C = ratio(start.H, start.H.sum(0)).T
        W = (X.T @ C.T).T
        reached = start.H.sum(0) @ W.sum(1)
        self.mixture = Weight(C * (X.sum.to(C.dtype) / reached), constraint)

    @property
    def W(self) -> Components:
        return (self.X.T @ self.mixture.value.T).T

    def rescale_(self, sizes: Tensor) -> None:
        self.mixture.assign_(self.mixture.value.detach() / sizes[:, None])

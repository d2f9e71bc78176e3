"""X̂ = H S V: clusters of samples, clusters of features, and how much the ones have of the others."""

import torch
from torch import Tensor

from nmf_nets.cold_start import lifted_codes
from nmf_nets.constraints.base import Constraint
from nmf_nets.decoders.base import Decoder, MakeStart, PenaltiesByWeight, terms_by_weight
from nmf_nets.factorization import Factorization, refuse_equal_components
from nmf_nets.matrix import DenseMatrix, Matrix
from nmf_nets.refusal import Refusal, refuse_count
from nmf_nets.shapes import Components
from nmf_nets.weight import Weight

LIFT = 0.1
"""Of the mean of S, so that every cluster of samples can come to have every cluster of features."""


class TriFactor(Decoder):
    """W = S V, S of shape (n_components, n_feature_clusters) and V (n_feature_clusters, n_features).

    Without penalties a restriction of NMF, to min(n_components, n_feature_clusters) components, and no richer than it:
    what it is for is co-clustering, by penalties that keep the columns of H apart (penalties_H) and the rows of V
    (penalties: on V, S, each of the transpose, as on W). They can be evaded by scaling, H D, D⁻¹S E, E⁻¹V, so all three
    need an L2, say; of the strength of the orthogonality on H it makes ½ λ Σ_i (Σ_k h_ik)².
    n_feature_clusters: n_components where it is None. V starts as the codes of the features that `init` gives for Xᵀ,
    so that a start by clusters has them on both sides, and S as the codes on V of W of the start, lifted off zero.
    With encoder=table and multiplicative steps on full batches this is the algorithm of plain three-factor NMF, and no
    step raises D. The steps for HᵀH = I of the paper that introduced it are not monotone, and are not here.
    Source: Ding, Li, Peng & Park (2006).
    """

    def __init__(
        self,
        start: Factorization,
        constraint: Constraint,
        X: Matrix,
        init: MakeStart,
        n_feature_clusters: int | None = None,
        seed: int = 0,
        penalties: PenaltiesByWeight | None = None,
    ):
        super().__init__()
        if X.signed:
            raise Refusal("decoder=tri_factor needs X ≥ 0; use experiment=semi for data with negative entries.")
        refuse_equal_components(start)
        terms = terms_by_weight(self, ("S", "V"), penalties or {})
        k = start.n_components if n_feature_clusters is None else n_feature_clusters
        refuse_count("decoder.n_feature_clusters", k)
        V = init(X.T, k, torch.Generator().manual_seed(seed)).H.T
        S = lifted_codes(DenseMatrix(start.W), V)
        S = torch.maximum(S, LIFT * S.mean())
        refuse_equal_components(Factorization(S, V))
        self.S, self.V = Weight(S, constraint, terms["S"]), Weight(V, constraint, terms["V"])

    @property
    def W(self) -> Components:
        return self.S.value @ self.V.value

    def start_of_encoder(self, start: Factorization) -> Factorization:
        return Factorization(start.H, self.W.detach())

    def rescale_(self, sizes: Tensor) -> None:
        self.S.assign_(self.S.value.detach() / sizes[:, None])

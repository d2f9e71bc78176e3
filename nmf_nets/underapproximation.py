"""Components one after another that do not overshoot what is left of the data."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from nmf_nets.factorization import Factorization
from nmf_nets.inits.base import refuse_n_components
from nmf_nets.matrix import Matrix
from nmf_nets.multipliers import approached, begun, below, refuse_underapproximation
from nmf_nets.shapes import Data, Scalar


@dataclass(frozen=True)
class Underapproximation:
    """NMU: one component after another, min ½ ‖R − h wᵀ‖² over h, w ≥ 0 with h wᵀ ≤ R, R = [X − H W]₊ of those before.

    Parts that lie below the data, hence sparse ones; a greedy heuristic, not NMF of X. ‖R‖ never rises; where nothing
    fits under what is left, components are 0.
    steps: on the multipliers, after which h wᵀ ≤ R holds nearly.
    tolerance: then H W ≤ X + tolerance · mean(X) is enforced, to rounding (multipliers.below). 0 lets one dark pixel
    of an image bound a whole component. None enforces nothing, as published: H W may be above X anywhere, and
    ‖X − H W‖ may rise in the end.
    Refuses sparse data, as multipliers are dense, weights and negative entries.
    Source: Gillis & Glineur (2010); the enforcement is ours.
    """

    steps: int = 200
    tolerance: float | None = 0.0

    def path(self, X: Matrix, n_components: int) -> Iterator[Factorization]:
        """The factorization with 1, 2, …, n_components components."""
        refuse_n_components(n_components)
        refuse_underapproximation(X, self.steps, self.tolerance)
        left = X.dense()
        H, W = left.new_zeros(len(left), 0), left.new_zeros(0, left.shape[1])
        for _ in range(n_components):
            found = self._component(left, X.mean)
            left = left - found.reconstruction
            H, W = torch.cat([H, found.H], 1), torch.cat([W, found.W])
            yield Factorization(H, W)

    def _component(self, left: Data, mean: Scalar) -> Factorization:
        R = left.clamp(min=0)
        approach = begun(R)
        for step in range(1, self.steps + 1):
            approach = approached(R, approach, step)
        if self.tolerance is None:
            return approach.component.balanced()
        return below(left, approach.component, self.tolerance * mean)

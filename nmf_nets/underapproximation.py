"""Components one after another that never overshoot what is left of the data."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from nmf_nets.factorization import Factorization
from nmf_nets.inits.base import refuse_n_components
from nmf_nets.matrix import Matrix
from nmf_nets.multipliers import approached, begun, below, left_of, refuse_steps, refuse_underapproximation
from nmf_nets.shapes import Data


@dataclass(frozen=True)
class Underapproximation:
    """NMU: min ½ ‖R − h wᵀ‖² over h, w ≥ 0 with h wᵀ ≤ R for one component after another, R what the others left of X.

    Parts that lie below the data, hence sparse ones; a greedy heuristic, not NMF of X. ‖R‖ never rises. Once R has no
    positive block left that a component fits under, or is 0, those that follow are 0.
    steps: on the multipliers; after them h wᵀ ≤ R holds nearly.
    exact: whether it is then enforced (`below`), to rounding. If not, R ← [R − h wᵀ]₊ as published: it falls much
    faster, with H W above X here and there. On data with many small entries, such as images, that is the choice.
    Refuses sparse data, as Λ is dense, weights and negative entries.
    Source: Gillis & Glineur (2010); the enforcement is ours.
    """

    steps: int = 200
    exact: bool = True

    def path(self, X: Matrix, n_components: int) -> Iterator[Factorization]:
        """The factorization with 1, 2, …, n_components components."""
        refuse_n_components(n_components)
        refuse_steps(self.steps)
        refuse_underapproximation(X)
        R = X.dense()
        H, W = R.new_zeros(len(R), 0), R.new_zeros(0, R.shape[1])
        for _ in range(n_components):
            found = self.component(R)
            R = left_of(R, found)
            H, W = torch.cat([H, found.H], 1), torch.cat([W, found.W])
            yield Factorization(H, W)

    def component(self, R: Data) -> Factorization:
        approach = begun(R)
        for step in range(1, self.steps + 1):
            approach = approached(R, approach, step)
        return below(R, approach.component) if self.exact else approach.component.balanced()

"""Half-steps that need B = X Wᵀ and G = W Wᵀ alone."""

from abc import abstractmethod

from nmf_nets.criterion import PLAIN, Terms
from nmf_nets.divergences.base import Divergence
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.half_steps.base import HalfStep
from nmf_nets.half_steps.gram import gram_half_step
from nmf_nets.matrix import Matrix
from nmf_nets.shapes import Codes, Components, Gram
from nmf_nets.updates.base import Update


class GramUpdate(Update):
    """Towards min_{H ≥ 0} ½ ⟨H G, H⟩ − ⟨B, H⟩; with weights, what was not observed is imputed."""

    descends = True

    def lowers(self, divergence: Divergence) -> bool:
        return isinstance(divergence, Frobenius)

    def on(self, X: Matrix, W: Components, terms: Terms = PLAIN) -> HalfStep:
        return gram_half_step(self.solve, X, W, terms)

    @staticmethod
    @abstractmethod
    def solve(H: Codes, B: Codes, G: Gram, repeats: int, progress: float) -> Codes:
        """`repeats` steps from H at most; rows that move by at most `progress` times what their first did are left."""

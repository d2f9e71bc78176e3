"""λ Σ_{k≠l} (Oᵀ K H)_kl, O = Σ_τ (S_−τ X) W_τᵀ."""

import torch
from torch import Tensor

from nmf_nets.factorization import Factorization
from nmf_nets.lags import delayed, gathered, surroundings
from nmf_nets.matrix import Matrix
from nmf_nets.penalties.base import PairPenalty, Priced
from nmf_nets.refusal import Refusal, refuse_count
from nmf_nets.shapes import Codes, Components, Scalar


class CrossOrthogonality(PairPenalty):
    """What a motif explains is not to be explained by another one nearby: seqNMF, for decoder=convolutive.

    O is how much of the data each motif overlaps at each moment, and K adds up what is less than `lags` rows away, so R
    grows where one motif overlaps data that another one plays. Of motifs that share a part, or split one sequence among
    them, all but one then die. R = λ ⟨X, spread(K H Q) W⟩ with Q = 1 1ᵀ − I: what would be played if each motif were in
    the place of all others, against the data.
    Its gradients have no negative part, λ K O Q for H and λ (S_τ K H Q)ᵀ X for W_τ, so that no multiplicative step on H
    or on W raises D + R. What is not observed overlaps with nothing. Shifts of one motif are not kept apart.
    lags, shifts: those of the decoder.
    Source: Mackevicius et al. (2019).
    """

    def __init__(self, strength: float, lags: int, shifts: int = 1):
        super().__init__(strength)
        refuse_count("lags of cross_orthogonality", lags)
        refuse_count("shifts of cross_orthogonality", shifts)
        self.lags, self.shifts = lags, shifts

    def value(self, X: Matrix, factors: Factorization) -> Scalar:
        H, W = self._crossed(factors.H.double()), factors.W.double()
        return self.strength * (H * (_observed(X.to(torch.float64)) @ W.T)).sum()

    def given_W(self, X: Matrix, W: Components) -> Priced:
        overlap = gathered(_observed(X) @ W.T, self.lags)
        prices = surroundings(overlap, self.lags) @ self._others(overlap)
        later = prices.new_zeros(len(prices), len(W) - prices.shape[1])
        return Priced(self.strength, torch.cat([prices, later], 1))

    def given_H(self, X: Matrix, H: Codes) -> Priced:
        return Priced(self.strength, _observed(X).T @ self._crossed(H))

    def _crossed(self, spread: Codes) -> Codes:
        """spread(K H Q), of spread(H), whose first columns are H."""
        H = spread.chunk(self.lags, 1)[0]
        return delayed(surroundings(H, self.lags) @ self._others(H), self.lags)

    def _others(self, H: Codes) -> Tensor:
        """Q of the columns: 1 where they are of different motifs."""
        r, over = divmod(H.shape[1], self.shifts)
        if over or not r:
            raise Refusal(
                f"cross_orthogonality has lags={self.lags} and shifts={self.shifts}, which do not divide the columns "
                "of the codes; give it those of the decoder."
            )
        one = torch.ones(r, r, dtype=H.dtype, device=H.device)
        return (one - torch.eye(r, dtype=H.dtype, device=H.device)).repeat(self.shifts, self.shifts)


def _observed(X: Matrix) -> Matrix:
    return X if X.weights is None else X.with_values(X.weights * X.values)

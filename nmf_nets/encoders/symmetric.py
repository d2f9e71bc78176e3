"""Symmetric NMF: codes that are the components themselves."""

from nmf_nets.criterion import PLAIN, Terms
from nmf_nets.divergences.base import Divergence
from nmf_nets.encoders.base import Encoder
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Codes, Components, Rows


class Symmetric(Encoder):
    """H = Wᵀ: A ≈ H Hᵀ for similarities A = Aᵀ ≥ 0 between samples, whose clusters are the largest entries of H.

    Not NMF but a restriction of it. A multiplicative step takes the longest of a few exponents that does not raise D.
    It has no codes for unseen rows, as these have no similarities to all others. Refuses a matrix that is not square;
    of one that is not symmetric it fits ½ (A + Aᵀ).
    Source: Ding, He & Simon (2005); Kuang, Ding & Park (2012).
    """

    codes_unseen_rows = False
    tied = codes_follow_W = True

    def __init__(self, start: Factorization):
        super().__init__()
        n, m = start.H.shape[0], start.W.shape[1]
        if n != m:
            raise Refusal(
                f"encoder=symmetric needs a square matrix of similarities between samples, but X has the shape {(n, m)}"
                "; use data=similarities, or hold no rows out, data.validation=0 data.test=0."
            )

    def forward(self, X: Matrix, W: Components, rows: Rows | None = None, terms: Terms = PLAIN) -> Codes:
        if rows is None:
            raise Refusal("encoder=symmetric has codes for its training rows only, which are the columns of W.")
        return W.T[rows]

    def refuse(self, divergence: Divergence, terms: Terms = PLAIN) -> None:
        pass

"""An exact factorization, where there is one."""

import torch

from nmf_nets.exact.rank_factorization import rank_factorization as exact_factorization
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.refusal import Refusal


def rank_factorization(X: Matrix, n_components: int, generator: torch.Generator, starts: int = 30) -> Factorization:
    """X = H W, if it is found: for data without noise.

    Raises Refusal, the sentence of the certificate, if it is not, and whatever exact.rank_factorization refuses.
    """
    certificate = exact_factorization(X, n_components, starts, generator)
    if certificate.factors is None:
        raise Refusal(f"{certificate} Use another init, which approximates.")
    return certificate.factors.to(X.dtype)

"""Random codes, and the components that are best for them, of any sign."""

import torch

from nmf_nets.factorization import Factorization
from nmf_nets.inits.base import refuse_n_components, uniform
from nmf_nets.matrix import Matrix
from nmf_nets.refusal import Refusal


def random_codes(X: Matrix, n_components: int, generator: torch.Generator) -> Factorization:
    """H = 2u √(s / n_components), u ~ U(0, 1) and s the mean of |x|, W = H⁺ X: for semi-NMF, on data of any sign.

    Raises Refusal for weights.
    """
    refuse_n_components(n_components)
    if X.weights is not None:
        raise Refusal("init=random_codes knows no weights: what was not observed would count as 0; use init=random.")
    scale = 2 * (X.mean / n_components).sqrt()
    H = uniform((X.shape[0], n_components), X, generator) * scale
    inverse = torch.linalg.pinv((H.T @ H).double(), hermitian=True).to(X.dtype)
    return Factorization(H, inverse @ (X.T @ H).T)

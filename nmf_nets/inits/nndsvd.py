"""Non-negative double singular value decomposition."""

import torch

from nmf_nets.division import divisor
from nmf_nets.factorization import Factorization
from nmf_nets.inits.base import completed, refuse_n_components
from nmf_nets.matrix import Matrix
from nmf_nets.spectrum import truncated_svd

ROUNDING = 1e-10
"""An entry of a singular vector that is no larger is a zero of X, rounded."""


def nndsvd(X: Matrix, n_components: int, generator: torch.Generator | None = None) -> Factorization:
    """h_k = √(σ_k c) u/‖u‖, w_k = √(σ_k c) v/‖v‖ for the larger of the pairs (u⁺, v⁺), (u⁻, v⁻), c = ‖u‖‖v‖.

    No chance in it. Holds exact zeros, which multiplicative updates cannot leave: nndsvda and nndsvdar have none.
    What was not observed is guessed (`completed`). Source: Boutsidis & Gallopoulos (2008).
    """
    refuse_n_components(n_components, min(X.shape))
    U, s, Vt = truncated_svd(completed(X), n_components)
    U, Vt = (torch.where(M.abs() > ROUNDING, M, 0) for M in (U, Vt))
    up, vp, un, vn = U.clamp(min=0), Vt.clamp(min=0), (-U).clamp(min=0), (-Vt).clamp(min=0)
    up_norm, un_norm = torch.linalg.vector_norm(up, dim=0), torch.linalg.vector_norm(un, dim=0)
    vp_norm, vn_norm = torch.linalg.vector_norm(vp, dim=1), torch.linalg.vector_norm(vn, dim=1)
    positive = up_norm * vp_norm >= un_norm * vn_norm
    size = (s * torch.where(positive, up_norm * vp_norm, un_norm * vn_norm)).sqrt()
    u = torch.where(positive, up / divisor(up_norm), un / divisor(un_norm))
    v = torch.where(positive[:, None], vp / divisor(vp_norm)[:, None], vn / divisor(vn_norm)[:, None])
    return Factorization((u * size).to(X.device, X.dtype), (v * size[:, None]).to(X.device, X.dtype))

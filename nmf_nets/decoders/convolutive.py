"""X̂ = Σ_τ Σ_φ S_τ H_φ W_τ R_φ: components that last several rows, and may stand at several features."""

import torch
from torch import Tensor

from nmf_nets.constraints.base import Constraint
from nmf_nets.decoders.base import Decoder
from nmf_nets.division import ratio
from nmf_nets.factorization import Factorization
from nmf_nets.lags import moved
from nmf_nets.refusal import Refusal, refuse_count
from nmf_nets.shapes import Components
from nmf_nets.weight import Weight

PERTURBATION = 0.1
"""Of a motif that is the same at all lags, which with the codes of a start that are so, too, would remain the same."""

LIFT = 0.1
"""Of a motif's mean: what is put where it has no row to move there, so that ratios can move it."""


class Convolutive(Decoder):
    """Rows are moments: h_ik plays motif k from row i on, for `lags` rows; S_τ shifts rows down by τ, R_φ columns right
    by φ, both with zeros behind them.

    With shifts = 1 non-negative matrix factor deconvolution, NMFD; one lag is then plain NMF. With more shifts each
    component has that many columns of codes, and its motif may be played higher by φ = 0 … shifts − 1 features: NMF2D.
    It is the plain product of [S_0 H, S_1 H, …] and the stacked W_τ R_φ, so that with encoder=table on full batches
    optimizer=multiplicative is the algorithm of all lags in one ratio, which never raises the divergence.
    The start plays w_k for as long as the motif lasts, a little perturbed (seed). Starts that fade find motifs less
    often: what comes before their strongest row is cut off, for good. So is what does not fit into `lags` rows: let
    there be half as many again as the motifs are long.
    Penalties meet H as [S_0 H, S_1 H, …] and W as the stacked W_τ R_φ.
    Source: Smaragdis (2004), who averages codes over the lags; Schmidt & Mørup (2006).
    """

    couples_rows = True

    def __init__(self, start: Factorization, constraint: Constraint, lags: int = 8, shifts: int = 1, seed: int = 0):
        super().__init__()
        (n, r), m = start.H.shape, start.W.shape[1]
        for name, value, most, what in (("lags", lags, n, "rows to train on"), ("shifts", shifts, m, "features")):
            refuse_count(f"decoder.{name}", value)
            if value > most:
                raise Refusal(f"decoder.{name} is {value}, but there are no more than {most} {what}.")
        self.lags, self.shifts, self.copies, self._shape = lags, shifts, lags * shifts, (r, lags, m)
        drawn = torch.rand(self._shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(start.W)
        motifs = start.W[:, None] * (1 + PERTURBATION * (2 * drawn - 1) * (lags > 1)) / lags
        self.weight = Weight(motifs.reshape(r, -1), constraint)

    @property
    def motifs(self) -> Tensor:
        """W_τ, of shape (n_components, lags, n_features)."""
        return self.weight.value.reshape(self._shape)

    @property
    def W(self) -> Components:
        W, m = self.motifs.transpose(0, 1), self._shape[2]
        shifted = [torch.nn.functional.pad(W, (shift, 0))[..., :m] for shift in range(self.shifts)]
        return torch.stack(shifted, 1).reshape(-1, m)

    @property
    def sizes(self) -> Tensor:
        return torch.linalg.vector_norm(self.weight.value, dim=1).repeat(self.shifts)

    def start_of_encoder(self, start: Factorization) -> Factorization:
        """The codes of the start in equal parts for all shifts, and W_0 R_φ, which they meet in their own rows."""
        H = start.H.repeat(1, self.shifts) / self.shifts
        return Factorization(H, self.W.detach()[: H.shape[1]], self.shifts)

    def rescale_(self, sizes: Tensor) -> None:
        self.weight.assign_(self.weight.value.detach() / sizes[: self._shape[0], None])

    @torch.no_grad()
    def recentre_(self) -> Tensor:
        """Moves each motif until its centre of mass is in the middle of its lags; by how many rows, one a component.

        What moves out at one end is lost, and the codes have to begin so many rows earlier.
        """
        W = self.motifs
        mass, lag = W.sum(2), torch.arange(self.lags, dtype=W.dtype, device=W.device)
        by = ((self.lags - 1) / 2 - ratio(mass @ lag, mass.sum(1))).round().long()
        self.weight.assign_(moved(W, by, LIFT * W.mean((1, 2))).reshape(len(W), -1))
        return by

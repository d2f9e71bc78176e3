"""No network at all: a free row of codes for every training row."""

from torch import Tensor

from nmf_nets.constraints.base import Constraint
from nmf_nets.criterion import PLAIN, Terms
from nmf_nets.divergences.base import Divergence
from nmf_nets.encoders.base import Encoder
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Codes, Components, Rows
from nmf_nets.weight import Weight


class Table(Encoder):
    """h(x_i) = h_i, free: the problem of classical NMF itself. It has no codes for unseen rows.

    With optimizer=multiplicative on full batches this is Lee and Seung's algorithm, with optimizer=block any other.
    """

    codes_unseen_rows, codes_coupled_rows = False, True

    def __init__(self, start: Factorization, constraint: Constraint):
        super().__init__()
        self.codes = Weight(start.H, constraint)

    @property
    def free(self) -> Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.codes.theta

    def forward(self, X: Matrix, W: Tensor, rows: Rows | None = None, terms: Terms = PLAIN) -> Codes:
        if rows is None:
            raise Refusal(
                "encoder=table has codes for its training rows only; use encoder=exact on the same W for others."
            )
        return self.codes.rows(rows)

    def keep_(self, H: Codes, rows: Rows | None) -> None:
        self.codes.assign_(H, rows)

    def rescale_(self, sizes: Tensor) -> None:
        self.codes.assign_(self.codes.value.detach() * sizes)

    def restart_(self, components: Tensor, W: Components, codes: Codes) -> None:
        restarted = self.codes.value.detach().clone()
        restarted[:, components] = codes[:, components]
        self.codes.assign_(restarted)

    def refuse(self, divergence: Divergence, terms: Terms = PLAIN) -> None:
        pass

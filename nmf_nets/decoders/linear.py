"""X̂ = H W."""

from nmf_nets.constraints.base import Constraint
from nmf_nets.decoders.base import Decoder
from nmf_nets.factorization import Factorization
from nmf_nets.shapes import Codes, Components, Data
from nmf_nets.weight import NonNegativeWeight


class Linear(Decoder):
    """The plain model: W is one non-negative weight of shape (n_components, n_features)."""

    def __init__(self, start: Factorization, constraint: Constraint):
        super().__init__()
        self.weight = NonNegativeWeight(start.W, constraint)

    @property
    def W(self) -> Components:
        return self.weight.value

    def forward(self, H: Codes) -> Data:
        return H @ self.W

    def assign_(self, W: Components) -> None:
        self.weight.assign_(W)

    def project_(self) -> None:
        self.weight.project_()

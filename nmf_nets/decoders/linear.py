"""X̂ = H W."""

from torch import Tensor

from nmf_nets.constraints.base import Constraint
from nmf_nets.decoders.base import Decoder
from nmf_nets.factorization import Factorization
from nmf_nets.shapes import Components
from nmf_nets.weight import Weight


class Linear(Decoder):
    """The plain model: W is one weight of shape (n_components, n_features), which a step may also find as a whole.

    Of any sign with constraint=free: semi-NMF.
    """

    def __init__(self, start: Factorization, constraint: Constraint):
        super().__init__()
        self.weight = Weight(start.W, constraint)

    @property
    def W(self) -> Components:
        return self.weight.value

    def assign_(self, W: Components) -> None:
        """Makes these the components, or the nearest that the constraint can reach."""
        self.weight.assign_(W)

    def rescale_(self, sizes: Tensor) -> None:
        self.assign_(self.W.detach() / sizes[:, None])

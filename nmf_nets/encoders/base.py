"""The interface of an encoder."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from nmf_nets.criterion import PLAIN, Terms
from nmf_nets.divergences.base import Divergence
from nmf_nets.matrix import Matrix
from nmf_nets.part import part_name
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Codes, Components, Rows
from nmf_nets.weight import weights_of


class Encoder(nn.Module, ABC):
    """Makes the codes H ≥ 0 of a batch. Constructed from the factorization that training starts from."""

    codes_unseen_rows = True
    """Whether rows that were not trained on have codes."""

    codes_follow_W = False
    """Whether the graph of the codes goes back to W; if not, W is a constant to all that is made of them but H W."""

    tied = False
    """Whether W learns through the codes as well, so that a step must not hold them."""

    codes_coupled_rows = False
    """Whether it has codes for decoders that couple rows."""

    distillation: float = 0.0
    """Weight, in what it learns from, of the distance between the two codes of `learn`."""

    kept: Codes | None
    """The codes of all training rows that the next ones go on from, for encoders that keep any; those of a table are
    its codes themselves, and do not count.
    """

    free: Tensor | None = None
    """A weight with a row for each training row, where it has one."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kept", None)

    @property
    def of_rows(self) -> list[Tensor]:
        """What has a row for each training row; over ranks, each knows those of its own rows."""
        parts = [part for part in self.modules() if isinstance(part, Encoder)]
        return [M for part in parts for M in (part.free, part.kept) if M is not None]

    @abstractmethod
    def forward(self, X: Matrix, W: Components, rows: Rows | None = None, terms: Terms = PLAIN) -> Codes:
        """The codes of X on the components W.

        rows: where X stands in the training matrix; None for rows that were not trained on.
        terms: the penalties on H, for codes that are made by steps; what learns, learns them from the objective.
        """

    def learn(self, X: Matrix, W: Tensor, rows: Rows | None = None, terms: Terms = PLAIN) -> tuple[Codes, Codes]:
        """The codes, and those that the encoder learns by: the same, unless it refines what it proposes."""
        codes = self(X, W, rows, terms)
        return codes, codes

    @abstractmethod
    def refuse(self, divergence: Divergence, terms: Terms = PLAIN) -> None:
        """Raises Refusal for a divergence, or penalties on H, that this encoder cannot serve."""

    def refuse_data(self, X: Matrix, terms: Terms = PLAIN) -> None:
        """Raises Refusal for weights that it cannot heed, or cannot heed beside these penalties on H."""

    def keep_(self, H: Codes, rows: Rows | None) -> None:
        """Puts these in the place of the codes that it keeps of the rows, if any."""

    def forget_(self) -> None:
        """Drops the codes that are kept of training rows, which no other row needs."""
        for part in self.modules():
            if isinstance(part, Encoder):
                part.kept = None

    def restart_(self, components: Tensor, W: Components, codes: Codes) -> None:
        """Where weights or memory belong to one component each, gives these components, of new rows of W, a new start.

        components: their numbers; codes: of all training rows.
        """

    def rescale_(self, sizes: Tensor) -> None:
        """Where weights or memory belong to one component each, multiplies them by the sizes that W was divided by."""

    def project_(self) -> None:
        """What has to be done to the weights after a gradient step: each non-negative weight's own projection."""
        for weight in weights_of(self):
            weight.project_()


def refuse_weights(encoder: Encoder, X: Matrix) -> None:
    """Raises Refusal where X has some, for an encoder that multiplies whole rows."""
    if X.weights is not None:
        raise Refusal(
            f"encoder={part_name(encoder)} would see zeros where nothing was observed; use encoder=lista, or exact, "
            "unrolled or table, which make a code of what was."
        )

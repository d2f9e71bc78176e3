"""The interface of a decoder."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from nmf_nets.criterion import Terms
from nmf_nets.factorization import Factorization
from nmf_nets.lags import delayed
from nmf_nets.matrix import Matrix
from nmf_nets.penalties.base import Penalty
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Codes, Components, Data
from nmf_nets.weight import weights_of

MakeStart = Callable[[Matrix, int, torch.Generator], Factorization]
"""An init, for factors that the start of the net does not have."""

PenaltiesByWeight = Mapping[str, Mapping[str, Callable[[], Penalty]]]
"""Of a decoder's weights, by their names, penalties by any: `+penalty@decoder.penalties.V.apart=orthogonality`."""


class Decoder(nn.Module, ABC):
    """The only keeper of W. Constructed from the factorization that training starts from.

    Whatever the model, X̂ is a product of two matrices, `spread(H)` and W, so that every divergence, split gradient and
    metric is that of plain NMF, and what W is made of learns through it.
    """

    couples_rows = False
    """Whether the code of a row is seen in other rows as well; the batch is then the whole, in its order."""

    lags: int = 1
    """Over how many rows the code of a row is seen."""

    copies: int = 1
    """How many rows of W, and columns of the codes as they meet it, each component has (Factorization.copies)."""

    @property
    @abstractmethod
    def W(self) -> Components:
        """With the graph of what it is made of."""

    @property
    def levels(self) -> list[Tensor]:
        """W_1, …, W_L with W = W_L … W_1, for a decoder that has several; else W alone."""
        return [self.W]

    def spread(self, H: Codes) -> Tensor:
        """The codes as they meet W: [S_0 H, S_1 H, …], S_τ shifting rows down by τ; of one lag H itself."""
        return H if self.lags == 1 else delayed(H, self.lags)

    @abstractmethod
    def rescale_(self, sizes: Tensor) -> None:
        """Divides the components by these sizes, one for each column of H; the codes get them."""

    @property
    def sizes(self) -> Tensor:
        """The norms of the components, one for each column of H."""
        return torch.linalg.vector_norm(self.W, dim=1)

    def start_of_encoder(self, start: Factorization) -> Factorization:
        """The start as an encoder has to see it: with the columns that H needs, and what they meet in their rows."""
        return start

    def forward(self, H: Codes) -> Data:
        """X̂."""
        return self.spread(H) @ self.W

    def project_(self) -> None:
        """What has to be done to the weights after a gradient step: each one's own projection."""
        for weight in weights_of(self):
            weight.project_()


def terms_by_weight(decoder: Decoder, names: Sequence[str], penalties: PenaltiesByWeight) -> dict[str, Terms]:
    """The penalties on each weight. Raises Refusal for a name that is none of theirs."""
    for name in penalties:
        if name not in names:
            raise Refusal(
                f"decoder.penalties names {name!r}, but the weights of {type(decoder).__name__} are {', '.join(names)}."
            )
    return {name: Terms(tuple(make() for make in penalties.get(name, {}).values())) for name in names}

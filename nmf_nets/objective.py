"""What a step sees: a batch, the factors of the net for it, and the divergence between them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from nmf_nets.criterion import Criterion, Terms
from nmf_nets.divergences.base import Divergence
from nmf_nets.division import divisor
from nmf_nets.factorization import Factorization
from nmf_nets.group import ALONE, Group
from nmf_nets.heads.base import Head
from nmf_nets.matrix import DenseMatrix, Matrix
from nmf_nets.shapes import Codes, Components, Labels, Rows, Scalar
from nmf_nets.weight import Weight


@dataclass(frozen=True)
class Objective:
    """D(X | H W) and penalties, also on what W is made of, at codes and components that carry the graph of the net, and
    what a head loses on codes.

    Its gradients are the divergence's own, ∂D/∂H = P − N and likewise for W, so that training never forms H W on
    sparse data and a step for the net is made of the same numbers as the step of a solver. All numbers are those of the
    whole batch, where X and the codes are what one rank has of it.
    """

    X: Matrix
    factors: Factorization
    """What X̂ is the product of."""
    criterion: Criterion
    """Its penalties on W count beside the D of all rows; a batch heeds its part of them."""
    rows: Rows | None = None
    """Where the batch stands in the training matrix; None for rows that do not."""
    n_rows: int | None = None
    """Of the training matrix."""
    proposal: Codes | None = None
    """The codes that the encoder learns by, where they are not H."""
    distillation: float = 0.0
    """Weight of Σ_k D(h_k w_k | p_k w_k), how far the proposal p is from H, component by component."""
    head: Head | None = None
    labels: Labels | None = None
    """The classes of the rows; a head needs them."""
    codes_follow_W: bool = False
    """As in Encoder; if not, a head sees W as a constant, as the codes do."""
    weights: Sequence[Weight] = ()
    """What W is made of and has penalties of its own, likewise beside the D of all rows."""
    group: Group = ALONE
    """The ranks that have the batch between them, with the same weights."""
    of_rows: Sequence[Tensor] = ()
    """Weights that hold something for each training row, of which a rank knows its own alone."""

    @property
    def divergence(self) -> Divergence:
        return self.criterion.divergence

    @cached_property
    def on_H(self) -> Terms:
        """What the codes heed, as they meet W."""
        return self.criterion.given_W(self.X, self.factors.W.detach())

    @cached_property
    def on_W(self) -> Terms:
        """What W heeds beside the D of all rows."""
        return self.criterion.given_H(self.X, self.factors.H.detach())

    @property
    def n_samples(self) -> int:
        """Rows of the batch."""
        return self.X.whole.shape[0]

    @property
    def part(self) -> float:
        """Of all rows, that are in this batch."""
        return 1.0 if self.n_rows is None else self.n_samples / self.n_rows

    @property
    def own_part(self) -> float:
        """Of all rows, that are in this batch and on this rank: what is then summed counts a penalty on W once."""
        return self.part * self.X.shape[0] / self.n_samples

    @property
    def learning(self) -> Codes:
        """Codes with the graph of the encoder."""
        return self.factors.H if self.proposal is None else self.proposal

    @property
    def terms_W(self) -> Terms:
        """The penalties on W, as far as this batch heeds them."""
        return self.on_W.shared(self.part)

    def value(self) -> Scalar:
        criterion = replace(self.criterion, on_W=self.criterion.on_W.shared(self.own_part))
        own = criterion.total(self.X, self.factors.detach()) + sum(
            w.terms.shared(self.own_part).value(w.value.detach().T) for w in self.weights
        )
        return self.group.summed(own)[0]

    def penalty_on(self, H: Codes) -> Scalar | float:
        """R_H of such codes of the batch."""
        return self.group.summed(self.on_H.value(H))[0] if self.on_H.penalties else 0.0  # pyright: ignore[reportArgumentType]

    def backward(self, inputs: Sequence[Tensor] | None = None) -> None:
        """Adds the gradient of (D + R_H + R_W) / unit(X) + weight · mean loss of the head, numbers without units, to
        every parameter behind the factors and of the head, or to those of `inputs` alone, which ranks have to name and
        whose gradients have to be none before.
        """
        assert inputs is not None or self.group.size == 1
        unit = divisor(self.divergence.unit(self.X).to(self.X.dtype))  # 0 for a batch of which nothing was observed
        outputs: list[tuple[Tensor, Tensor | None]] = [(M, (P - N) / unit) for M, P, N in self._outputs()]
        if self.head is not None:
            assert self.labels is not None
            H, W = self.factors.H, self.factors.W
            seen = Factorization(H, W if self.codes_follow_W else W.detach())
            outputs.append((self.head.weight * self.head.loss(seen, self.labels).sum() / self.n_samples, None))
        torch.autograd.backward([M for M, _ in outputs], [gradient for _, gradient in outputs], inputs=inputs)
        self.group.sum_(*(M.grad for M in self._alike(inputs or ()) if M.grad is not None))

    def split_gradient(self, parameters: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """P, N of each parameter, by two passes back through the net; both ≥ 0 if the net's Jacobian is."""
        outputs = self._outputs()
        heads = [M for M, _, _ in outputs]
        if not heads:
            return [(torch.zeros_like(parameter), torch.zeros_like(parameter)) for parameter in parameters]
        positive, negative = (
            torch.autograd.grad(heads, parameters, cotangents, retain_graph=True, materialize_grads=True)
            for cotangents in ([P for _, P, _ in outputs], [N for _, _, N in outputs])
        )
        alike = [i for i, parameter in enumerate(parameters) if any(parameter is M for M in self._alike(parameters))]
        self.group.sum_(*(part[i] for part in (positive, negative) for i in alike))
        return list(zip(positive, negative, strict=True))

    def _alike(self, parameters: Sequence[Tensor]) -> list[Tensor]:
        """Those that are the same on all ranks."""
        return [parameter for parameter in parameters if all(parameter is not M for M in self.of_rows)]

    def _outputs(self) -> list[tuple[Tensor, Tensor, Tensor]]:
        """(M, P, N) of H, of W, and of weights with penalties of their own: of what carries a graph; what this rank
        adds to them.
        """
        H, W, learning = self.factors.H, self.factors.W, self.learning
        outputs = []
        with torch.no_grad():
            if learning.requires_grad:
                outputs.append((learning, *self.on_H.added_to(*self._learned(learning, W), learning)))
            if W.requires_grad:
                P, N = self.divergence.split_gradient(self.X.T, W.T, H.T)
                P, N = self.on_W.shared(self.own_part).added_to(P, N, W.T)
                outputs.append((W, P.T, N.T))
        for weight in self.weights:
            M = weight.value
            zero = torch.zeros_like(M.T)
            P, N = weight.terms.shared(self.own_part).added_to(zero, zero, M.detach().T)
            outputs.append((M, P.T, N.T))
        return outputs

    def _learned(self, proposal: Codes, W: Components) -> tuple[Codes, Codes]:
        """P, N of what the encoder learns from."""
        split, beta = self.divergence.split_gradient, self.divergence.beta
        P, N = split(self.X, proposal, W)
        if self.distillation:
            size = W.pow(beta).sum(1).pow(1 / beta) if beta > 0 else torch.ones_like(W[:, 0])
            pull = split(DenseMatrix(self.factors.H.detach() * size), proposal, torch.diag(size))
            P, N = P + self.distillation * pull[0], N + self.distillation * pull[1]
        return P, N

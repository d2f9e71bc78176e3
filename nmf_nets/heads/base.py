"""The interface of a head."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from nmf_nets.factorization import Factorization
from nmf_nets.shapes import Labels, PerSample


class Head(nn.Module, ABC):
    """What the codes are for besides X. Constructed from the factorization that training starts from and n_classes.

    It must not see (h_k, w_k) → (c h_k, w_k / c), which changes nothing else in a net and would run away.
    weight: of the mean loss of a sample, beside D / unit(X).
    """

    weight: float

    @abstractmethod
    def forward(self, factors: Factorization) -> Tensor: ...

    @abstractmethod
    def loss(self, factors: Factorization, labels: Labels) -> PerSample: ...

    @abstractmethod
    def predict(self, factors: Factorization) -> Labels: ...

    def accuracy(self, factors: Factorization, labels: Labels) -> float:
        return float((self.predict(factors) == labels).double().mean())

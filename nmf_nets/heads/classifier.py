"""Which class a code belongs to."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nmf_nets.division import divisor
from nmf_nets.factorization import Factorization
from nmf_nets.heads.base import Head
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Labels, PerSample


class Classifier(Head):
    """Logits A z + b of z_k = h_k ‖w_k‖ / u, and their cross-entropy.

    u is the mean of h_k ‖w_k‖ at the start, so that X → cX changes nothing. A and b start at zero.
    smoothing: the part of a label that is spread over all classes, so that codes which tell the classes apart already
    are not pulled further and further.
    Refuses labels that are not 0 … n_classes − 1.
    """

    unit: Tensor

    def __init__(self, start: Factorization, n_classes: int, weight: float = 0.5, smoothing: float = 0.1):
        super().__init__()
        self.weight, self.smoothing = weight, smoothing
        mean = _sizes(start).mean()
        self.register_buffer("unit", divisor(mean))
        self.layer = nn.Linear(start.n_components, n_classes, device=mean.device, dtype=mean.dtype)
        nn.init.zeros_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)

    def forward(self, factors: Factorization) -> Tensor:
        return self.layer(_sizes(factors) / self.unit)

    def loss(self, factors: Factorization, labels: Labels) -> PerSample:
        try:
            return F.cross_entropy(self(factors), labels, reduction="none", label_smoothing=self.smoothing)
        except IndexError as error:
            raise Refusal(
                f"labels must be 0 … {self.layer.out_features - 1}, as the head has {self.layer.out_features} classes, "
                f"but they go from {int(labels.min())} to {int(labels.max())}."
            ) from error

    @torch.no_grad()
    def predict(self, factors: Factorization) -> Labels:
        return self(factors).argmax(1)


def _sizes(factors: Factorization) -> Tensor:
    return factors.H * torch.linalg.vector_norm(factors.W, dim=1)

"""A new start for components that explain nothing."""

import logging
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from nmf_nets.callbacks.base import late, parts_of
from nmf_nets.decoders.linear import Linear
from nmf_nets.division import ratio
from nmf_nets.factorization import Factorization
from nmf_nets.grid import GeometricGrid
from nmf_nets.matrix import Matrix
from nmf_nets.metrics.dead_components import DEAD, component_shares
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder
from nmf_nets.optimizers.block import Block
from nmf_nets.optimizers.online import Online

log = logging.getLogger(__name__)

LIFT = 1e-3
"""Of the mean, so that ratios can move what would be zero."""


class Reseed(Callback):
    """On a geometric grid of epochs, w_k ← [x_i − x̂_i]₊ for every dead component k, at the size of the living ones,
    with i the worst fitted row that no component was started from before; says which.

    Where the encoder keeps codes, those of k become the best on w_k for what the others leave, [(X − X̂) w_k]₊ / ‖w_k‖²,
    which lowers the squared error; by it rows are compared in any divergence. What was not observed counts nowhere, and
    is next to zero in w_k. A row that is fitted to half the digits of its dtype starts nothing: there are then more
    components than the data have use for. Nothing is done where W is made of several weights.
    """

    def __init__(self, growth: float = 1.25):
        self.grid = GeometricGrid(growth)
        self.used: list[int] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        net, data = parts_of(trainer, pl_module)
        if trainer.current_epoch + 1 not in self.grid or late(trainer):
            return
        seeded = self.reseed(net, trainer.optimizers[0], data.training.to(net.device))
        if seeded and trainer.is_global_zero:
            log.warning(
                f"components {list(seeded)} explained nothing after {trainer.global_step} steps and start again from "
                f"the rows {list(seeded.values())} of the training data, which were fitted worst."
            )
            for logger in trainer.loggers:
                logger.log_metrics({"reseeded": float(len(seeded))}, step=trainer.global_step)

    @torch.no_grad()
    def reseed(self, net: NonNegativeAutoencoder, optimizer: object, X: Matrix) -> dict[int, int]:
        """The row that each dead component was started from; of several ranks the first chooses."""
        if not isinstance(net.decoder, Linear):
            return {}
        net.gather_()
        W = net.decoder.W.detach()
        rows, H = torch.full(W.shape[:1], -1, device=W.device), W.new_zeros(X.shape[0], len(W))
        if net.group.rank == 0:
            rows, H, W = self._seeds(X, net.own_factors(X))
        net.group.from_first_(rows)
        seeded = {k: row for k, row in enumerate(rows.tolist()) if row >= 0}
        if not seeded:
            return {}
        W = W.clone()
        net.group.from_first_(H, W)
        self.used.extend(seeded.values())
        components = torch.tensor(list(seeded), device=W.device)
        whole = net.decoder.W.clone()
        whole[components] = W[components]
        net.decoder.assign_(whole)
        net.encoder.restart_(components, whole, H)
        if isinstance(optimizer, Block | Online):
            optimizer.forget_(components)
        return seeded

    def _seeds(self, X: Matrix, own: Factorization) -> tuple[Tensor, Tensor, Tensor]:
        """The row for each component, or −1, and the factors with those that start anew."""
        rows, used = torch.full((own.n_components,), -1, device=own.W.device), list(self.used)
        dead = component_shares(own) <= DEAD / own.n_components
        if not bool(dead.any()):
            return rows, own.H, own.W
        H, W = torch.where(dead, 0, own.H), torch.where(dead[:, None], 0, own.W)
        size = W[~dead].square().sum(1).mean().sqrt() if not bool(dead.all()) else X.square_norm.sqrt().sqrt().to(W)
        for k in torch.nonzero(dead)[:, 0].tolist():
            row, w = _worst(X, Factorization(H, W), used)
            if w is None:
                break
            w = torch.maximum(w, LIFT * w.mean())
            w = w * (size / torch.linalg.vector_norm(w))
            h = _best_codes(X, Factorization(H, W), w)
            W[k], H[:, k] = w, torch.maximum(h, LIFT * h.mean())
            used.append(row)
            rows[k] = row
        return rows, H, W

    def state_dict(self) -> dict[str, Any]:
        return {"used": self.used}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.used = state_dict["used"]


def _worst(X: Matrix, factors: Factorization, used: list[int]) -> tuple[int, Tensor | None]:
    """The row with the largest squared error but for those that were used, and the positive part of what is left of
    it.
    """
    H, W = factors.H, factors.W
    if X.weights is None:
        errors = X.row_sum(X.values.square()) - 2 * ((X @ W.T) * H).sum(1) + ((H @ (W @ W.T)) * H).sum(1)
    else:
        errors = X.row_sum(X.weights * (X.values - X.sample(H, W)).square())
    errors[used] = -torch.inf
    row = int(errors.argmax())
    worst = X.rows(torch.tensor([row], device=X.device))
    x = worst.dense()[0]
    left = (x - H[row] @ W).clamp(min=0)
    if worst.weights is not None:
        seen = worst.with_values((worst.weights > 0).to(x.dtype)).dense()[0]
        x, left = x * seen, left * seen
    fitted = torch.linalg.vector_norm(left) <= torch.finfo(x.dtype).eps ** 0.5 * torch.linalg.vector_norm(x)
    return row, None if bool(fitted) or errors[row] == -torch.inf else left


def _best_codes(X: Matrix, factors: Factorization, w: Tensor) -> Tensor:
    """[Σ_j v_ij (x_ij − x̂_ij) w_j]₊ / Σ_j v_ij w_j² of each row."""
    H, W = factors.H, factors.W
    if X.weights is None:
        return ((X @ w[:, None])[:, 0] - H @ (W @ w)).clamp(min=0) / w.square().sum()
    pull = X.row_sum(X.weights * (X.values - X.sample(H, W)) * X.columns(w))
    return ratio(pull.clamp(min=0), X.row_sum(X.weights * X.columns(w).square()))

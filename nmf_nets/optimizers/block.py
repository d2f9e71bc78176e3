"""A half-step on W from the codes of the batch."""

import logging
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from nmf_nets.criterion import Terms
from nmf_nets.decoders.base import Decoder
from nmf_nets.encoders.base import Encoder
from nmf_nets.encoders.table import Table
from nmf_nets.extrapolation import Extrapolation, Momentum, beyond, either, on_host
from nmf_nets.half_steps.base import HalfStep
from nmf_nets.heads.base import Head
from nmf_nets.matrix import Matrix
from nmf_nets.objective import Objective
from nmf_nets.optimizers.base import NetAdam
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Codes, Components, Rows
from nmf_nets.updates.base import Update

log = logging.getLogger(__name__)


class Block(NetAdam):
    """W ← update(Xᵀ, Wᵀ, Hᵀ)ᵀ, `repeats` times or by the update's own effort; before it a half-step on the codes of a
    table, or Adam on what else the encoder and a head learn. With a table or exact codes on full batches this is the
    classical solver.

    extrapolate: where the encoder keeps the codes of all rows of the batch, and the update has an extrapolation, both
    half-steps go on beyond where they came, as in the fastest solver; D may rise on the way then.
    W is fitted to the batch at hand alone, and to no head: for batches that do not hold all there is to learn, Online.
    lr, net_lr, decay: of NetAdam.
    Raises Refusal, at the first step, if the update does not lower the divergence of the objective.
    """

    def __init__(
        self,
        encoder: Encoder,
        decoder: Decoder,
        update: Update,
        repeats: int | None = None,
        extrapolate: bool = True,
        lr: float = 0.1,
        net_lr: float = 1e-2,
        decay: float = 2000,
        head: Head | None = None,
    ):
        super().__init__(encoder, decoder, lr, net_lr, decay, head)
        if update.signed and isinstance(encoder, Table):
            raise Refusal(
                f"{type(update).__name__} would make codes of any sign as well; use encoder=unrolled, which keeps a "
                "code for every row as a table does."
            )
        self._update, self._effort, self._warned = update, update.effort_of(repeats), False
        self._extrapolation = update.extrapolation if extrapolate and encoder.kept is not None else None
        if self._extrapolation is not None and encoder.kept is not None:
            self.known["codes"] = encoder.kept.clone()

    def step(self, closure: Callable[[], Objective]) -> Objective:  # pyright: ignore[reportIncompatibleMethodOverride]
        with torch.enable_grad():
            objective = closure()
        self._update.refuse(objective.divergence, objective.on_W)
        if not self._warned and objective.n_rows is not None and objective.n_samples < objective.n_rows:
            self._warned = True
            log.warning(
                "optimizer=block fits W to each batch alone; with batches of a part of the rows use optimizer=online."
            )
        X, W, H = objective.X, objective.factors.W.detach(), objective.factors.H.detach()
        if isinstance(self._encoder, Table):
            self.learn(replace(objective, factors=objective.factors.detach(), proposal=None))
            step = self._update.on(X, W, objective.on_H)
            H = step.codes(H, self._effort.most(X, len(W)), self._effort.progress)
        else:
            self.learn(objective)
        rows = objective.rows
        how = self._extrapolation if X.weights is None else None  # with weights it does not pay
        if how is not None and rows is not None and objective.n_samples == len(self.known["codes"]):
            self._go_beyond(how, objective, H, W, rows)
        else:
            self._encoder.keep_(H, rows)
            self._decoder.assign_(self._fitted(objective, H, W)[0])
        return objective

    def refuse_data(self, X: Matrix, on_W: Terms) -> None:
        self._update.refuse_data(X, on_W)

    def forget_(self, components: Tensor) -> None:
        """Where the last step came from: with other components, it is no place to go on from."""
        if self._encoder.kept is not None and "codes" in self.known:
            self.known["codes"] = self._encoder.kept.clone()
            for name in ("momentum", "components"):
                self.known.pop(name, None)

    def _fitted(self, objective: Objective, H: Codes, W: Components) -> tuple[Components, HalfStep]:
        X = objective.X
        step = self._update.on(X.T, H.T, objective.terms_W, objective.group)
        return step.codes(W.T, self._effort.most(X.T, len(W)), self._effort.progress).T, step

    def _go_beyond(self, how: Extrapolation, objective: Objective, H: Codes, W: Components, rows: Rows) -> None:
        """H and W come from where the last step went beyond; `known` holds what they were before that."""
        known = self.known
        momentum = Momentum(*known["momentum"]) if "momentum" in known else how.begin(H.device)
        H_before, W_before = known["codes"].index_select(0, rows), known.get("components", W)
        ahead_H = beyond(H_before, H, momentum.b)
        new_W, step = self._fitted(objective, ahead_H, W)
        ahead_W = beyond(W_before, new_W, momentum.b)
        value = step.value(new_W.T) + objective.penalty_on(ahead_H)
        rose, after = how.judge(on_host(value), momentum)
        H, ahead_H = either(rose, H_before, H), either(rose, H_before, ahead_H)
        W, ahead_W = either(rose, W_before, new_W), either(rose, W_before, ahead_W)
        known["momentum"], known["components"] = tuple(after), W
        known["codes"][rows] = H
        self._encoder.keep_(ahead_H, rows)
        self._decoder.assign_(ahead_W)

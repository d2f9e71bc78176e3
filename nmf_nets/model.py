"""What training leaves: a net that codes rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from nmf_nets.as_matrix import as_matrix, is_frame
from nmf_nets.decoders.base import Decoder
from nmf_nets.divergences.base import Divergence
from nmf_nets.encoders.exact import MOST, TOLERANCE
from nmf_nets.encoders.refined import REFINED
from nmf_nets.factorization import Factorization, finite
from nmf_nets.fit import as_given
from nmf_nets.half_steps.coupled import CoupledSteps
from nmf_nets.matrix import Matrix
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder
from nmf_nets.part import part_name
from nmf_nets.preprocessing.base import Preprocessing
from nmf_nets.refusal import Refusal, refuse_count
from nmf_nets.shapes import Components
from nmf_nets.updates.base import Update

Kind = Literal["own", "refined", "exact"]


class Learned(Decoder):
    """Components that learn no more, whatever they were made of: W = W_L … W_1, held as buffers."""

    def __init__(self, levels: Sequence[Tensor], lags: int, copies: int, couples_rows: bool):
        super().__init__()
        self.lags, self.copies, self.couples_rows = lags, copies, couples_rows
        for number, level in enumerate(levels, 1):
            self.register_buffer(f"W{number}", level)

    @property
    def levels(self) -> list[Tensor]:
        return list(self.buffers())

    @property
    def W(self) -> Components:
        return reduce(lambda below, level: level @ below, self.levels)

    def rescale_(self, sizes: Tensor) -> None:
        raise Refusal("the components of a saved model learn no more; resume=DIRECTORY goes on with its training.")


@dataclass(frozen=True, eq=False)
class Model:
    """X ≈ H W for rows of any time: the trained net with all that it takes from a row to its codes.

    net: in evaluation mode; its decoder holds W, its head, if any, says what the codes are for.
    update: the half-step of refined and of exact codes.
    preprocessing: fitted to the training rows; what the net sees, and so what W reconstructs, has gone through it.
    classes: of the head, in its order. signed: whether rows may have negative entries.
    """

    net: NonNegativeAutoencoder
    update: Update
    preprocessing: Preprocessing | None
    feature_names: tuple[str, ...] | None
    image_shape: tuple[int, ...] | None
    classes: tuple[Any, ...] | None
    signed: bool

    @property
    def W(self) -> Components:
        """Of motifs the stacked W_τ; `n_components` · `copies` rows."""
        return self.net.decoder.W

    @property
    def n_components(self) -> int:
        return len(self.W) // self.net.decoder.copies

    @property
    def divergence(self) -> Divergence:
        return self.net.divergence

    def transform(self, X: Any, codes: Kind = "own", batch_size: int | None = None) -> Any:
        """H of rows with the features that the net was trained on; an array for arrays, else a tensor.

        X: whatever `as_matrix` takes; sparse stays sparse. A frame with names must have those of the training data.
        codes: own, in one pass of the encoder; refined, with a few half-steps more; exact, the best there are on W, for
        encoders that have none for new rows too (of β outside 1 … 2 and of motifs, where half-steps end).
        batch_size: rows at a time; None for as many as fit into some 30 MB. Rows of a sequence are always together.
        """
        returned = as_given(X)
        given = self.matrix(X)
        H = torch.cat([H for _, H in self.coded(given, codes, batch_size)])
        return returned(H.to(given.device))

    def inverse_transform(self, H: Any) -> Any:
        """X̂, in the units in which the net saw its data: after preprocessing."""
        returned, decoder = as_given(H), self.net.decoder
        codes = as_matrix(H, self.W.dtype, name="H").dense()
        width = len(self.W) // decoder.lags
        if codes.shape[1] != width:
            raise Refusal(
                f"H must have a column for each of {width} components, but its shape is {tuple(codes.shape)}."
            )
        return returned(decoder(codes.to(self.W.device)).to(codes.device))

    def predict(self, X: Any, codes: Kind = "own", batch_size: int | None = None) -> np.ndarray:
        """The class of each row, by the head. Raises Refusal for a net without one."""
        head = self.net.head
        if head is None or self.classes is None:
            raise Refusal(
                "the net was trained without a head, so that it names no classes; train with head=classifier."
            )
        parts = [head.predict(Factorization(H, self.W)) for _, H in self.coded(self.matrix(X), codes, batch_size)]
        return np.asarray(self.classes)[torch.cat(parts).cpu().numpy()]

    def matrix(self, X: Any) -> Matrix:
        """The rows as they are given. Raises Refusal for features that are not those of the net."""
        names, m = self.feature_names, self.W.shape[1]
        found = [*X.columns] if is_frame(X) and hasattr(X, "columns") else []
        if names is not None and found and all(isinstance(name, str) for name in found) and tuple(found) != names:
            other = next((pair for pair in zip(found, names, strict=False) if pair[0] != pair[1]), None)
            raise Refusal(
                f"X has {len(found)} features, but the net was trained on {len(names)}."
                if other is None
                else f"X has the feature {other[0]!r} where the net was trained on {other[1]!r}; give it the columns "
                "model.feature_names, in their order."
            )
        X = as_matrix(X, self.W.dtype, signed=self.signed)
        if X.shape[1] != m:
            raise Refusal(f"X has {X.shape[1]} features, but the net was trained on {m}.")
        self.divergence.refuse(X)
        return X

    def coded(self, X: Matrix, codes: Kind = "own", batch_size: int | None = None) -> Iterator[tuple[Matrix, Tensor]]:
        """Batches of rows, prepared as the net sees them, each with its codes."""
        if codes not in get_args(Kind):
            raise Refusal(f"codes is {codes!r}, but must be own, refined or exact.")
        encoder, couples_rows = self.net.encoder, self.net.decoder.couples_rows
        if codes != "exact" and not encoder.codes_unseen_rows:
            raise Refusal(
                f"encoder={part_name(encoder)} has no codes of its own for rows that it was not trained on; use "
                "codes=exact, the best there are on its components."
            )
        if batch_size is not None:
            refuse_count("batch_size", batch_size)
            if couples_rows:
                raise Refusal("batch_size cannot be set: the rows are a sequence, whose codes are made together.")
        if couples_rows:
            batches = iter([X])
        elif batch_size is None:
            batches = (batch for _, batch in X.blocks())
        else:
            starts = range(0, X.shape[0], batch_size)
            batches = (X.span(start, min(start + batch_size, X.shape[0])) for start in starts)
        for batch in batches:
            batch = batch.to(self.W.device)
            if self.preprocessing is not None:
                batch = self.preprocessing(batch)
            yield batch, finite(self._codes(batch, codes), "the codes", batch)

    @torch.no_grad()
    def _codes(self, X: Matrix, codes: Kind) -> Tensor:
        net, W, terms = self.net, self.W, self.net.criterion.on_H
        if codes == "own":
            return net.codes(X)
        if net.decoder.couples_rows:
            half_step = CoupledSteps(net.divergence, X, W, net.decoder.lags, terms)
        else:
            half_step = self.update.on(X, W, terms)
        if codes == "refined":
            return half_step.codes(net.codes(X), REFINED)
        return half_step.codes(None, MOST, TOLERANCE)

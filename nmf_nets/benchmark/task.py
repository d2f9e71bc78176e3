"""What is compared on."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from nmf_nets.benchmark.base import Problem
from nmf_nets.criterion import Criterion, Terms
from nmf_nets.data.base import MatrixDataModule
from nmf_nets.divergences.base import Divergence
from nmf_nets.factorization import Factorization
from nmf_nets.inits.base import refuse_n_components
from nmf_nets.matrix import Matrix
from nmf_nets.metrics.svd_excess import svd_error
from nmf_nets.part import given, part_name
from nmf_nets.penalties.base import Penalty
from nmf_nets.refusal import Refusal
from nmf_nets.updates.base import Update


class Task:
    """Data, what is minimised on them, and with how many components; methods train on the training rows.

    update: the exact half-step, which codes held-out rows on everybody's W and finds the best known value.
    penalties_H, penalties_W: what is added to the divergence, by any names; who knows no penalties takes no part.
    """

    def __init__(
        self,
        name: str,
        data: MatrixDataModule,
        divergence: Divergence,
        update: Update,
        n_components: int,
        device: str,
        penalties_H: Mapping[str, Callable[..., Penalty]] | None = None,
        penalties_W: Mapping[str, Callable[..., Penalty]] | None = None,
    ):
        data.setup("fit")
        divergence.refuse(data.training)
        if data.training.weights is not None:
            raise Refusal(
                "methods are compared on data of which every entry counts, but data.missing or data.weights leaves out "
                "some; python train.py judges such data, and nmf_nets.benchmark.missing compares what is found of them."
            )
        on_H, on_W = (
            Terms(tuple(given(make, X=M)() for make in (penalties or {}).values()))
            for penalties, M in ((penalties_H, data.training), (penalties_W, data.training.T))
        )
        self.criterion = Criterion(divergence, on_H, on_W)
        update.refuse(divergence, on_H)
        refuse_n_components(n_components)
        held_out = data.test if data.test is not None else data.validation
        self.name, self.divergence, self.update, self.n_components = name, divergence, update, n_components
        try:
            self.X, self.held_out = data.training.to(device), None if held_out is None else held_out.to(device)
        except (RuntimeError, AssertionError) as error:
            raise Refusal(f"device is {device!r}, but torch cannot use it: {str(error).splitlines()[0]}") from error
        self.dataset = data.dataset
        labels = data.dataset.labels
        self.labels = None if labels is None else np.asarray(labels)[data.training_rows.numpy()]
        self.fingerprint = fingerprint(self.X)

    def problem(self, seed: int) -> Problem:
        return Problem(self.X, self.divergence, self.n_components, seed, self.criterion.on_H, self.criterion.on_W)

    @property
    def identity(self) -> str:
        """Of the problem, whatever the task is called: data, divergence, number of components, penalties."""
        said = [identity_of(self.fingerprint, self.divergence, self.n_components)]
        for letter, n, terms in zip("HW", self.X.shape, (self.criterion.on_H, self.criterion.on_W), strict=True):
            drawn = torch.rand(n, self.n_components, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
            M = drawn.to(self.X.device)  # a penalty is known by what it says of one factor
            said += [f"{part_name(penalty)}({letter})={float(penalty.value(M)):.12g}" for penalty in terms.penalties]
        return " ".join(said)

    def facts(self) -> dict[str, Any]:
        """What a report says of it."""
        n, m = self.X.shape
        return {
            "task": self.name,
            "divergence": " + ".join([part_name(self.divergence), *self._penalties]),
            "beta": self.divergence.beta,
            "n_components": self.n_components,
            "n_samples": n,
            "n_features": m,
            "n_held_out": 0 if self.held_out is None else self.held_out.shape[0],
            "filled": int((self.X.values > 0).sum()) / (n * m),
            "sparse": self.X.is_sparse,
            "dtype": str(self.X.dtype).removeprefix("torch."),
            "device": str(self.X.device),
            "fingerprint": self.fingerprint,
            "identity": self.identity,
            "rounding": self.divergence.rounding(self.X),
            "svd_error": svd_error(self.X, self.n_components),
            "independent_value": self._independent_value,
            "image_shape": self.dataset.image_shape,
        }

    @property
    def _penalties(self) -> list[str]:
        of_both = (("H", self.criterion.on_H), ("W", self.criterion.on_W))
        return [f"{part_name(penalty)} on {letter}" for letter, terms in of_both for penalty in terms.penalties]

    @property
    def _independent_value(self) -> float:
        """D at X̂ = (X 1)(1ᵀ X) / ΣX, the yardstick of divergences other than Frobenius."""
        X = self.X.to(torch.float64)
        one = torch.ones(X.shape[1], 1, dtype=torch.float64, device=X.device)
        H, W = X @ one, (X.T @ one.new_ones(X.shape[0], 1)).T / X.sum
        return float(self.divergence.total(X, Factorization(H, W)))


def identity_of(fingerprint: str, divergence: Divergence, n_components: int) -> str:
    return f"{fingerprint} beta={divergence.beta:g} n_components={n_components}"


def fingerprint(X: Matrix | Factorization) -> str:
    """Of the shape and the numbers, to the bit; the same in every dtype that holds them exactly."""
    if isinstance(X, Factorization):
        parts = [X.H, X.W]
    else:
        csr = getattr(X, "csr", None)
        parts = [X.values] if csr is None else [csr.crow_indices(), csr.col_indices(), X.values]
    found = hashlib.blake2b(repr([tuple(part.shape) for part in parts]).encode(), digest_size=16)
    for part in parts:
        exact = part.detach().cpu().to(torch.float64 if part.is_floating_point() else torch.int64)
        found.update(np.ascontiguousarray(exact.numpy()).data)
    return found.hexdigest()

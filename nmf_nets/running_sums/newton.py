"""Sums over rows for the Kullback–Leibler divergence, whose model is Newton's."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nmf_nets.kernels.columns import Rows, Sums, fit_columns
from nmf_nets.matrix import Matrix
from nmf_nets.objective import Objective
from nmf_nets.refusal import Refusal
from nmf_nets.running_sums.base import LARGE, RunningSums
from nmf_nets.shapes import Codes, Components


@dataclass(frozen=True)
class NewtonSums(RunningSums):
    """For each feature j, with h and x̂ as the row had them when it was last seen, the second-order model of D in W_·j

        ½ w Q_j wᵀ − (p_j − s) w + const
        Q_j = Σ_i v_i x_ij h_iᵀ h_i / x̂_ij²        p_j = Σ_i 2 v_i x_ij h_i / x̂_ij        s = Σ_i v_i h_i

    with weights v, and with l1 and l2 on W, minimised by coordinate steps (fit_columns), for the features of the batch,
    and for all at the end of a pass. What was seen in this pass over the rows and what was left from the last are
    summed apart, so that rounding does not pile up. Holds codes of all rows, an x̂ for every entry of X and 2 r²
    numbers for every feature.
    Source: the incremental Newton method of Rodomanov & Kropotov (2016), with a model for each feature.
    """

    over_ranks = False

    def fitted(self, objective: Objective, known: dict[str, Any]) -> Components:
        X, W, H = objective.X, objective.factors.W.detach(), objective.factors.H.detach()
        n_rows = objective.n_rows
        if objective.rows is not None and n_rows is None:
            raise Refusal(
                "optimizer=online has to know where a pass over the rows ends, but the batch does not say how many "
                "there are; give Batch its n_rows, or no rows for a stream."
            )
        if "sums" not in known:
            known |= {"sums": _nothing(W), "before": _nothing(W), "s": W.new_zeros(len(W)), "penalty": torch.zeros(2)}
        begins = self.count(objective, known)
        if objective.rows is None or n_rows is None:
            W = self._added(X, H, W, known, self.coefficients(objective, known))
        else:
            if "history" not in known:
                known |= {"history": W.new_zeros(n_rows, len(W)), "weights": W.new_zeros(n_rows)}
                known |= {"lengths": W.new_zeros(n_rows), "x_hat": []}
            if begins:
                _begin_pass(known)
            W = self._replaced(X, H, W, objective.rows, known, self.coefficients(objective, known))
        if known["weight"] > LARGE:
            of_rows = known.get("weights", known["s"][:0])
            for part in (known["s"], *known["sums"][:2], *known["before"][:2], known["penalty"], of_rows):
                part /= known["weight"]
            known["weight"] = 1.0
        return W

    def forget_(self, known: dict[str, Any], components: Tensor) -> None:
        for Q, p, _ in (known[name] for name in ("sums", "before") if name in known):
            Q[:, components] = 0
            Q[:, :, components] = 0
            p[:, components] = 0
        if "s" in known:
            known["s"][components] = 0
        if "history" in known:
            known["history"][:, components] = 0

    def _added(
        self, X: Matrix, H: Codes, W: Components, known: dict[str, Any], entries: tuple[float, float]
    ) -> Components:
        """W once the rows of a stream were seen. Of a feature that none has had until batch t, or none with a
        component, the best w_kj is 0; it is 1/t of what it was at first: as if it had been seen once, not to be lost if
        it comes.
        """
        t = known["batches"]
        W = self._solved(X, H, W, None, known, entries)[0]
        met = known["sums"][0].diagonal(dim1=1, dim2=2).T > 0
        unused = known["s"][:, None] == 0
        return torch.where(met | unused, W, (1 - 1 / t if t > 1 else 1) * W)

    def _replaced(
        self, X: Matrix, H: Codes, W: Components, index: Tensor, known: dict[str, Any], entries: tuple[float, float]
    ) -> Components:
        """W once the rows of the training matrix at the index were seen again, or for the first time."""
        n_rows, first = len(known["history"]), isinstance(known["x_hat"], list)
        all_columns = known["seen"] == n_rows
        if first:
            W, rows = self._solved(X, H, W, None, known, entries, all_columns)
            known["lengths"][index] = X.row_lengths.to(W.dtype)
            known["x_hat"].append((index, rows.x_hat))
        else:
            places = _places(known["lengths"], index)
            old = Rows(known["history"][index], known["x_hat"][places], known["weights"][index])
            known["s"] -= old.weights @ old.H
            W, rows = self._solved(X, H, W, old, known, entries, all_columns)
            known["x_hat"][places] = rows.x_hat
        known["history"][index], known["weights"][index] = H, known["weight"]
        return W

    def _solved(
        self,
        X: Matrix,
        H: Codes,
        W: Components,
        old: Rows | None,
        known: dict[str, Any],
        entries: tuple[float, float],
        all_columns: bool = False,
    ) -> tuple[Components, Rows]:
        known["s"] += known["weight"] * H.sum(0)
        sums, before = Sums(*known["sums"]), Sums(*known["before"])
        new, (linear, ridge) = H.new_full((len(H),), known["weight"]), entries
        return fit_columns(X, H, new, W, known["s"] + linear, old, before, sums, self.repeats, all_columns, ridge)


def _begin_pass(known: dict[str, Any]) -> None:
    """What was summed in the last pass is what the rows of this one are taken out of."""
    known["before"], known["sums"] = known["sums"], known["before"]
    for part in known["sums"]:
        part.zero_()
    known["s"] = known["weights"] @ known["history"]
    if isinstance(known["x_hat"], list):  # the first pass is over: all rows in the order of the training matrix
        lengths, chunks = known["lengths"], known["x_hat"]
        known["x_hat"] = torch.cat([x_hat for _, x_hat in chunks])
        order = torch.cat([_places(lengths, index.long()) for index, _ in chunks])
        known["x_hat"] = torch.empty_like(known["x_hat"]).index_copy_(0, order, known["x_hat"])


def _nothing(W: Components) -> list[Tensor]:
    r, m = W.shape
    return [W.new_zeros(m, r, r), W.new_zeros(m, r), W.new_zeros(m)]


def _places(lengths: Tensor, index: Tensor) -> Tensor:
    """Where the values of these rows lie among those of all, which have so many each."""
    lengths = lengths.long()
    begin, here = lengths.cumsum(0) - lengths, lengths[index]
    shift = torch.repeat_interleave(begin[index] - (here.cumsum(0) - here), here)
    return shift + torch.arange(len(shift), device=shift.device)

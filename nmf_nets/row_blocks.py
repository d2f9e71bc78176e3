"""The rows of X that one rank reads, a block at a time."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from nmf_nets.codes.base import KeptCodes, WritableCodes
from nmf_nets.divergences.base import Divergence
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.factorization import Factorization
from nmf_nets.group import Group
from nmf_nets.matrix import Matrix, stacked
from nmf_nets.row_solver import RowSolver
from nmf_nets.row_sums.totals import Totals
from nmf_nets.shapes import Codes, Components
from nmf_nets.sources.base import Source


class RowBlocks:
    """This rank's part of the rows of a source, which may be none, in blocks of about so many values.

    unit, totals: each block is X / unit, and knows itself as some rows of it; set after `survey`, the first pass.
    """

    def __init__(self, source: Source, group: Group, values: int, device: torch.device):
        self.source, self.group, self.values, self.device = source, group, values, device
        self.start, self.stop = group.span(source.shape[0])
        self.unit, self.totals = 1.0, Totals.none(source.shape[1])

    def survey(self, divergence: Divergence, wanted: np.ndarray) -> tuple[Totals, Matrix | None]:
        """What is to be known of all of X, and on rank 0 the wanted rows, given by their numbers in X, rising.

        Raises Refusal, on all ranks, for entries that the source or the divergence refuses.
        """
        totals, found = Totals.none(self.source.shape[1]), []
        with self.group.agreeing():
            for rows, X in self._given():
                divergence.refuse(X, rows.start)
                totals += Totals.of(X)
                here = wanted[np.searchsorted(wanted, rows.start) : np.searchsorted(wanted, rows.stop)]
                if len(here):
                    found.append(X.rows(torch.from_numpy(here - rows.start)))
        parts = [part for each in self.group.at_first(found) for part in each]
        return totals.over(self.group), stacked(parts) if parts else None

    def add_(
        self, sums: Tensor, solver: RowSolver, W: Components, known: KeptCodes, made: WritableCodes, valued: bool
    ) -> None:
        """New codes of all rows from those that are known; to sums, those of the solver over all rows, and R(H) last.

        valued: whether the sums are asked for D.
        """
        made.begin()
        for rows, X, H in self._coded(solver, W, known):
            made.put(rows.start, H)
            solver.sums.add_(sums[:-1], X, H, W, valued)
            sums[-1] += solver.on_H.value(H)

    def finish(
        self, divergence: Divergence, solver: RowSolver, W: Components, known: KeptCodes, made: WritableCodes
    ) -> tuple[float, float]:
        """The last codes of all rows, in the units of X; of all ranks D and ‖X − H W‖², of X / unit, in float64."""
        measured = torch.zeros(2, dtype=torch.float64)
        made.begin()
        for rows, X, H in self._coded(solver, W, known):
            made.put(rows.start, H * self.unit**0.5)
            factors = Factorization(H, W)
            value = float(divergence.total(X, factors))
            square = 2 * (value if divergence.beta == 2 else float(Frobenius().total(X, factors)))
            measured += torch.tensor([value, square], dtype=torch.float64)
        self.group.sum_(measured)
        return float(measured[0]), float(measured[1])

    def _coded(self, solver: RowSolver, W: Components, known: KeptCodes) -> Iterator[tuple[slice, Matrix, Codes]]:
        whole = self.totals.whole(self.device)
        for rows, given in self._given():
            X = given.to(self.device)
            X = (X if self.unit == 1 else X.divided(self.unit)).among(whole)
            H = known.rows(rows.start, rows.stop)
            yield rows, X, solver.codes(X, None if H is None else H.to(self.device), W)

    def _given(self) -> Iterator[tuple[slice, Matrix]]:
        if self.start < self.stop:
            yield from self.source.blocks(self.start, self.stop, self.values)

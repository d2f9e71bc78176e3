"""Where the codes of a run over row blocks come from and go to."""

from pathlib import Path

from nmf_nets.checkpoints import Checkpoints, State
from nmf_nets.codes.base import KeptCodes, WritableCodes
from nmf_nets.codes.resident import Resident
from nmf_nets.divergences.base import Divergence
from nmf_nets.part import part_name
from nmf_nets.row_blocks import RowBlocks

CODES_IN_MEMORY = 2**30
"""Bytes of codes on a rank, beyond which auto keeps them in a file."""


class RowStore:
    """Where codes come from and go to: memory, or the slots of checkpoints.

    saved: the state that is gone on from, with its codes.
    """

    def __init__(
        self,
        blocks: RowBlocks,
        n_components: int,
        divergence: Divergence,
        solver: str,
        directory: str | Path | None,
        codes: str,
    ):
        shape, dtype, group = blocks.source.shape, blocks.source.dtype, blocks.group
        self._part = blocks.start, blocks.stop
        self._checkpoints: Checkpoints | None = None
        self.saved: tuple[State, KeptCodes] | None = None
        if directory is not None:
            about = {"n_samples": shape[0], "n_features": shape[1], "n_components": n_components, "dtype": str(dtype)}
            about |= {"divergence": part_name(divergence), "beta": divergence.beta, "solver": solver}
            self._checkpoints = Checkpoints(Path(directory), (shape[0], n_components), dtype, group, about)
            self.saved = self._checkpoints.restored()
            self._checkpoints.begin()
        large = -(-shape[0] // group.size) * n_components * dtype.itemsize > CODES_IN_MEMORY
        in_file = directory is not None and (codes == "disk" or (codes == "auto" and large))
        self._resident = None if in_file else Resident(*self._part, n_components, dtype)

    @property
    def free(self) -> WritableCodes:
        """What a pass may write into."""
        if self._resident is not None:
            return self._resident
        assert self._checkpoints is not None
        return self._checkpoints.free

    def save(self, state: State, codes: KeptCodes) -> None:
        """Where there is a directory for it."""
        if self._checkpoints is not None:
            self._checkpoints.save(state, codes, self._part)

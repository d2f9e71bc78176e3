"""What a run over row blocks leaves so that it can go on: W in one file, the codes of all rows in another."""

import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
import torch

from nmf_nets.codes.base import KeptCodes
from nmf_nets.codes.on_disk import OnDisk
from nmf_nets.group import Group
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Components
from nmf_nets.watch import Moment
from nmf_nets.whole_file import SEAL, SealedFile, fault

SLOTS = 3
"""Files of codes: of the newest state, of the one before it, and the one that passes write into."""

HEIGHT = 2**16
"""Rows that are copied at a time."""


@dataclass(frozen=True)
class State:
    """Of a run after so many iterations, beside its codes."""

    iteration: int
    W: Components
    history: list[Moment]


class _Saved(NamedTuple):
    """A state file: the state, the slot of its codes, and (start, stop, CRC-32) of the rows of each rank that wrote."""

    state: State
    slot: int
    parts: list[list[int]]


class Checkpoints:
    """DIRECTORY/state.safetensors, sealed, with state.earlier.safetensors, and codes-0.npy … codes-2.npy.

    A state is saved when the codes of all ranks have reached the disk in the free slot; that of the newest and of the
    one before it are not written to, so that both are whole whatever ends the run. All ranks see one file system, and
    each the codes of its own rows: how many ranks wrote does not matter.

    about: what a state must have been made with to be gone on from.
    """

    def __init__(
        self, directory: Path, shape: tuple[int, int], dtype: torch.dtype, group: Group, about: Mapping[str, Any]
    ):
        self._file, self._group, self._about = SealedFile(directory / "state.safetensors"), group, dict(about)
        self._slots = [OnDisk(directory / f"codes-{slot}.npy", *shape, dtype) for slot in range(SLOTS)]
        self._n_samples, self._taken = shape[0], [-1, -1]  # by the newest state, by the one before

    @property
    def free(self) -> OnDisk:
        """The slot that passes may write into."""
        return self._slots[self._free]

    @property
    def _free(self) -> int:
        return next(slot for slot in range(SLOTS) if slot not in self._taken)

    def begin(self) -> None:
        """From nothing, or on from what `restored` found."""
        with self._group.agreeing():
            if self._group.rank == 0:
                self.free.make()

    def restored(self) -> tuple[State, OnDisk] | None:
        """The newest whole state and its codes, the same on all ranks; None where there is no state.

        A state that is broken, or whose codes are, is warned of, and set aside. Raises Refusal if none is whole, or for
        one of another problem.
        """
        broken = []
        for path in (self._file.path, self._file.earlier):
            if not path.exists():
                continue
            found, why = self._checked(path)
            if found is not None:
                self._taken = [found.slot, -1]
                self._set_aside(broken, path)
                return found.state, self._slots[found.slot]
            broken.append(path)
            if self._group.rank == 0:
                warnings.warn(f"{path} {why}; the state before it is taken", stacklevel=2)
        if broken:
            raise Refusal(
                f"none of {', '.join(map(str, broken))} is whole; move {broken[0].parent} away to begin anew."
            )
        return None

    def save(self, state: State, codes: KeptCodes, part: tuple[int, int]) -> None:
        """When this returns, on all ranks, both it and the state before it are whole on the disk."""
        group, slot = self._group, self.free
        with group.agreeing():
            if codes is not slot:
                slot.begin()
                for start in range(*part, HEIGHT):
                    H = codes.rows(start, min(start + HEIGHT, part[1]))
                    assert H is not None
                    slot.put(start, H)
            slot.sync()
        parts = torch.zeros(group.size, 3, dtype=torch.int64)
        parts[group.rank] = torch.tensor([*part, slot.checksum])
        group.sum_(parts)
        with group.agreeing():
            if group.rank == 0:
                self._write(_Saved(state, self._free, parts.tolist()))
        self._taken = [self._free, self._taken[0]]
        self.begin()

    def _write(self, saved: _Saved) -> None:
        about = {
            "about": self._about,
            "iteration": saved.state.iteration,
            "history": [asdict(moment) for moment in saved.state.history],
            "slot": saved.slot,
            "parts": saved.parts,
        }
        tensors = {"W": saved.state.W.detach().cpu().contiguous()}
        with self._file.replacing() as unfinished:
            unfinished.write_bytes(safetensors.torch.save(tensors, {"state": json.dumps(about)}))

    def _checked(self, path: Path) -> tuple[_Saved | None, str]:
        """Each rank looks at some of the codes."""
        why, found = fault(path), None
        self._agree_on(path, why is None)
        if why is not None:
            return None, why
        found = self._read(path)
        codes, group = self._slots[found.slot], self._group
        mine = [part for number, part in enumerate(found.parts) if number % group.size == group.rank]
        damaged = torch.tensor([0.0])
        for start, stop, checksum in mine:
            if start < stop and codes.checksum_of(start, stop) != checksum:
                damaged[0] = 1
        group.max_(damaged)
        return (None, f"has codes in {codes.path} that are not those that were saved") if damaged else (found, "")

    def _read(self, path: Path) -> _Saved:
        about = said_of_state(path)
        for name, value in self._about.items():
            was = about["about"].get(name)
            if was != value:
                raise Refusal(
                    f"{path} is of a run with {name} {was}, but this one has {value}; give it that, or another "
                    "directory."
                )
        W = safetensors.torch.load(path.read_bytes()[: -SEAL.size])["W"]
        history = [Moment(**moment) for moment in about["history"]]
        return _Saved(State(about["iteration"], W, history), about["slot"], about["parts"])

    def _agree_on(self, path: Path, whole: bool) -> None:
        seen = torch.tensor([float(whole), -float(whole)])
        self._group.max_(seen)
        if float(seen[0]) != -float(seen[1]):
            raise Refusal(f"{path} is whole for some ranks alone; all must see one file system.")

    def _set_aside(self, broken: list[Path], whole: Path) -> None:
        """What is broken, or it would take the place of the whole one when the next state comes."""
        self._group.wait()
        if self._group.rank == 0:
            for path in broken:
                path.rename(path.with_name(f"{path.name}.broken"))
            if whole != self._file.path:
                whole.rename(self._file.path)
            elif fault(self._file.earlier) is None:
                self._taken[1] = self._read(self._file.earlier).slot
        earlier = torch.tensor([self._taken[1]])
        self._group.from_first_(earlier)
        self._taken[1] = int(earlier)


def said_of_state(path: Path) -> dict[str, Any]:
    """What a whole state file says of itself, beside W."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return json.loads(json.loads(file.read(length))["__metadata__"]["state"])

"""The judgements of criteria as files: what is there is not made again."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from nmf_nets.matrix import Matrix
from nmf_nets.refusal import Refusal, first_line
from nmf_nets.selection.base import Judgement
from nmf_nets.whole_file import replacing

FIGURE, ARRAY = "figure/", "array/"


class Judgements:
    """A file of arrays for every criterion and number of components, whole or not there.

    identities: of each criterion, by its name, all that its judgements depend on. A file with another one is refused.
    """

    def __init__(self, path: Path, identities: Mapping[str, Mapping[str, Any]]):
        self.path = path
        self.identities = {name: json.dumps(identity, sort_keys=True) for name, identity in identities.items()}

    def get(self, criterion: str, n_components: int) -> Judgement | None:
        """None where it is not there. Raises Refusal for one of other data or settings, and for what is none."""
        path = self._file(criterion, n_components)
        if not path.is_file():
            return None
        try:
            with np.load(path, allow_pickle=False) as file:
                found = dict(file)
            identity, values, whole = str(found.pop("identity")), found.pop("values"), float(found.pop("whole"))
        except Exception as error:  # numpy fails in many ways on what it did not write
            raise Refusal(f"{path} is no judgement of ours ({first_line(error)}); delete it.") from error
        if identity != self.identities[criterion]:
            raise Refusal(
                f"{path} is of other data or settings ({_difference(identity, self.identities[criterion])}); "
                "directory=… names a new directory."
            )
        return Judgement(
            values,
            None if np.isnan(whole) else whole,
            {key.removeprefix(FIGURE): float(value) for key, value in found.items() if key.startswith(FIGURE)},
            {key.removeprefix(ARRAY): value for key, value in found.items() if key.startswith(ARRAY)},
        )

    def save(self, criterion: str, n_components: int, judgement: Judgement) -> None:
        parts: dict[str, Any] = {
            "identity": self.identities[criterion],
            "values": judgement.values,
            "whole": np.nan if judgement.whole is None else judgement.whole,
            **{FIGURE + name: value for name, value in judgement.figures.items()},
            **{ARRAY + name: array for name, array in judgement.arrays.items()},
        }
        with replacing(self._file(criterion, n_components)) as unfinished, unfinished.open("wb") as file:
            np.savez_compressed(file, **parts)

    @contextmanager
    def claimed(
        self,
        numbers: Sequence[int],
        beside: Callable[[int], Sequence[int]],
        wait: Callable[[], None],
    ) -> Iterator[list[int]]:
        """The first of the numbers that no other process works on, and those of `beside` it that none does either.

        They are left alone by all that work in this directory until the block, or the process, ends. Where others work
        on all of them, `wait` is told, and the first that they leave is taken: they have judged it, or they died.
        """
        with ExitStack() as held:

            def take(number: int, timeout: float = 0) -> bool:
                try:
                    held.enter_context(FileLock(self.path / f"{number}.lock", timeout=timeout))
                except Timeout:
                    return False
                return True

            self.path.mkdir(parents=True, exist_ok=True)
            first = next(filter(take, numbers), None)
            if first is None:
                wait()
                first = numbers[0]
                take(first, timeout=-1)
            yield [first, *(number for number in beside(first) if number != first and take(number))]

    def _file(self, criterion: str, n_components: int) -> Path:
        return self.path / f"{criterion}-{n_components}.npz"


def fingerprint(X: Matrix) -> str:
    """Of all that X holds."""
    digest = blake2b(repr((X.shape, X.dtype)).encode(), digest_size=12)
    arrays = [X.numpy()] if not X.is_sparse else [getattr(X.numpy(), part) for part in ("data", "indices", "indptr")]
    if X.weights is not None:
        arrays.append(X.weights.cpu().numpy())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _difference(one: str, other: str) -> str:
    """The names of the entries that differ."""
    found, asked = json.loads(one), json.loads(other)
    return ", ".join(sorted(key for key in {*found, *asked} if found.get(key) != asked.get(key)))

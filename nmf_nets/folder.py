"""Folders of files, whose subfolders may be classes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nmf_nets.refusal import Refusal


def files_of(path: Path, suffixes: Sequence[str]) -> list[Path]:
    """All files of a folder and its subfolders that end so, by their names, hidden ones left out; or the file itself.

    Raises Refusal if there are none.
    """
    endings = ", ".join(suffixes)
    if path.is_file():
        if path.suffix.lower() not in suffixes:
            raise Refusal(
                f"data.path is {str(path)!r}, but must be a file that ends in {endings}, or a folder of them."
            )
        return [path]
    if not path.is_dir():
        raise Refusal(f"data.path is {str(path)!r}, but there is no such file or folder (seen from {Path.cwd()}).")
    inside = sorted(file for file in path.rglob("*") if file.is_file() and not _is_hidden(file.relative_to(path)))
    found = [file for file in inside if file.suffix.lower() in suffixes]
    if not found:
        others = f"; the first of what it holds is {inside[0].relative_to(path)}" if inside else ""
        raise Refusal(f"{path} must hold files that end in {endings}, but holds none{others}.")
    return found


def names_in(path: Path, files: Sequence[Path]) -> tuple[str, ...]:
    """What the files are called, seen from the folder."""
    return tuple(file.name if file == path else file.relative_to(path).as_posix() for file in files)


def classes_in(path: Path, files: Sequence[Path]) -> np.ndarray | None:
    """The subfolder of each file; None where all lie in the folder itself. Raises Refusal if only some do."""
    inside = [file.relative_to(path).parts for file in files]
    loose = [file for file, parts in zip(files, inside, strict=True) if len(parts) < 2]
    if len(loose) == len(files):
        return None
    if loose:
        raise Refusal(
            f"the subfolders of {path} are taken for classes, but {loose[0].name} lies in none; move it into one, or "
            "all files into one folder."
        )
    return np.array([parts[0] for parts in inside])


def _is_hidden(inside: Path) -> bool:
    return any(part.startswith(".") for part in inside.parts)

"""Mutations of 21 genomes, made of five signatures, and those signatures among others, as the two tables of types."""

from pathlib import Path

import numpy as np

BASES = "ACGT"
CHANGES = ("C>A", "C>G", "C>T", "T>A", "T>C", "T>G")
TYPES = [f"{before}[{change}]{after}" for change in CHANGES for before in BASES for after in BASES]
PLANTED = ("SBS1", "SBS2", "SBS3", "SBS5", "SBS13")
OTHERS = ("SBS4", "SBS6", "SBS7a")


def write(folder: Path, seed: int = 0) -> None:
    """SBS1, SBS2 and SBS13 have the few peaks of their namesakes, SBS3 and SBS5 are flat; the others are drawn."""
    chance = np.random.default_rng(seed)
    signatures = {name: chance.gamma(0.4, size=96) for name in (*PLANTED, *OTHERS)}
    peaks = {"SBS1": [kind for kind in TYPES if kind.endswith("[C>T]G")]}
    peaks |= {name: [f"T[{change}]{after}" for after in "AT"] for name, change in (("SBS2", "C>T"), ("SBS13", "C>G"))}
    for name, kinds in peaks.items():
        signatures[name] = np.isin(TYPES, kinds) + 0.002
    for name in ("SBS3", "SBS5"):
        signatures[name] = chance.gamma(3, size=96)
    W = np.array([signature / signature.sum() for signature in signatures.values()])
    exposures = chance.gamma(0.7, size=(21, len(PLANTED))) * 3000 + 100
    counts = chance.poisson(exposures @ W[: len(PLANTED)])
    genomes = [f"PD{4000 + i}a" for i in range(21)]
    _table(folder / "breast21_sbs96.tsv", "Mutation Types", genomes, counts.T)
    _table(folder / "cosmic_v3.4_sbs96.tsv", "Type", list(signatures), W.T)


def _table(path: Path, corner: str, columns: list[str], rows: np.ndarray) -> None:
    lines = ["\t".join([corner, *columns])]
    lines += ["\t".join([kind, *(f"{value:.8g}" for value in row)]) for kind, row in zip(TYPES, rows, strict=True)]
    path.write_text("\n".join(lines) + "\n")

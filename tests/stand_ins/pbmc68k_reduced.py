"""Expression of cells of three types, in the format of pbmc68k_reduced.h5ad: counts in raw, X centred."""

from pathlib import Path

import numpy as np
import scipy.sparse

MARKERS = {
    "CD19+ B": ["CD79A", "CD79B", "MS4A1", "CD74", "HLA-DRA", "IGJ"],
    "CD56+ NK": ["NKG7", "GNLY", "GZMB", "PRF1", "KLRD1", "CST7"],
    "CD14+ Monocyte": ["LYZ", "S100A8", "S100A9", "FCN1", "CST3", "TYROBP"],
}


def write(folder: Path, n_cells: int = 90, n_others: int = 60, seed: int = 0) -> None:
    """A type has its own genes high and the others near nothing; the rest are the same in all."""
    import anndata
    import pandas as pd

    chance = np.random.default_rng(seed)
    genes = [*(gene for own in MARKERS.values() for gene in own), *(f"GENE{i}" for i in range(n_others))]
    labels = np.repeat(list(MARKERS), n_cells // len(MARKERS))
    level = np.array([[8.0 if gene in MARKERS[kind] else 0.3 for gene in genes] for kind in labels])
    level[:, -n_others:] = chance.gamma(1, size=n_others)
    counts = np.log1p(chance.poisson(level * chance.gamma(4, 0.25, size=(len(labels), 1)))).astype(np.float32)
    of_genes = pd.DataFrame(index=genes)
    of_cells = pd.DataFrame({"bulk_labels": pd.Categorical(labels)}, index=[f"CELL{i}-1" for i in range(len(labels))])
    cells = anndata.AnnData(scipy.sparse.csr_matrix(counts), obs=of_cells, var=of_genes)
    cells.raw = cells.copy()
    cells.X = counts - counts.mean(0)
    cells.write_h5ad(folder / "pbmc68k_reduced.h5ad")

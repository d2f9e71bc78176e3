"""NMF beside the truncated SVD: `python -m nmf_nets.benchmark.relations FILE [--to FIGURE]`, of images or of words."""

import argparse
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from matplotlib.figure import Figure

from nmf_nets import factorize
from nmf_nets.as_matrix import as_matrix
from nmf_nets.contents import Contents, contents_of
from nmf_nets.factorization import Factorization
from nmf_nets.metrics.relative_error import relative_error
from nmf_nets.metrics.sparseness import hoyer_sparseness
from nmf_nets.metrics.svd_excess import svd_error
from nmf_nets.pages.table import Table
from nmf_nets.plots.signs import cosines, draw_signs
from nmf_nets.preprocessing.tf_idf import TfIdf
from nmf_nets.refusal import Refusal
from nmf_nets.spectrum import truncated_svd


def relations(given: Contents, n_components: int = 16) -> tuple[Table, Figure]:
    """Signs, orthogonality, sparseness and error of both; words are weighed by tf-idf first."""
    X, names = as_matrix(given.X), given.feature_names
    if given.image_shape is None and names is None:
        raise Refusal("components are looked at as images or as words; give a file with image_shape or vocabulary.")
    if given.image_shape is None:
        weighed = TfIdf()
        weighed.fit(X)
        X = weighed(X)
    of: Any = X.numpy()
    result = factorize(of, n_components, max_iter=200)
    W = torch.as_tensor(result.W)
    W = W[
        torch.linalg.vector_norm(W, dim=1)
        .mul(torch.linalg.vector_norm(torch.as_tensor(result.H), dim=0))
        .argsort(descending=True)
    ]
    V = truncated_svd(X, n_components)[2]
    V = V * V.sum(1, keepdim=True).sign()
    errors = {
        "NMF": relative_error(X, Factorization(torch.as_tensor(result.H), torch.as_tensor(result.W))),
        "truncated SVD": svd_error(X, n_components),
    }
    lines = []
    for (name, error), M in zip(errors.items(), (W, V), strict=True):
        overlap = cosines(M.double().numpy()) - torch.eye(len(M)).numpy()
        measured = {
            "negative": float((M < 0).double().mean()),
            "zero": float((M == 0).double().mean()),
            "sparseness": float(hoyer_sparseness(M).mean()),
            "largest cosine": float(abs(overlap).max()),
        }
        lines.append({"method": name, **measured, "error": error})
    title = f"{X.shape[0]:,} × {X.shape[1]:,}, {n_components} components"
    formats = {"negative": "{:.1%}", "zero": "{:.1%}", "sparseness": "{:.2f}", "largest cosine": "{:.2f}"}
    caption = "Entries of the components below and equal to 0; cosines between two of them; ‖X − H W‖ / ‖X‖."
    table = Table("relations", title, pd.DataFrame(lines), {**formats, "error": "{:.4f}"}, caption)
    return table, draw_signs({"NMF": W, "truncated SVD": V}, given.image_shape, names)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m nmf_nets.benchmark.relations", description=relations.__doc__)
    parser.add_argument("file", type=Path, help="of data=matrix, with image_shape or vocabulary")
    parser.add_argument("--components", type=int, default=16)
    parser.add_argument("--to", type=Path, help="a file for the figure, .png or .svg")
    asked = parser.parse_args()
    table, figure = relations(contents_of(asked.file).fitting, asked.components)
    print(table.markdown())  # noqa: T201 - it is a program
    if asked.to is not None:
        figure.savefig(asked.to, dpi=80)


if __name__ == "__main__":
    main()

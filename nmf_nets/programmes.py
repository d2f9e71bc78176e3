"""Gene programmes: components of the expression of cells, by their own genes and by the cells that use them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from scipy.stats import false_discovery_control, mannwhitneyu
from torch import Tensor

from nmf_nets.division import ratio
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.refusal import Refusal, refuse_count
from nmf_nets.shapes import Codes

ROUNDING = 1e-12
"""Of the mean square of a gene: a variance below is none."""

Scores = Float[Tensor, "components features"]


def usages(factors: Factorization) -> Codes:
    """The part of each programme in each cell, h_ik Σ_j w_kj in rows of sum 1; zeros for a cell of no expression."""
    given = factors.H.double() * factors.W.double().sum(1)
    return ratio(given, given.sum(1, keepdim=True))


def gene_scores(X: Matrix, usages: Codes) -> Scores:
    """U⁺ Z, the least-squares coefficients of each gene's z-scores on the usages: above 0 where cells have more of the
    gene than others as they use more of the programme.

    A gene that all cells express alike has a great weight in W and a score near 0, so that housekeeping genes lead no
    list. One that does not vary has 0 everywhere. Sparse X stay sparse.
    Source: the gene scores of cNMF, Kotliar et al. (2019).
    """
    X, P = X.to(torch.float64), torch.linalg.pinv(usages.double())
    part = torch.full((X.shape[0], 1), 1 / X.shape[0], dtype=torch.float64, device=P.device)
    mean, square = X.T @ part, X.with_values(X.values**2).T @ part
    variance = square - mean**2
    deviation = torch.where(variance > ROUNDING * square, variance, 0).sqrt()
    return ratio((X.T @ P.T - mean * P.sum(1)).T, deviation.T)


def gene_lists(scores: Scores, genes: Sequence[str], count: int = 50) -> list[list[tuple[str, float]]]:
    """Of each programme the `count` genes of greatest score, greatest first, and their scores; none of 0 or less."""
    refuse_count("count", count)
    top = scores.argsort(dim=1, descending=True, stable=True)[:, :count]
    return [
        [(genes[int(j)], float(row[j])) for j in order if row[j] > 0] for row, order in zip(scores, top, strict=True)
    ]


def gmt(lists: Sequence[Sequence[tuple[str, float]]], about: str) -> str:
    """Gene sets as enrichment tools read them: a line a set, of its name, what it is, and its genes, between tabs.

    Empty sets are left out, as those tools refuse them. Source: the format of GSEA and MSigDB.
    """
    lines = zip(programme_names(len(lists)), lists, strict=True)
    return "".join("\t".join([name, about, *(gene for gene, _ in found)]) + "\n" for name, found in lines if found)


def rnk(scores: Float[Tensor, " features"], genes: Sequence[str]) -> str:
    """All genes with their scores, greatest first, as preranked enrichment reads them. Source: the format of GSEA."""
    order = scores.argsort(descending=True, stable=True).tolist()
    return "".join(f"{genes[j]}\t{float(scores[j]):.6g}\n" for j in order)


def associations(usages: Codes, types: Sequence[object] | np.ndarray) -> pd.DataFrame:
    """A row for each programme and type of cell: mean usage in cells of the type and in others, `auroc`, the chance
    that one of the type uses it more than one of the others, and `q`, the p-value of Mann and Whitney's test,
    two-sided, after Benjamini and Hochberg over all rows.

    As programmes were learned from the same cells, q orders; it is no evidence that the types differ.
    Raises Refusal for types that are not one for each cell, or all one.
    """
    of_cell, kinds = np.asarray(types).astype(str), sorted({str(kind) for kind in types})
    if len(of_cell) != len(usages) or len(kinds) < 2:
        raise Refusal(
            f"types must be one for each of {len(usages)} cells, and two kinds at least, but are {len(of_cell)} of "
            f"{len(kinds)}."
        )
    U, rows = usages.double().cpu().numpy(), []
    for kind in kinds:
        inside, outside = U[of_cell == kind], U[of_cell != kind]
        test = mannwhitneyu(inside, outside, axis=0, method="asymptotic")
        auroc = test.statistic / (len(inside) * len(outside))
        rows += [
            (name, kind, len(inside), *values)
            for name, *values in zip(
                programme_names(U.shape[1]), inside.mean(0), outside.mean(0), auroc, test.pvalue, strict=True
            )
        ]
    columns = ["programme", "type", "cells", "usage", "usage_elsewhere", "auroc", "q"]
    frame = pd.DataFrame(rows, columns=pd.Index(columns))
    return frame.assign(q=false_discovery_control(frame["q"]))


def programme_names(n_components: int) -> list[str]:
    """By the numbers of the components."""
    return [f"programme_{k}" for k in range(n_components)]

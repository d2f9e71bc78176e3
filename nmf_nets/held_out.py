"""How well what a fit has not seen is predicted, and how many components that bears."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from nmf_nets.divergences.base import Divergence
from nmf_nets.division import ratio
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.shapes import PerSample

CAUTION = 0.02
"""The part of a prediction that independence makes."""

ROUNDING = 1e-4
"""Of the largest mean score: less than that is no difference."""

RESAMPLES = 200


def row_means(X: Matrix) -> PerSample:
    """Of what was observed of each row; 0 where nothing was."""
    if X.weights is None:
        return X.row_sum(X.values) / X.shape[1]
    return ratio(X.row_sum(X.weights * X.values), X.row_sum(X.weights))


def cautious(divergence: Divergence, factors: Factorization, rows: Tensor, columns: Tensor) -> Factorization:
    """For β < 2, 0.98 H W + 0.02 rows ⊗ columns, the prediction of independence.

    With β < 2 a prediction of 0 for what then is more costs without bound, and one such entry would outweigh all
    others.
    """
    if divergence.beta >= 2:
        return factors
    H = torch.cat([(1 - CAUTION) * factors.H, CAUTION * rows[:, None]], 1)
    return Factorization(H, torch.cat([factors.W, columns[None]]))


def held_out_score(divergence: Divergence, held_out: Matrix, predicted: Factorization, mean: float) -> float:
    """D of an entry that counts, in units of mean^β: for data of any scale and size."""
    return float(divergence.total(held_out, predicted) / held_out.mass) / mean**divergence.beta


def fewest(scores: Mapping[int, np.ndarray]) -> tuple[int, float, str]:
    """The smallest number whose scores are no worse than the best, how sure that is, and why.

    No worse: the mean difference to the scores of the number with the least mean, fold by fold, is at most its own
    standard error. As all numbers are scored on the same folds, what makes a fold hard cancels, and this error is much
    smaller than that of either score, with which the usual rule of one standard error judges.
    Sureness is the part of bootstrap samples of the folds in which the same number comes out.
    Source: Breiman et al. (1984) for the rule of one standard error.
    """
    numbers, values = list(scores), np.stack(list(scores.values()))
    chosen = numbers[_fewest(values)]
    folds = values.shape[1]
    resampled = np.random.default_rng(0).integers(folds, size=(RESAMPLES, folds))
    sureness = float(np.mean([numbers[_fewest(values[:, drawn])] == chosen for drawn in resampled]))
    means = dict(zip(numbers, values.mean(1), strict=True))
    least = min(means, key=lambda number: means[number])
    before = [number for number in numbers if number < chosen]
    came = f"held-out divergence falls from {means[before[-1]]:.3g} at {before[-1]} to" if before else "it is"
    return chosen, sureness, f"{came} {means[chosen]:.3g}, no worse than the least, {means[least]:.3g} at {least}"


def _fewest(values: np.ndarray) -> int:
    means = values.mean(1)
    excess = values - values[means.argmin()]
    error = excess.std(1, ddof=1) / values.shape[1] ** 0.5 if values.shape[1] > 1 else np.zeros(len(values))
    return int(np.flatnonzero(excess.mean(1) <= error + ROUNDING * means.max())[0])

"""Whether all starts, or all perturbed copies of the data, find the same components."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.metrics import silhouette_samples
from torch import Tensor
from torch.nn.functional import normalize

from nmf_nets.inits.base import uniform
from nmf_nets.matrix import DenseMatrix, Matrix, SparseMatrix
from nmf_nets.metrics.recovery import TINY, matching
from nmf_nets.refusal import Refusal
from nmf_nets.restarts import Fits, Restarts
from nmf_nets.selection.base import Choice, Curve, Judgement, Selector, agreement, subsets

Stack = Float[Tensor, "starts components features"]

ROUNDS = 100
"""Of the matching, which settles after a few."""

NEAREST = 0.3
"""The part of the starts in whose nearest components the neighbourhood of a component is looked at, as in cNMF."""


class Stability(Selector):
    """The least mean silhouette, by cosine, of clusters that hold one component of every start.

    The largest number of components whose least silhouette is at least `threshold` is chosen. `values` are of ten
    random halves of the starts. Each cluster leaves its median and its medoid, without outliers: components whose mean
    distance, at unit norm, to the nearest 30 % of the starts is above `outlier`.
    best: the part of the starts, those with the least losses, that is looked at: others may be caught in worse minima.
    perturbation: δ > 0 fits each start to a copy of its own, X ∘ (1 + δ u), u ~ U(−1, 1), as NMFk does.
    Sources: Alexandrov et al. (2013), NMFk; Kotliar et al. (2019), cNMF, for outliers and medians.
    """

    score = "least silhouette"

    def __init__(self, threshold: float = 0.75, best: float = 0.75, perturbation: float = 0.0, outlier: float = 0.5):
        for name, value, most in (("threshold", threshold, 1), ("best", best, 1), ("outlier", outlier, 2)):
            if not 0 < value <= most:
                raise Refusal(f"{name} of selection=stability must be above 0 and at most {most}, but is {value!r}.")
        if not 0 <= perturbation < 1:
            raise Refusal(f"perturbation of selection=stability must be at least 0 and below 1, not {perturbation!r}.")
        self.threshold, self.best, self.perturbation, self.outlier = threshold, best, perturbation, outlier

    def judge(self, restarts: Restarts, n_components: int, generator: torch.Generator) -> Judgement:
        if restarts.seeds < 2:
            raise Refusal("selection=stability compares starts, but seeds is 1; take 20 or more.")
        count = max(2, round(self.best * restarts.seeds))
        halves = subsets(count, generator)
        fits = self._perturbed(restarts, n_components, generator) if self.perturbation else restarts[n_components]
        W = matched(_least(fits, count))
        distances, silhouettes = _distances(W), silhouettes_of(W)
        kept = density(distances, len(W)) <= self.outlier
        medians, medoids = _centres(W, distances, kept)
        figures = {
            "mean silhouette": float(silhouettes.mean()),
            "outliers": 1 - float(kept.float().mean()),
            "least loss": float(fits.losses.min()),
        }
        values = np.array([float(silhouettes_of(W[half]).min()) for half in halves])
        arrays = {"components": medians.numpy(), "medoids": medoids.numpy(), "silhouettes": silhouettes.numpy()}
        return Judgement(values, float(silhouettes.min()), figures, arrays)

    def choose(self, judgements: Mapping[int, Judgement]) -> Choice:
        def rule(curve: Curve) -> int | None:
            return max((n for n, score in curve.items() if n > 1 and score >= self.threshold), default=None)

        scores = {n: judgement.score for n, judgement in judgements.items()}
        chosen, sureness = rule(scores), agreement(rule, judgements)
        if chosen is None:
            return Choice(None, sureness, f"no number of components has a {self.score} of {self.threshold:g}")
        sentence = f"its {self.score} is {scores[chosen]:.2f}"
        after = [n for n in scores if n > chosen]
        if after:
            sentence += f", and above it at most {max(scores[n] for n in after):.2f}"
        return Choice(chosen, sureness, sentence)

    def _perturbed(self, restarts: Restarts, n_components: int, generator: torch.Generator) -> Fits:
        """One start on each copy."""
        found = [
            Restarts(
                perturbed(restarts.X, self.perturbation, generator),
                restarts.divergence,
                [n_components],
                1,
                restarts.max_iter,
                restarts.tol,
                restarts.seed + s,
                restarts.together,
                restarts.fitted,
            )[n_components]
            for s in range(restarts.seeds)
        ]
        return Fits(*(torch.cat([getattr(fits, name) for fits in found]) for name in ("H", "W", "losses")))


def _least(fits: Fits, count: int) -> Fits:
    kept = fits.losses.argsort(stable=True)[:count]
    return Fits(fits.H[kept], fits.W[kept], fits.losses[kept])


def perturbed(X: Matrix, by: float, generator: torch.Generator) -> Matrix:
    """X ∘ (1 + δ u), u ~ U(−1, 1) for each value. Raises Refusal for weights."""
    if X.weights is not None:
        raise Refusal("data with weights, or entries that were not observed, are not perturbed; leave perturbation=0.")
    factor = 1 + by * (2 * uniform((X.values.numel(), 1), X, generator).reshape(X.values.shape) - 1)
    return X.with_values(X.values * factor) if isinstance(X, SparseMatrix) else DenseMatrix(X.values * factor)


def matched(fits: Fits) -> Stack:
    """W of each start at unit norm, its components in the order of those that they are matched with one to one.

    They are matched with the means of all starts, from the start with the least loss on, until nothing changes: the
    k-means of NMFk, with exactly one component of each start in a cluster.
    """
    W = normalize(fits.W.double().cpu(), dim=2, eps=TINY)
    order, centres = torch.arange(W.shape[1]).expand(W.shape[:2]), W[fits.best]
    for _ in range(ROUNDS):
        before, order = order, torch.stack([matching(each, centres)[1] for each in W])
        if bool((order == before).all()):
            break
        centres = normalize(_ordered(W, order).mean(0), dim=1, eps=TINY)
    return _ordered(W, order)


def _ordered(W: Stack, order: Int[Tensor, "starts components"]) -> Stack:
    return W.gather(1, order[..., None].expand(W.shape))


def _distances(W: Stack) -> Tensor:
    """1 − cosine between all components of all starts, first those of the first start."""
    flat = W.flatten(0, 1)
    return (1 - flat @ flat.T).clamp(min=0).fill_diagonal_(0)


def silhouettes_of(W: Stack) -> Float[Tensor, " components"]:
    """The mean silhouette of each cluster, from −1 to 1; 1 for a single one. Source: Rousseeuw (1987)."""
    starts, r, _ = W.shape
    if r == 1 or starts == 1:
        return torch.ones(r, dtype=torch.float64)
    labels = np.tile(np.arange(r), starts)
    found = silhouette_samples(_distances(W).numpy(), labels, metric="precomputed")
    return torch.from_numpy(found).reshape(starts, r).mean(0)


def density(distances: Tensor, starts: int) -> Float[Tensor, " all_components"]:
    """The mean Euclidean distance of each component to the nearest NEAREST starts' worth of others, at unit norm."""
    nearest = max(1, round(NEAREST * starts))
    euclidean = (2 * distances).sqrt()
    return euclidean.topk(min(nearest + 1, len(euclidean)), largest=False).values[:, 1:].mean(1)


def _centres(W: Stack, distances: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
    """Medians and medoids of what was kept of each cluster, at unit norm; of a cluster of outliers alone, of all."""
    starts, r, _ = W.shape
    kept = kept.reshape(starts, r)
    medians, medoids = [], []
    for k in range(r):
        members = torch.nonzero(kept[:, k])[:, 0] if bool(kept[:, k].any()) else torch.arange(starts)
        among = members * r + k
        medians.append(W[members, k].quantile(0.5, dim=0))
        medoids.append(W[members[distances[among][:, among].sum(1).argmin()], k])
    return normalize(torch.stack(medians), dim=1, eps=TINY), torch.stack(medoids)

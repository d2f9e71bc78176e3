"""Mutational signatures: components of counts of mutation types, beside those that are known."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from scipy.optimize import nnls
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from nmf_nets.as_matrix import as_matrix
from nmf_nets.contents import contents_of
from nmf_nets.divergences.base import Divergence
from nmf_nets.division import ratio
from nmf_nets.factorization import Factorization
from nmf_nets.fit import factorize
from nmf_nets.matrix import Matrix
from nmf_nets.metrics.recovery import TINY, matching
from nmf_nets.refusal import Refusal, refuse_count
from nmf_nets.shapes import Codes, Components, PerComponent

GAIN = 0.01
"""In cosine, for which a mixture takes one more known signature."""

Replicates = Float[Tensor, "replicates samples components"]


@dataclass(frozen=True)
class Catalogue:
    """Known signatures: rows of W, which sum to 1."""

    names: tuple[str, ...]
    W: Components


def read_catalogue(path: str | Path, types: Sequence[str]) -> Catalogue:
    """A table with mutation types as rows and signatures as columns, as COSMIC hands them out, brought into the order
    of `types`.

    Raises Refusal where it lacks one of them, for negative entries, and for a signature without any.
    """
    path = Path(path).expanduser()
    found = contents_of(path, index_column=0).T.with_features(types, path)
    W = as_matrix(found.X, torch.float64, name=str(path)).dense()
    names = found.sample_names or tuple(map(str, range(len(W))))
    for k in torch.nonzero(W.sum(1) == 0).flatten().tolist()[:1]:
        raise Refusal(f"{path} has zeros alone for {names[k]!r}; leave that column out.")
    return Catalogue(names, W / W.sum(1, keepdim=True))


@dataclass(frozen=True)
class Match:
    """What of a catalogue a component is like.

    assigned, cosine: by the one-to-one assignment with the greatest sum of cosines; None and 0 for what is left over.
    nearest, nearest_cosine: by itself, so that several components may have the same.
    mixture, mixture_cosine: known signatures with their shares, which sum to 1, and the cosine with that sum of them.
    """

    assigned: str | None
    cosine: float
    nearest: str
    nearest_cosine: float
    mixture: tuple[tuple[str, float], ...]
    mixture_cosine: float


def matches(W: Components, catalogue: Catalogue) -> list[Match]:
    """Of each component. Blind to their scale; a dead one is like nothing, with cosines of 0."""
    W = W.detach().double().cpu()
    cosines = normalize(W, dim=1, eps=TINY) @ normalize(catalogue.W, dim=1).T
    rows, columns, agreed = matching(W, catalogue.W)
    assigned = {int(k): (catalogue.names[int(j)], float(c)) for j, k, c in zip(rows, columns, agreed, strict=True)}
    found = []
    for k, w in enumerate(W):
        j = int(cosines[k].argmax())
        name, cosine = assigned.get(k, (None, 0.0))
        found.append(Match(name, cosine, catalogue.names[j], float(cosines[k, j]), *mixture(w, catalogue)))
    return found


def mixture(w: Float[Tensor, " features"], catalogue: Catalogue) -> tuple[tuple[tuple[str, float], ...], float]:
    """The known signatures that w is a sum of, with their shares, greatest first, and the cosine of that sum with w.

    The sum is the non-negative least-squares one. It takes one more signature, the one that raises the cosine most, as
    long as it rises by 0.01 or more: two processes that are always active together are one component, and their sum.
    """
    target = w.detach().double().cpu().numpy()
    known = catalogue.W.numpy()
    chosen: list[int] = []
    weights, best = np.zeros(0), 0.0
    while True:
        tried = [(*_fitted(target, known[[*chosen, j]]), j) for j in range(len(known)) if j not in chosen]
        cosine, found, j = max(tried, key=lambda fit: fit[0], default=(0.0, weights, -1))
        if cosine < best + GAIN:
            break
        chosen, weights, best = [*chosen, j], found, cosine
    shares = {catalogue.names[j]: float(a) / weights.sum() for j, a in zip(chosen, weights, strict=True) if a > 0}
    return tuple(sorted(shares.items(), key=lambda share: -share[1])), best


def _fitted(w: np.ndarray, known: np.ndarray) -> tuple[float, np.ndarray]:
    """The cosine of the best sum, and its weights."""
    weights = nnls(known.T, w)[0]
    both = weights @ known
    norms = float(np.linalg.norm(both) * np.linalg.norm(w))
    return (float(both @ w) / norms if norms > 0 else 0.0), weights


def exposures(X: Matrix, factors: Factorization) -> Codes:
    """Mutations of each genome by each signature: h_ik Σ_j w_kj, in rows that are scaled to sum to those of X.

    With the Kullback–Leibler divergence the best codes need no scaling: they give every row its sum.
    """
    given = factors.H.double() * factors.W.double().sum(1)
    total = X.row_totals.double().reshape(-1, 1)
    return given * ratio(total, given.sum(1, keepdim=True))


@dataclass(frozen=True)
class Bootstrap:
    """What became of exposures and components, rows of W that sum to 1, when the counts were drawn anew."""

    exposures: Replicates
    W: Float[Tensor, "replicates components features"]

    def cosines(self, W: Components) -> Float[Tensor, "replicates components"]:
        """Of the components of every replicate with the rows of W in their places."""
        return cosine_similarity(self.W, W.double().to(self.W.device), dim=2)


def bootstrap(
    X: Matrix,
    factors: Factorization,
    replicates: int = 100,
    seed: int = 0,
    divergence: str | float | Divergence = "kullback_leibler",
) -> Bootstrap:
    """Draws every count anew from a Poisson distribution with the count as its mean, refits both factors from the
    given ones, and puts components in the places of those that they match.

    It says how much of a solution is chance of the counts, not which others explain them as well: where each signature
    lacks in some genomes there are none, and intervals cover true exposures; elsewhere they need not.
    Source: the resampling of Islam et al. (2022), SigProfilerExtractor.
    """
    refuse_count("replicates", replicates)
    chance = torch.Generator().manual_seed(seed)
    counts = X.dense().detach().double().cpu()
    start = Factorization(factors.H.detach().double().cpu(), factors.W.detach().double().cpu())
    drawn, components = [], []
    for _ in range(replicates):
        again = as_matrix(torch.poisson(counts, chance))
        fit = factorize(again, start.n_components, divergence=divergence, start=start, tol=1e-6)
        found = Factorization(fit.H, fit.W)
        order = matching(found.W, start.W)[1]
        drawn.append(exposures(again, found)[:, order])
        components.append((found.W * ratio(torch.ones(()).double(), found.W.sum(1))[:, None])[order])
    return Bootstrap(torch.stack(drawn), torch.stack(components))


def interval(values: Tensor, level: float = 0.95) -> tuple[Tensor, Tensor]:
    """The percentiles between which a part of `level` of the replicates lies, of values with replicates first."""
    if not 0 < level < 1:
        raise Refusal(f"level must lie between 0 and 1, but is {level!r}.")
    low, high = torch.quantile(values.double(), torch.tensor([(1 - level) / 2, (1 + level) / 2]).double(), dim=0)
    return low, high


def signatures_table(
    W: Components,
    mutations: PerComponent,
    drawn: Bootstrap,
    catalogue: Catalogue | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """A row a component: its part of all mutations, how like itself it stays when the counts are drawn anew (the cosine
    that a part of `level` of the replicates exceeds), and, with a catalogue, its `Match` and the interval of `cosine`.
    """
    stays = torch.quantile(drawn.cosines(W), 1 - level, dim=0)
    frame = pd.DataFrame(
        {
            "signature": component_names(len(W)),
            "mutations": (mutations / mutations.sum()).tolist(),
            "resampled_cosine": stays.tolist(),
        }
    )
    if catalogue is None:
        return frame
    found = matches(W, catalogue)
    like = torch.stack([catalogue.W[catalogue.names.index(match.assigned or match.nearest)] for match in found])
    low, high = interval(drawn.cosines(like), level)
    return frame.assign(
        assigned=[match.assigned for match in found],
        cosine=[match.cosine for match in found],
        cosine_low=low.tolist(),
        cosine_high=high.tolist(),
        nearest=[match.nearest for match in found],
        nearest_cosine=[match.nearest_cosine for match in found],
        mixture=[" + ".join(f"{share:.0%} {name}" for name, share in match.mixture) for match in found],
        mixture_cosine=[match.mixture_cosine for match in found],
    )


def component_names(n_components: int) -> list[str]:
    """SBS96A, SBS96B, …, as SigProfiler calls signatures that were found in the data and are in no catalogue."""
    once = [*ascii_uppercase]
    return [f"SBS96{letters}" for letters in [*once, *(a + b for a in once for b in once)][:n_components]]

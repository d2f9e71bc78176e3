"""Whether all starts put the same samples together."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.cluster.hierarchy
import torch
from jaxtyping import Float, Int
from scipy.spatial.distance import squareform

from nmf_nets.metrics.clustering import cluster_of
from nmf_nets.refusal import Refusal, refuse_count
from nmf_nets.restarts import Restarts
from nmf_nets.selection.base import Choice, Curve, Judgement, Selector, agreement, subsets

# scipy types it as if it took one array library's arrays alone.
hierarchy: Any = scipy.cluster.hierarchy

Clusters = Int[np.ndarray, "starts samples"]
Together = Float[np.ndarray, "samples samples"]

FALL = 0.15
"""The part of the range of a curve by which the last number of components before its fall may lie below the top."""

LEAST_FALL = 0.002
"""A curve that falls less has not fallen."""


class Consensus(Selector):
    """The cophenetic correlation of the consensus matrix C, the part of the starts that put two samples into one
    cluster, argmax_k h_ik ‖w_k‖.

    It is 1 wherever all starts agree, at numbers below the true one too: what tells is the last number before it falls,
    of those whose clusters are all in use. The dispersion, mean 4 (C − ½)², stands beside it. `values` are of ten
    random halves of the starts.
    most: so many samples at most are looked at, drawn at random, as C has all pairs of them.
    Source: Brunet et al. (2004); Kim & Park (2007) for the dispersion.
    """

    score = "cophenetic correlation"

    def __init__(self, most: int = 1000):
        refuse_count("most", most)
        self.most = most

    def judge(self, restarts: Restarts, n_components: int, generator: torch.Generator) -> Judgement:
        if restarts.seeds < 2:
            raise Refusal("selection=consensus compares starts, but seeds is 1; take 20 or more.")
        n, halves = restarts.X.shape[0], subsets(restarts.seeds, generator)
        rows = torch.randperm(n, generator=generator)[: self.most].sort().values.numpy()
        fits = restarts[n_components]
        clusters = np.stack([cluster_of(fits[start]).numpy()[rows] for start in range(len(fits))])
        C = consensus_matrix(clusters)
        tree = average_linkage(C)
        figures = {
            "dispersion": dispersion(C),
            "clusters": float(np.median([len(np.unique(found)) for found in clusters])),
        }
        return Judgement(
            np.array([cophenetic_correlation(consensus_matrix(clusters[half.numpy()])) for half in halves]),
            cophenetic_correlation(C),
            figures,
            {
                "consensus": C.astype(np.float32),
                "order": np.asarray(hierarchy.leaves_list(tree)),
                "clusters": np.asarray(hierarchy.fcluster(tree, n_components, "maxclust")) - 1,
                "rows": rows,
            },
        )

    def choose(self, judgements: Mapping[int, Judgement]) -> Choice:
        used = {n for n, judgement in judgements.items() if judgement.figures["clusters"] >= n}

        def rule(curve: Curve) -> int | None:
            return last_before_the_fall(curve, used)

        scores = {n: judgement.score for n, judgement in judgements.items()}
        chosen, sureness = rule(scores), agreement(rule, judgements)
        if not used:
            return Choice(None, sureness, "no number has all its components strongest in some sample")
        if chosen is None:
            return Choice(None, sureness, f"the {self.score} does not fall up to {max(scores)} components; try more")
        after = next(n for n in scores if n > chosen)
        sentence = f"the {self.score} goes from {scores[chosen]:.3f} to {scores[after]:.3f} at {after}"
        if after not in used:
            sentence = f"at {after} not all components are the strongest one of any sample"
        return Choice(chosen, sureness, sentence)


def last_before_the_fall(curve: Curve, used: set[int]) -> int | None:
    """The largest number, of those that use all clusters, whose score lies within FALL of the range below the top.

    None where nothing falls after it.
    """
    top, bottom = max(curve.values()), min(curve.values())
    tolerance = max(FALL * (top - bottom), LEAST_FALL)
    able = [number for number, score in curve.items() if number in used and score >= top - tolerance]
    chosen = max(able, default=None)
    return None if chosen == max(curve) else chosen


def consensus_matrix(clusters: Clusters) -> Together:
    """C_ij, the part of the starts in which samples i and j are in one cluster."""
    labels = clusters.max() + 1
    member = (clusters[:, None, :] == np.arange(labels)[:, None]).reshape(-1, clusters.shape[1]).astype(np.float32)
    return (member.T @ member).astype(np.float64) / len(clusters)


def dispersion(C: Together) -> float:
    """mean 4 (C_ij − ½)²: 1 where every pair is always or never together, 0 where each is half of the time."""
    return float(np.mean(4 * (C - 0.5) ** 2))


def average_linkage(C: Together) -> np.ndarray:
    """The tree of the distances 1 − C. Raises Refusal for a single sample.

    Distances of starts have many ties, and means of equal ones differ by rounding, so that scipy may join two clusters
    before it has made them, and end with a tree that it refuses itself. A billionth at random decides them.
    """
    if len(C) < 2:
        raise Refusal("samples are put together, but there is one alone; give more rows.")
    distances = squareform(1 - C, checks=False)
    return hierarchy.linkage(distances + 1e-9 * np.random.default_rng(0).random(distances.shape), "average")


def cophenetic_correlation(C: Together) -> float:
    """Pearson's, between the distances 1 − C and those at which average linkage joins pairs; 1 where all are equal."""
    distances = squareform(1 - C, checks=False)
    if np.ptp(distances) == 0:
        return 1.0
    return float(hierarchy.cophenet(average_linkage(C), distances)[0])

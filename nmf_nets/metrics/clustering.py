"""How well the strongest component of each sample tells classes apart."""

import numpy as np
import torch
from jaxtyping import Int
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix
from torch import Tensor

from nmf_nets.factorization import Factorization

Labels = Int[Tensor, " samples"] | Int[np.ndarray, " samples"]


def cluster_of(factors: Factorization) -> Int[Tensor, " samples"]:
    """argmax_k h_ik ‖w_k‖, which the scales of components do not move; the first of several, and 0 for codes of zeros.

    Source: Brunet et al. (2004).
    """
    return (factors.H.double() * torch.linalg.vector_norm(factors.W.double(), dim=1)).argmax(1)


def clustering_accuracy(labels: Labels, clusters: Labels) -> float:
    """The part of the samples in a cluster's own class, by the best one-to-one matching of clusters and classes.

    All samples of a cluster that is left over are wrong, so that with more components than classes it falls: compare
    it at one number of components.
    """
    counts = contingency_matrix(_numpy(labels), _numpy(clusters))
    return float(counts[linear_sum_assignment(counts, maximize=True)].sum() / counts.sum())


def misplacements(labels: Labels, clusters: Labels) -> int:
    """How many samples are not where most of their class is, by the best matching in which every cluster holds a class.

    With fewer clusters than classes, classes share a cluster; with more, each class has several. With as many it is
    n (1 − `clustering_accuracy`).
    """
    counts = np.asarray(contingency_matrix(_numpy(labels), _numpy(clusters)))
    counts = counts if counts.shape[0] >= counts.shape[1] else counts.T
    own = counts.max(1, keepdims=True)  # each goes where most of it is, but for one that every cluster is sure of
    one = linear_sum_assignment(counts - own, maximize=True)
    return int(counts.sum() - own.sum() - (counts - own)[one].sum())


def normalized_mutual_information(labels: Labels, clusters: Labels) -> float:
    """2 I(labels; clusters) / (H(labels) + H(clusters)); 1 where both are one group.

    Not corrected for chance: it rises with the number of clusters.
    """
    return float(normalized_mutual_info_score(_numpy(labels), _numpy(clusters)))


def adjusted_rand(labels: Labels, clusters: Labels) -> float:
    """The Rand index, shifted and scaled to 0 by chance and 1 for equal partitions. Source: Hubert & Arabie (1985)."""
    return float(adjusted_rand_score(_numpy(labels), _numpy(clusters)))


def _numpy(labels: Labels) -> np.ndarray:
    return labels.cpu().numpy() if isinstance(labels, Tensor) else labels

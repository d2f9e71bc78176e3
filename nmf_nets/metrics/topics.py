"""What the strongest features of components say, for X that counts words in documents."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nmf_nets.matrix import Matrix
from nmf_nets.shapes import Components


def top_features(W: Components, count: int) -> Int[Tensor, "components count"]:
    """The `count` features of greatest weight in each component, greatest first, of equals the first.

    All features where there are fewer. A sparse component may fill up with features of no weight.
    """
    return W.argsort(dim=1, descending=True, stable=True)[:, :count]


def npmi(X: Matrix, W: Components, count: int = 10) -> Float[Tensor, " components"]:
    """The mean of log(p_ij / p_i p_j) / −log p_ij over pairs of each component's top features, from −1 to 1.

    p: the part of the documents, rows of X, that hold a feature (x > 0), or both; so the reference corpus is X itself,
    and numbers compare within one X alone. A pair that never meets has −1, one that is in every document 0. Features
    of no weight are left out; a component with fewer than two others has −1.
    Sources: Bouma (2009), Lau et al. (2014).
    """
    top = top_features(W, count)
    used, place = torch.unique(top, return_inverse=True)
    present = (X.numpy()[:, used.cpu().numpy()] > 0).astype(np.float64)
    met = present.T @ present
    p = torch.as_tensor(met.toarray() if X.is_sparse else met) / X.shape[0]
    alone = p.diagonal()
    scores = (p / torch.outer(alone, alone)).log() / -p.log()
    scores = torch.where(p == 0, -1, torch.where(p == 1, 0, scores))

    place, weighty = place.cpu(), (W.gather(1, top) > 0).cpu()
    pairs = (weighty[:, :, None] & weighty[:, None, :]).triu(1)
    total = (scores[place[:, :, None], place[:, None, :]] * pairs).sum((1, 2))
    number = pairs.sum((1, 2))
    return torch.where(number > 0, total / number, -1)


def topic_diversity(W: Components, count: int = 25) -> float:
    """The part of all top features that are distinct: 1 if no two components share one.

    A feature of no weight counts as one that is shared, so that dead components are not diverse.
    Source: Dieng et al. (2020).
    """
    top = top_features(W, count)
    return len(torch.unique(top[W.gather(1, top) > 0])) / top.numel()

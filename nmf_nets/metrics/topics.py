"""What the strongest features of components say, for X that counts words in documents."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nmf_nets.division import divisor, ratio
from nmf_nets.extras import extra
from nmf_nets.matrix import Matrix
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Codes, Components

BACKGROUND = 0.01
"""Of every topic, that is given to the words of the corpus as often as they come, so that no word is impossible."""

PRIOR = 0.1
"""Words that every topic is taken to have said already in a document that is folded in."""


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


def c_v(X: Matrix, W: Components, feature_names: Sequence[str], count: int = 10) -> Float[Tensor, " components"]:
    """C_V of each component, by gensim (the extra `gensim`): each top feature is the vector of its NPMI with all of
    them; the mean cosine of these vectors with their sum.

    Counts know no order, so that a window is a whole document. Features of no weight are left out; a component without
    any has NaN. Raises Refusal where gensim is not installed.
    Source: Röder, Both & Hinneburg (2015).
    """
    coherence = extra("gensim.models.coherencemodel", "gensim").CoherenceModel
    dictionary = extra("gensim.corpora", "gensim").Dictionary
    top, weighty = top_features(W, count), (W.gather(1, top_features(W, count)) > 0).tolist()
    features = [
        [j for j, there in zip(*pair, strict=True) if there] for pair in zip(top.tolist(), weighty, strict=True)
    ]
    used = sorted({j for found in features for j in found})
    present = X.numpy()[:, used] > 0
    rows, columns = present.nonzero()
    texts = [[] for _ in range(X.shape[0])]
    for i, j in zip(rows.tolist(), columns.tolist(), strict=True):
        texts[i].append(feature_names[used[j]])
    scores = torch.full((len(W),), torch.nan, dtype=torch.float64)
    alive = [k for k, found in enumerate(features) if found]
    if alive:
        words = [[feature_names[j] for j in features[k]] for k in alive]
        model = coherence(
            topics=words,
            texts=texts,
            dictionary=dictionary(words),
            coherence="c_v",
            topn=count,
            window_size=max(map(len, texts)),
            processes=1,
        )
        scores[alive] = torch.as_tensor(model.get_coherence_per_topic(), dtype=torch.float64)
    return scores


# New documents --------------------------------------------------------------------------------------------------------


def halves(X: Matrix, generator: torch.Generator) -> tuple[Matrix, Matrix]:
    """Each occurrence of a word in one of two X of equal shape, by chance. Raises Refusal for what counts nothing."""
    if bool((X.values != X.values.round()).any()):
        odd = float(X.values[X.values != X.values.round()].flatten()[0])
        raise Refusal(f"words can be halved where they are counted, but X holds {odd:.3g}; give counts, not weights.")
    first = torch.binomial(X.values.double(), torch.full_like(X.values, 0.5, dtype=torch.float64), generator=generator)
    return X.with_values(first.to(X.dtype)), X.with_values(X.values - first.to(X.dtype))


def folded_in(X: Matrix, topics: Components, prior: float = PRIOR, iterations: int = 100) -> Codes:
    """θ, of unit sums, of documents under topics of unit sums that are held, by EM: θ_k ∝ prior + Σ_j x_j p(k | j).

    Without a prior these are the best codes for Kullback–Leibler, divided by the length of their document.
    Source: Hofmann (1999).
    """
    H = topics.new_full((X.shape[0], len(topics)), 1 / len(topics))
    X = X.to(topics.dtype)
    for _ in range(iterations):
        ratios = X.with_values(ratio(X.values, X.sample(H, topics)))
        H = prior + H * (ratios @ topics.T.contiguous())
        H = H / divisor(H.sum(1, keepdim=True))
    return H


def held_out_perplexity(
    seen: Matrix,
    asked: Matrix,
    W: Components,
    frequencies: Tensor,
    prior: float = PRIOR,
    background: float = BACKGROUND,
) -> float:
    """exp(−Σ x log p / Σ x) over the asked words of documents, whose topics are folded in on those that were seen.

    One rule for all models that have a distribution of words in each topic, W ≥ 0 with rows divided by their sums;
    what else they make of new documents does not count. Where all m words are as likely it is m.
    frequencies: how often the training documents say each word; (1 − background) w + background p(j) is the topic.
    Raises Refusal for components with negative entries, which are no distributions. Source: Wallach et al. (2009).
    """
    if bool((W < 0).any()):
        raise Refusal(f"a topic is a distribution of words, but the least entry of W is {float(W.min()):.3g}.")
    common = frequencies.double() + 1
    common = common / common.sum()
    W = W.double()
    topics = torch.where(W.sum(1, keepdim=True) > 0, W / divisor(W.sum(1, keepdim=True)), common)
    topics = (1 - background) * topics + background * common
    H = folded_in(seen, topics, prior)
    asked = asked.to(torch.float64)
    return float(torch.exp(-(asked.values * asked.sample(H, topics).log()).sum() / asked.sum))

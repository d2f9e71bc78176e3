"""The doors beside the front one: half-steps, inits, selections of rows, metrics and topics."""

import math
from typing import Any

import numpy as np
import torch
from hostile.doors import assert_factor, attempt, door
from hostile.strategies import tables
from hypothesis import strategies as st

from nmf_nets.as_matrix import as_matrix
from nmf_nets.exact.rank_factorization import rank_factorization
from nmf_nets.exact.separable import separable
from nmf_nets.exact.xray import xray
from nmf_nets.factorization import Factorization
from nmf_nets.fit import divergence_of
from nmf_nets.metrics.clustering import cluster_of
from nmf_nets.metrics.dead_components import component_shares, dead_components
from nmf_nets.metrics.kkt_residual import kkt_residual
from nmf_nets.metrics.recovery import matched_cosines
from nmf_nets.metrics.relative_error import relative_error
from nmf_nets.metrics.sparseness import hoyer_sparseness
from nmf_nets.metrics.stability import amari_distance
from nmf_nets.metrics.svd_excess import svd_error, svd_excess
from nmf_nets.metrics.topics import npmi, top_features, topic_diversity
from nmf_nets.programmes import gene_scores, usages
from nmf_nets.solvers import SOLVERS
from nmf_nets.spectrum import numerical_rank, truncated_svd
from nmf_nets.starts import INITS, start_of
from nmf_nets.topics.topics import Topics


@st.composite
def factored(draw: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """X, H and W that fit each other, of any sizes and scales; some components dead, some rows empty."""
    X = draw(tables(extremes=draw(st.booleans())))
    r = draw(st.sampled_from([1, 2, 3, 7]))
    chance = np.random.default_rng(draw(st.integers(0, 2**16)))
    H, W = chance.random((X.shape[0], r)), chance.random((r, X.shape[1]))
    scale = draw(st.sampled_from([1.0, 1.0, 1e-30, 1e30, 1e-160, 1e150]))
    if draw(st.booleans()):
        H[:, 0] = 0
    if draw(st.booleans()):
        W[-1] = 0
    if draw(st.booleans()):
        with np.errstate(over="ignore"):
            X = X.astype(np.float32)
        X = X if np.isfinite(X).all() else np.ones_like(X)
    dtype, top = X.dtype, 1e30 if X.dtype == np.float32 else scale
    return X, (H * min(scale, top)).astype(dtype), W.astype(dtype)


@door(
    st.tuples(
        factored(),
        st.sampled_from(list(SOLVERS)),
        st.sampled_from(["frobenius", "kullback_leibler", 0.5, 3.0]),
        st.booleans(),
        st.sampled_from([1, 5]),
    ),
    examples=150,
    typed=True,
)
def half_step(inputs: tuple[Any, str, Any, bool, int]) -> None:
    """Of H; where codes are given and the step descends, D does not rise."""
    (X, H, W), name, divergence, cold, repeats = inputs
    D = divergence_of(divergence)
    update = SOLVERS[name](D).update
    with attempt(X, H, W) as refused:
        matrix = as_matrix(X)
        D.refuse(matrix)
        update.refuse(D)
        codes, components = torch.from_numpy(H), torch.from_numpy(W)
        found = update(matrix, None if cold else codes, components, repeats)
        assert_factor(found, H.shape)
        if update.descends and not cold:
            before, after = (float(D.total(matrix, Factorization(M, components))) for M in (codes, found))
            slack = 1e-4 if X.dtype == np.float32 else 1e-8
            assert not math.isfinite(before) or after <= before * (1 + slack) + 1e-6 * float(D.unit(matrix))
    assert refused.because is None or str(refused.because)


@door(
    st.tuples(tables(extremes=True), st.sampled_from([1, 2, 3, 7]), st.sampled_from(list(INITS))),
    examples=120,
    typed=True,
)
def start(inputs: tuple[np.ndarray, int, str]) -> None:
    X, r, name = inputs
    with attempt(X):
        matrix = as_matrix(X)
        divergence_of("frobenius").refuse(matrix)
        begun = start_of(name, matrix, r, torch.Generator().manual_seed(0), signed=name == "random_codes")
        assert_factor(begun.H, (X.shape[0], r))
        assert_factor(begun.W, (r, X.shape[1]), signed=name == "random_codes")


@door(
    st.tuples(
        tables(extremes=True), st.sampled_from([1, 2, 3, 7]), st.sampled_from(["separable", "xray", "rank", "svd"])
    ),
    examples=100,
    typed=True,
)
def exact_solver(inputs: tuple[np.ndarray, int, str]) -> None:
    X, r, name = inputs
    with attempt(X):
        matrix = as_matrix(X)
        divergence_of("frobenius").refuse(matrix)
        if name == "separable":
            found = separable(matrix, r)
            assert len(set(found.rows.tolist())) == r
            assert_factor(found.factors.H, (X.shape[0], r))
        elif name == "xray":
            assert len(set(xray(matrix, r).tolist())) == r
        elif name == "rank":
            certificate = rank_factorization(matrix, r)
            assert str(certificate)
        else:
            assert 0 <= numerical_rank(matrix) <= min(X.shape)
            if r <= min(X.shape):
                assert all(bool(torch.isfinite(part).all()) for part in truncated_svd(matrix, r))


METRICS = {
    "clusters": lambda X, F: cluster_of(F),
    "shares": lambda X, F: component_shares(F),
    "dead": lambda X, F: dead_components(F),
    "kkt": lambda X, F: kkt_residual(X, F, divergence_of("frobenius")),
    "kkt of kl": lambda X, F: kkt_residual(X, F, divergence_of("kullback_leibler")),
    "cosines": lambda X, F: matched_cosines(F.W, F.W),
    "error": relative_error,
    "sparseness": lambda X, F: hoyer_sparseness(F.W),
    "amari": lambda X, F: amari_distance(F.W, F.W),
    "svd": lambda X, F: svd_error(X, F.n_components),
    "excess": svd_excess,
    "npmi": lambda X, F: npmi(X, F.W, 2).nan_to_num(),
    "top": lambda X, F: top_features(F.W, 2),
    "diversity": lambda X, F: topic_diversity(F.W, 2),
    "usages": lambda X, F: usages(F),
    "scores": lambda X, F: gene_scores(X, usages(F)),
    "balanced": lambda X, F: F.balanced().H,
}


@door(st.tuples(factored(), st.sampled_from(list(METRICS))), examples=150, typed=True)
def metric(inputs: tuple[Any, str]) -> None:
    (X, H, W), name = inputs
    with attempt(X, H, W):
        matrix = as_matrix(X)
        divergence_of("frobenius").refuse(matrix)
        value = METRICS[name](matrix, Factorization(torch.from_numpy(H), torch.from_numpy(W)))
        held = torch.as_tensor(value, dtype=torch.float64 if isinstance(value, float) else None)
        with np.errstate(over="ignore"):
            apart = X.any() and np.isfinite(np.square(H.astype(float) @ W).sum())
        if name not in ("error", "excess") or apart:  # what is relative to nothing, or beyond all, is infinite
            assert not held.is_floating_point() or bool(torch.isfinite(held).all()), value


@door(factored(), examples=60, typed=True)
def topics(inputs: Any) -> None:
    X, H, W = inputs
    with attempt(X, H, W):
        matrix, words = as_matrix(X), tuple(f"w{j}" for j in range(X.shape[1]))
        found = Topics(matrix, Factorization(torch.from_numpy(H), torch.from_numpy(W)), words)
        for of in (
            found.topic_word,
            found.document_topic,
            found.sizes,
            found.distances,
            found.positions,
        ):
            assert bool(torch.isfinite(of).all()), of
        assert found.top_words(3)
        assert found.table is not None

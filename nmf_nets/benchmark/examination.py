"""What is asked of factors when their run is over: codes of unseen rows, and what the loss does not say."""

import statistics
import time
from typing import Any

import torch

from nmf_nets.benchmark.base import Coder, Problem
from nmf_nets.benchmark.evaluator import Evaluator
from nmf_nets.benchmark.task import Task
from nmf_nets.encoders.exact import Exact
from nmf_nets.encoders.refined import REFINED
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.metrics.clustering import adjusted_rand, cluster_of, clustering_accuracy, normalized_mutual_information
from nmf_nets.metrics.recovery import matched_cosines
from nmf_nets.metrics.topics import npmi, top_features, topic_diversity

TOP = 10
"""Features that stand for a component, where features have names."""


def examined(task: Task, factors: Factorization, coder: Coder | None) -> dict[str, Any]:
    """One entry for each thing that can be asked of this task."""
    return _held_out(task, factors, coder) | _quality(task, factors.to("cpu", torch.float64))


def _held_out(task: Task, factors: Factorization, coder: Coder | None) -> dict[str, Any]:
    """The value and the seconds of the method's own codes, of those after REFINED half-steps, and of exact ones."""
    if task.held_out is None:
        return {}
    rows, W = task.held_out, factors.W.to(task.X.device, task.X.dtype)
    terms = task.criterion.on_H.unseen
    evaluator = Evaluator(Problem(rows, task.divergence, task.n_components, on_H=terms))
    exact = Exact(None, task.update)
    found: dict[str, Any] = {}
    if 1 <= task.divergence.beta <= 2:
        found |= _coding("exact", lambda X: exact(X, W, terms=terms), rows, W, evaluator)
    if coder is not None:
        found |= _coding("own", coder, rows, W, evaluator)
        found |= _coding("refined", lambda X: task.update.on(X, W, terms).codes(coder(X), REFINED), rows, W, evaluator)
    return found


def _quality(task: Task, factors: Factorization) -> dict[str, Any]:
    """What there is to say of the factors beyond the loss: where rows have labels, features names, or W is known."""
    found: dict[str, Any] = {}
    if task.labels is not None:
        clusters = cluster_of(factors)
        found["accuracy"] = clustering_accuracy(task.labels, clusters)
        found["nmi"] = normalized_mutual_information(task.labels, clusters)
        found["ari"] = adjusted_rand(task.labels, clusters)
    names = task.dataset.feature_names
    if names is not None:
        found["npmi"] = float(npmi(task.X, factors.W, TOP).mean())
        found["diversity"] = topic_diversity(factors.W, 25)
        found["top_features"] = [[names[j] for j in row] for row in top_features(factors.W, TOP).tolist()]
    if task.dataset.truth is not None:
        found["recovery"] = float(matched_cosines(factors.W, task.dataset.truth).mean())
    return found


def _coding(
    name: str, coder: Coder, rows: Matrix, W: torch.Tensor, evaluator: Evaluator, repeats: int = 3
) -> dict[str, Any]:
    """Value on these rows, seconds for all of them and for one: medians, after a first call that is not timed."""
    try:
        value = evaluator.value(Factorization(coder(rows), W))
        all_rows = [_timed(coder, rows) for _ in range(repeats)]
        one_row = [_timed(coder, rows.span(i % rows.shape[0], i % rows.shape[0] + 1)) for i in range(2 * repeats)]
    except Exception as trouble:  # as in a run: recorded, the others go on
        return {f"{name}_codes_error": f"{type(trouble).__name__}: {trouble}"}
    return {
        f"{name}_codes_value": value,
        f"{name}_codes_seconds": statistics.median(all_rows),
        f"{name}_codes_row_seconds": statistics.median(one_row[1:]),
    }


def _timed(coder: Coder, rows: Matrix) -> float:
    begin = time.perf_counter()
    coder(rows)
    if rows.device.type == "cuda":
        torch.cuda.synchronize(rows.device)
    return time.perf_counter() - begin

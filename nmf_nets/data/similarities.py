"""Who is like whom: square, symmetric matrices with clusters."""

from typing import Any, Literal

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
from sklearn.datasets import make_moons
from sklearn.neighbors import kneighbors_graph

from nmf_nets.as_matrix import as_matrix
from nmf_nets.data.base import Dataset, MatrixDataModule
from nmf_nets.refusal import Refusal


class Similarities(MatrixDataModule):
    """A = (½ (I + Δ^(−½) S Δ^(−½)))^steps, Δ the degrees of the graph S, with the clusters as classes.

    steps: of a lazy random walk. With one, samples are like their neighbours; with more, like those near by on the
    graph, as clusters ask for that are longer than a neighbourhood. Sparse as long as that is.
    of: `moons`, two half circles of points, each like its `neighbours` nearest (either way); or `blocks`, a stochastic
    block model, edges with probability `within` a cluster and `between` clusters. No rows are held out.
    """

    def __init__(
        self,
        of: Literal["moons", "blocks"] = "moons",
        n_samples: int = 400,
        n_clusters: int = 2,
        noise: float = 0.06,
        neighbours: int = 10,
        within: float = 0.3,
        between: float = 0.1,
        steps: int = 8,
        validation: float = 0.0,
        test: float = 0.0,
        **rows: Any,
    ):
        super().__init__(validation, test, **rows)
        if of not in ("moons", "blocks"):
            raise Refusal(f"data.of is {of!r}, but must be moons or blocks.")
        if of == "moons" and n_clusters != 2:
            raise Refusal(f"data.n_clusters is {n_clusters}, but there are two moons; use data.of=blocks for others.")
        if steps < 1:
            raise Refusal(f"data.steps is {steps}, but must be at least 1.")
        if validation or test:
            raise Refusal("a sample without its similarities cannot be held out; use data.validation=0 data.test=0.")
        self.of, self.n_samples, self.n_clusters = of, n_samples, n_clusters
        self.noise, self.neighbours, self.within, self.between, self.steps = noise, neighbours, within, between, steps

    def load(self) -> Dataset:
        S, labels = self._moons() if self.of == "moons" else self._blocks()
        self.graph = S
        root = scipy.sparse.diags_array(1 / np.sqrt(np.maximum(S.sum(1), 1)))
        step = 0.5 * (scipy.sparse.eye_array(self.n_samples) + root @ S @ root)
        A = scipy.sparse.csr_array(scipy.sparse.linalg.matrix_power(step, self.steps))
        return Dataset(as_matrix(A, self.dtype), labels=labels)

    def points(self) -> np.ndarray:
        """Where the points of the moons lie."""
        return np.asarray(make_moons(self.n_samples, noise=self.noise, random_state=self.seed)[0])

    def _moons(self) -> tuple[Any, np.ndarray]:
        labels = np.asarray(make_moons(self.n_samples, noise=self.noise, random_state=self.seed)[1])
        graph = scipy.sparse.csr_array(kneighbors_graph(self.points(), self.neighbours))
        return graph.maximum(graph.T), labels

    def _blocks(self) -> tuple[Any, np.ndarray]:
        chance = np.random.default_rng(self.seed)
        labels = np.arange(self.n_samples) % self.n_clusters
        probability = np.where(labels[:, None] == labels, self.within, self.between)
        upper = np.triu(chance.random(probability.shape) < probability, 1).astype(float)
        return scipy.sparse.csr_array(upper + upper.T), labels

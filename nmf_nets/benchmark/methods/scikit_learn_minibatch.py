"""scikit-learn's MiniBatchNMF."""

from typing import Any

import numpy as np
import torch
from sklearn.decomposition import MiniBatchNMF
from sklearn.utils import gen_batches

from nmf_nets.benchmark.base import Coder, Method, Observer, Problem
from nmf_nets.benchmark.methods.scikit_learn import coded
from nmf_nets.factorization import Factorization


class ScikitLearnMiniBatch(Method):
    """Its `partial_fit` with consecutive batches, again and again; one iteration is one pass.

    Every batch is coded afresh: of a start it uses W alone, and the codes of all rows are those of its own
    `transform`, made off the clock. `fit(fresh_restarts=True)` makes the same passes, bitwise, with
    forget_factor^(n_samples / batch_size) for forget_factor, as `fit` forgets so much a pass, `partial_fit` a batch.
    Its own start is its default, NNDSVD of the first batch with the zeros filled.
    """

    def __init__(self, batch_size: int = 1024, forget_factor: float = 0.7):
        self.batch_size, self.forget_factor = batch_size, forget_factor

    def refuse(self, problem: Problem, start: Factorization | None) -> None:
        pass  # every β, dense and sparse, any start

    def run(self, problem: Problem, start: Factorization | None, observe: Observer) -> Coder:
        X = problem.X
        data: Any = X.numpy()
        options: dict[str, Any] = {
            "n_components": problem.n_components,
            "init": None if start is None else "custom",
            "batch_size": self.batch_size,
            "beta_loss": problem.divergence.beta,
            "forget_factor": self.forget_factor,
            "random_state": problem.seed,
        }
        model: Any = MiniBatchNMF(**options)
        # scikit-learn's W is our H, its H (components_) our W.
        H, W = (None, None) if start is None else (np.ascontiguousarray(M.cpu().numpy()) for M in (start.H, start.W))
        iteration, going = 0, True
        while going:
            for rows in gen_batches(X.shape[0], self.batch_size):
                model.partial_fit(data[rows], W=None if H is None else H[rows], H=W)
            iteration += 1
            going = observe(lambda: Factorization(coded(model, X), torch.from_numpy(model.components_)), iteration)
        return lambda rows: coded(model, rows)

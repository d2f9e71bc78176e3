"""scikit-learn's NMF."""

import math
import warnings
from typing import Any

import numpy as np
import torch
from sklearn.decomposition import NMF
from sklearn.exceptions import ConvergenceWarning

from nmf_nets.benchmark.base import Coder, Method, Observer, Problem
from nmf_nets.benchmark.recorder import MARKS
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.refusal import Refusal


class ScikitLearn(Method):
    """solver `cd` or `mu`, in one run that is continued: its state is (H, W) alone, so chunks equal one run bitwise.

    Chunks grow with the iterations done, as each has a fixed cost, and end at the MARKS. What is observed is their
    number. Unseen rows are coded by `transform` with its own defaults. Its own start is its default, NNDSVD with the
    zeros filled.
    """

    def __init__(self, solver: str):
        self.solver = solver

    def refuse(self, problem: Problem, start: Factorization | None) -> None:
        if self.solver == "cd" and not isinstance(problem.divergence, Frobenius):
            raise Refusal("scikit-learn's solver cd serves the Frobenius divergence alone; use its mu.")

    def run(self, problem: Problem, start: Factorization | None, observe: Observer) -> Coder:
        data, own = problem.X.numpy(), {"max_iter": 200, "tol": 1e-4}
        options = {"beta_loss": problem.divergence.beta, "random_state": problem.seed}
        model: Any = NMF(problem.n_components, solver=self.solver, tol=0, **options)  # pyright: ignore
        # scikit-learn's W is our H, its H (components_) our W.
        H = W = None
        if start is not None:
            H, W = (np.ascontiguousarray(M.cpu().numpy()) for M in (start.H, start.W))
        iteration, going = 0, True
        while going:
            mark = min((mark for mark in MARKS if mark > iteration), default=math.inf)
            chunk = int(min(max(1, iteration // 4), mark - iteration))
            model.set_params(init=None if H is None else "custom", max_iter=chunk)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                H = model.fit_transform(data, W=H, H=W)
            W = model.components_
            iteration += chunk
            found = Factorization(torch.from_numpy(H), torch.from_numpy(W))
            going = observe(lambda: found, iteration)  # noqa: B023 - called at once
        model.set_params(**own)
        return lambda X: coded(model, X)


def coded(model: Any, X: Matrix) -> torch.Tensor:
    """What the model's own `transform` makes of the rows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return torch.from_numpy(model.transform(X.numpy()))

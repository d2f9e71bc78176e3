"""scikit-learn's NMF."""

import warnings
from typing import Any

import numpy as np
import scipy.sparse
import torch
from sklearn.decomposition import NMF
from sklearn.exceptions import ConvergenceWarning

from nmf_nets.benchmark.base import Method, Observer
from nmf_nets.divergences.base import Divergence
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix, SparseMatrix
from nmf_nets.refusal import Refusal


class ScikitLearn(Method):
    """solver `cd` or `mu`, in one run that is continued: its state is (H, W) alone, so chunks equal one run bitwise.

    Chunks grow with the iterations done, as each has a fixed cost; their number is what is observed.
    """

    def __init__(self, solver: str):
        self.solver = solver

    def refuse(self, X: Matrix, divergence: Divergence) -> None:
        if self.solver == "cd" and not isinstance(divergence, Frobenius):
            raise Refusal("scikit-learn's solver cd serves divergence=frobenius alone; use its mu.")

    def run(self, X: Matrix, start: Factorization, divergence: Divergence, observe: Observer) -> None:
        data = numpy_of(X)
        # scikit-learn's W is our H, its H (components_) our W.
        H, W = (np.ascontiguousarray(M.cpu().numpy()) for M in (start.H, start.W))
        iteration, going = 0, True
        while going:
            chunk = max(1, iteration // 4)
            options: dict[str, Any] = {"init": "custom", "beta_loss": divergence.beta, "tol": 0, "max_iter": chunk}
            model: Any = NMF(start.n_components, solver=self.solver, **options)  # pyright: ignore[reportArgumentType]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                H = model.fit_transform(data, W=H, H=W)
            W = model.components_
            iteration += chunk
            found = Factorization(torch.from_numpy(H), torch.from_numpy(W))
            going = observe(lambda: found, iteration)  # noqa: B023 - called at once


def numpy_of(X: Matrix) -> Any:
    """The matrix as scikit-learn takes it."""
    if isinstance(X, SparseMatrix):
        parts = (X.values, X.csr.col_indices(), X.csr.crow_indices())
        return scipy.sparse.csr_array(tuple(part.cpu().numpy() for part in parts), shape=X.shape)
    return np.ascontiguousarray(X.dense().cpu().numpy())

"""torchnmf's NMF."""

import math
import warnings
from typing import Any

import torch

from nmf_nets.benchmark.base import Coder, Method, Observer, Problem
from nmf_nets.extras import extra
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix, SparseMatrix
from nmf_nets.shapes import Codes, Components


class TorchNMF(Method):
    """Multiplicative updates through autograd, first of W, then of H; where X lives, dense or COO.

    Its state is (H, W) alone, so chunks, which grow with the iterations done as each has a fixed cost, equal one run
    bitwise. ε of float32 is added to both parts of the gradient in every dtype, whatever the scale of X. Sparse X with
    β other than 1 and 2 costs it a Python loop over the rows. Its own start is |N(0, 1)|; unseen rows are coded by
    its `fit` with W not trainable and the other defaults.
    """

    def __init__(self):
        self.nmf = extra("torchnmf.nmf", "torchnmf").NMF

    def refuse(self, problem: Problem, start: Factorization | None) -> None:
        pass  # every β, dense and sparse, any start

    def run(self, problem: Problem, start: Factorization | None, observe: Observer) -> Coder:
        beta, data = problem.divergence.beta, _tensor(problem.X)
        model = self._model(problem.X, problem.n_components, problem.seed)
        if start is not None:
            model.H.data.copy_(start.H)
            model.W.data.copy_(start.W.T)
        iteration, going = 0, True
        while going:
            chunk = max(1, iteration // 4)
            _fit(model, data, beta=beta, tol=-math.inf, max_iter=chunk)
            iteration += chunk
            going = observe(lambda: Factorization(model.H.detach(), model.W.detach().T), iteration)
        W = model.W.detach().T
        return lambda X: self._coded(X, W, problem)

    def _model(self, X: Matrix, n_components: int, seed: int) -> Any:
        """At its own start. It draws from torch's global generator and in torch's default dtype."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return self.nmf(X.shape, n_components).to(X.device, X.dtype)

    def _coded(self, X: Matrix, W: Components, problem: Problem) -> Codes:
        model = self._model(X, problem.n_components, problem.seed)
        model.W.data.copy_(W.T)
        model.W.requires_grad_(False)
        _fit(model, _tensor(X), beta=problem.divergence.beta)
        return model.H.detach()


def _tensor(X: Matrix) -> torch.Tensor:
    return X.csr.to_sparse_coo() if isinstance(X, SparseMatrix) else X.dense()


def _fit(model: Any, data: torch.Tensor, **options: Any) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.chain_matmul is deprecated", UserWarning)
        model.fit(data, **options)

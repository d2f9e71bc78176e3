"""gensim's online NMF."""

import copy
import logging
from typing import Any

import scipy.sparse
import torch

from nmf_nets.benchmark.base import Coder, Method, Observer, Problem
from nmf_nets.extras import extra
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.refusal import Refusal
from nmf_nets.shapes import Codes


class Gensim(Method):
    """Its `update` with the whole corpus, again and again; Frobenius. One iteration is one pass, in batches of 2000.

    Each call forgets the statistics of the calls before it; one call with as many `passes` averages them over all
    passes, and is far slower to converge. Its own start, the only one, is half-normal noise at the scale of the first
    batch. It computes in float64. Codes are those of its own inference, made off the clock, for all rows at once as
    in training; `get_document_topics` does it for one row.
    """

    def __init__(self):
        self.nmf = extra("gensim.models.nmf", "gensim").Nmf
        logging.getLogger("gensim").setLevel(logging.WARNING)  # it tells of every batch, and the programs log INFO

    def refuse(self, problem: Problem, start: Factorization | None) -> None:
        if problem.divergence.beta != 2:
            raise Refusal(f"gensim serves the Frobenius divergence alone, not β = {problem.divergence.beta:g}.")
        if start is not None:
            raise Refusal("gensim takes no start; give it none, and it makes its own.")

    def run(self, problem: Problem, start: Factorization | None, observe: Observer) -> Coder:
        model = self.nmf(
            num_topics=problem.n_components,
            id2word={j: str(j) for j in range(problem.X.shape[1])},
            normalize=False,
            eval_every=None,
            random_state=problem.seed,
        )
        corpus = _corpus(problem.X)
        iteration, going = 0, True
        while going:
            model.update(corpus)
            iteration += 1
            going = observe(
                lambda: Factorization(_coded(model, problem.X), torch.from_numpy(model.get_topics())), iteration
            )
        return lambda X: _coded(model, X)


def _corpus(X: Matrix) -> scipy.sparse.csc_matrix:
    """Documents are columns; sparse data are shared."""
    return scipy.sparse.csr_matrix(X.numpy()).T


def _coded(model: Any, X: Matrix) -> Codes:
    own = copy.copy(model)  # inference moves its chance and the bound on W
    own.random_state = copy.deepcopy(model.random_state)
    return torch.from_numpy(own._solveproj(_corpus(X), own._W, v_max=float("inf")).T)

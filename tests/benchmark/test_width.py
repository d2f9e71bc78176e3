"""Models whose components have several rows of W."""

import pytest
import torch

from nmf_nets.as_matrix import as_matrix
from nmf_nets.benchmark.base import Problem
from nmf_nets.benchmark.evaluator import Evaluator, NotAFactorization
from nmf_nets.benchmark.methods.net import Net
from nmf_nets.benchmark.recorder import Budget, Recorder, Status
from nmf_nets.constraints.projected import Projected
from nmf_nets.decoders.convolutive import Convolutive
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.encoders.convolutional import Convolutional
from nmf_nets.factorization import Factorization
from nmf_nets.inits.random import random
from nmf_nets.optimizers.multiplicative import Multiplicative


def method() -> Net:
    return Net(
        lambda start: Convolutional(start, Frobenius(), 4),
        lambda start: Convolutive(start, Projected(), 4),
        Multiplicative,
        random,
    )


def problem(width: int | None) -> Problem:
    X = torch.rand(20, 7, generator=torch.Generator().manual_seed(0))
    return Problem(as_matrix(X), Frobenius(), 3, width=width)


@pytest.mark.untyped
def test_factors_may_be_as_wide_as_the_problem_says_or_plain():
    evaluator = Evaluator(problem(12))
    for r in (3, 12):
        evaluator(Factorization(torch.ones(20, r), torch.ones(r, 7)))
    for factors in (
        Factorization(torch.ones(20, 5), torch.ones(5, 7)),
        Factorization(torch.ones(20, 3), torch.ones(12, 7)),
    ):
        with pytest.raises(NotAFactorization):
            evaluator(factors)


def test_a_wider_model_takes_part_where_the_problem_allows_it_and_is_unsupported_where_not():
    run = Recorder(problem(12), Budget(100.0, 5)).record(method(), None)
    assert run.status is Status.BUDGET
    assert run.end[0].copies == 4
    assert run.coder is not None
    assert run.coder(problem(12).X).shape == (20, 12)
    run = Recorder(problem(None), Budget(100.0, 5)).record(method(), None)
    assert run.status is Status.UNSUPPORTED
    assert "4 rows of W for each component" in str(run.error)

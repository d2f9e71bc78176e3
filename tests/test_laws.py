"""The laws of an NMF autoencoder, and where each is tested."""

import re
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from nmf_nets.as_matrix import as_matrix
from nmf_nets.constraints.projected import Projected
from nmf_nets.decoders.linear import Linear as LinearDecoder
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.divergences.kullback_leibler import KullbackLeibler
from nmf_nets.encoders.exact import Exact
from nmf_nets.encoders.linear import Linear
from nmf_nets.encoders.table import Table
from nmf_nets.encoders.unrolled import Unrolled
from nmf_nets.factorization import Factorization
from nmf_nets.fit import factorize
from nmf_nets.inits.random import random
from nmf_nets.loader import Batch
from nmf_nets.metrics.kkt_residual import kkt_residual
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder
from nmf_nets.modules.frobenius import FrobeniusNMF
from nmf_nets.modules.kullback_leibler import KullbackLeiblerNMF
from nmf_nets.optimizers.block import Block
from nmf_nets.optimizers.multiplicative import Multiplicative
from nmf_nets.refusal import Refusal
from nmf_nets.solver import Effort, Solver
from nmf_nets.updates.hals import HALS
from nmf_nets.updates.scalar_newton import ScalarNewton

LAWS = {
    "table, exact and unrolled codes minimise the objective of NMF": [
        "test_free_codes_and_codes_of_a_solver_end_where_the_solver_ends",
        "test_a_table_with_block_steps_is_the_solver_of_that_update",
    ],
    "one warm step is the classical iterate": [
        "test_warm_steps_with_the_same_update_on_components_are_the_classical_iterates",
    ],
    "a non-negative linear encoder is convex NMF of the transpose": [
        "test_linear_encoder_is_convex_nmf_of_the_transpose",
        "test_a_linear_encoder_with_a_multiplicative_step_is_a_step_of_convex_nmf",
        "test_a_linear_encoder_ends_at_the_loss_of_convex_nmf",
    ],
    "a tied linear encoder is projective NMF": [
        "test_projective_encoder_has_the_loss_and_the_gradient_of_projective_nmf",
        "test_a_projective_encoder_with_multiplicative_steps_is_projective_nmf",
    ],
    "codes of KL have the totals of their rows, and a softmax loses nothing": [
        "test_a_multiplicative_kullback_leibler_step_on_codes_keeps_row_totals",
        "test_the_best_kullback_leibler_codes_have_the_totals_of_their_rows",
        "test_a_softmax_times_the_total_reaches_the_best_kullback_leibler_codes",
    ],
    "the gradient at the best codes is that of the least divergence": [
        "test_gradient_at_exact_codes_is_that_of_the_least_divergence",
    ],
    "exact codes are those of scipy": [
        "test_exact_codes_are_non_negative_least_squares",
        "test_codes_are_those_of_non_negative_least_squares",
    ],
    "what is known of exact factorizations": [
        "test_data_of_rank_two_have_an_exact_factorization_with_two_components",
        "test_the_slack_matrix_of_the_square_needs_four_components",
        "test_rank_two_is_always_found_among_the_rows",
        "test_planted_rows_are_found_exactly",
        "test_the_square_needs_four_components_and_has_no_three",
        "test_a_monomial_submatrix_is_found_among_the_rows_and_the_columns",
    ],
    "what is monotone": [
        "test_no_half_step_raises_the_divergence",
        "test_what_is_yielded_never_rises",
        "test_with_weights_repeats_descend",
        "test_multiplicative_steps_of_a_linear_encoder_never_raise_the_divergence",
        "test_projective_steps_that_would_raise_the_divergence_are_shortened",
    ],
    "convolutive NMF is NMFD, and with one lag plain NMF": [
        "test_multiplicative_steps_on_a_table_never_raise_the_divergence",
        "test_one_warm_half_step_is_the_multiplicative_step_of_a_table",
        "test_one_lag_is_plain_nmf_to_the_bit",
        "test_torchnmf_steps_the_same_way_where_its_reconstruction_is_the_same",
    ],
    "a start of equal components is refused, dead components are counted": [
        "test_a_net_refuses_a_start_of_equal_components",
        "test_what_cannot_be_used_gets_a_sentence",
        "test_components_without_mass_are_dead",
    ],
    "codes scale with their rows, factors with the root of the data": [
        "test_each_row_times_a_number_of_its_own_gives_its_code_times_that_number",
        "test_data_times_c_and_a_start_times_its_root_give_codes_times_the_root",
        "test_training_on_data_times_c_gives_factors_times_the_root_of_c",
    ],
    "a net on a stream is the classical stream, and with multiplicative sums scikit-learn's": [
        "test_a_net_on_a_stream_takes_its_steps",
        "test_multiplicative_sums_are_those_of_scikit_learn",
    ],
}


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def digits(n: int) -> Tensor:
    X = torch.from_numpy(load_digits().data[:n])
    return X[:, X.sum(0) > 0]


def fit(net: NonNegativeAutoencoder, X: Tensor, steps: int) -> float:
    """The divergence that so many steps on all rows leave."""
    optimizer, batch = net.configure_optimizers(), Batch(as_matrix(X), torch.arange(len(X)))
    for _ in range(steps):
        optimizer.step(lambda: net.objective(batch))
    return float(net.divergence.total(batch.X, net.own_factors(batch.X)))


def test_every_law_names_tests_that_exist():
    text = "\n".join(path.read_text() for path in Path(__file__).parent.rglob("test_*.py"))
    written = set(re.findall(r"^def (test_\w+)", text, re.MULTILINE))
    assert {name for names in LAWS.values() for name in names} <= written


# NMF itself -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoder", ["table", "exact", "unrolled", "unrolled, cold"])
@pytest.mark.parametrize(
    ("module", "update"), [(FrobeniusNMF, HALS()), (KullbackLeiblerNMF, ScalarNewton())], ids=["Frobenius", "KL"]
)
def test_free_codes_and_codes_of_a_solver_end_where_the_solver_ends(module, update, encoder):
    X = (uniform(40, 3) ** 3 @ uniform(3, 30, seed=1) ** 3) * (0.9 + 0.2 * uniform(40, 30, seed=2))
    data = as_matrix(X)
    start = random(data, 3, torch.Generator().manual_seed(0))
    encoders = {
        "table": lambda: Table(start, Projected()),
        "exact": lambda: Exact(start, update),
        "unrolled": lambda: Unrolled(start, update, warm=3),
        "unrolled, cold": lambda: Unrolled(start, update, warm=0),
    }
    net = module(start, encoders[encoder](), optimizer=partial(Block, update=update, repeats=3, extrapolate=False))
    ours = fit(net, X, 300)
    solved = next(islice(Solver(update, Effort(3)).iterates(data, start), 300, None))
    assert ours == pytest.approx(float(net.divergence.total(data, solved)), rel=1e-6)
    assert kkt_residual(data, net.own_factors(data), net.divergence) < 1e-4


@pytest.mark.parametrize("module", [FrobeniusNMF, KullbackLeiblerNMF])
def test_a_net_refuses_a_start_of_equal_components(module):
    with pytest.raises(Refusal, match="all components of start are the same"):
        module(Factorization(torch.ones(6, 3), torch.ones(3, 5)))
    module(Factorization(torch.ones(6, 1), torch.ones(1, 5)))
    module(Factorization(torch.ones(6, 3), uniform(3, 5)))


# Restrictions ---------------------------------------------------------------------------------------------------------


def convex_nmf(X: Tensor, A: Tensor, W: Tensor, steps: int) -> float:
    """½ ‖Y − G C Y‖² of Y = Xᵀ, G = Wᵀ and C = Aᵀ after so many steps of Ding, Li & Jordan, with exponent 1."""
    Y, G, C = X.T.numpy(), W.T.numpy(), A.T.numpy()
    K = Y @ Y.T
    for _ in range(steps):
        C = C * (G.T @ K) / (G.T @ G @ C @ K)
        G = G * (K @ C.T) / (G @ (C @ K @ C.T))
    return 0.5 * np.square(Y - G @ C @ Y).sum()


def test_a_linear_encoder_ends_at_the_loss_of_convex_nmf():
    X = digits(100)
    start = random(as_matrix(X), 3, torch.Generator().manual_seed(1))

    def net(optimizer):
        return NonNegativeAutoencoder(
            Linear(start, Projected()), LinearDecoder(start, Projected()), Frobenius(), optimizer
        )

    A = net(Multiplicative).encoder.A.value.detach()
    assert fit(net(Multiplicative), X, 100) == pytest.approx(convex_nmf(X, A, start.W, 100), rel=1e-10)
    assert fit(net(partial(Block, update=HALS())), X, 500) == pytest.approx(convex_nmf(X, A, start.W, 8000), rel=1e-4)


# Kullback–Leibler -----------------------------------------------------------------------------------------------------


def topics() -> tuple[Tensor, Tensor]:
    """Data, and components whose rows sum to 1."""
    W = uniform(4, 12, seed=1) ** 3
    X = (uniform(15, 4) ** 2 @ W) * (uniform(15, 12, seed=2) < 0.7)
    return X, W / W.sum(1, keepdim=True)


def test_the_best_kullback_leibler_codes_have_the_totals_of_their_rows():
    X, W = topics()
    H = Exact(None, ScalarNewton(), tolerance=0.0, most=2000)(as_matrix(X), W)
    torch.testing.assert_close(H.sum(1), X.sum(1), rtol=1e-10, atol=0)


def test_a_softmax_times_the_total_reaches_the_best_kullback_leibler_codes():
    X, W = topics()
    D = KullbackLeibler()
    best = float(D(X, Exact(None, ScalarNewton(), tolerance=0.0, most=2000)(as_matrix(X), W) @ W).sum())
    logits = torch.zeros(15, 4, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [logits], max_iter=300, tolerance_grad=0, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def reached() -> Tensor:
        optimizer.zero_grad()
        value = D(X, X.sum(1, keepdim=True) * logits.softmax(1) @ W).sum()
        value.backward()
        return value

    optimizer.step(reached)
    assert best <= float(reached().detach()) * (1 + 1e-12)
    assert float(reached().detach()) == pytest.approx(best, rel=1e-5)


# Exact factorizations -------------------------------------------------------------------------------------------------


def relative_error(X: Tensor, n_components: int, seed: int, max_iter: int) -> float:
    found = factorize(X, n_components, solver="hals", init="random", seed=seed, tol=0, max_iter=max_iter)
    return float((X - found.H @ found.W).norm() / X.norm())


@pytest.mark.parametrize("seed", range(3))
def test_data_of_rank_two_have_an_exact_factorization_with_two_components(seed):
    """Rows 1 + a b with a, b in (−1, 1): of rank two, but not made from two non-negative factors."""
    a, b = 2 * uniform(20, 1, seed=seed) - 1, 2 * uniform(1, 15, seed=seed + 10) - 1
    assert relative_error(1 + a @ b, 2, seed, 1000) < 1e-7


def test_the_slack_matrix_of_the_square_needs_four_components():
    """It has rank 3, so this is a gap between rank and non-negative rank: sin(π / 8) / √2."""
    slack = torch.tensor([[0, 1, 1, 0], [0, 0, 1, 1], [1, 0, 0, 1], [1, 1, 0, 0]], dtype=torch.float64)
    assert torch.linalg.matrix_rank(slack) == 3
    assert min(relative_error(slack, 4, seed, 100) for seed in range(3)) < 1e-12
    best = min(relative_error(slack, 3, seed, 300) for seed in range(10))
    assert best == pytest.approx(np.sin(np.pi / 8) / 2**0.5, abs=1e-6)
    assert best > np.sin(np.pi / 8) / 2**0.5 - 1e-12

"""seqNMF: motifs that share what they explain, held against the formula, and what becomes of motifs too many."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from nmf_nets.as_matrix import as_matrix
from nmf_nets.benchmark.base import Problem, refuse
from nmf_nets.benchmark.methods.classical import Classical
from nmf_nets.constraints.projected import Projected
from nmf_nets.criterion import Criterion
from nmf_nets.data.motifs import Motifs
from nmf_nets.decoders.convolutive import Convolutive
from nmf_nets.divergences.beta import beta_divergence
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.encoders.convolutional import Convolutional
from nmf_nets.encoders.table import Table
from nmf_nets.factorization import Factorization
from nmf_nets.inits.random import random
from nmf_nets.lags import delayed, surroundings
from nmf_nets.loader import Batch
from nmf_nets.matrix import DenseMatrix, Matrix
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder
from nmf_nets.modules.frobenius import FrobeniusNMF
from nmf_nets.optimizers.multiplicative import Multiplicative
from nmf_nets.penalties.cross_orthogonality import CrossOrthogonality
from nmf_nets.refusal import Refusal
from nmf_nets.solver import Solver
from nmf_nets.updates.hals import HALS

N, M, R = 20, 9, 3
every_model = pytest.mark.parametrize(("lags", "shifts"), [(1, 1), (4, 1), (3, 2)])


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def dense() -> Matrix:
    return as_matrix(uniform(N, 4) @ uniform(4, M, seed=1))


def masked() -> Matrix:
    X = dense().dense()
    return DenseMatrix(X, (uniform(N, M, seed=2) < 0.7) * (0.5 + uniform(N, M, seed=3)))


def sparse() -> Matrix:
    return as_matrix((dense().dense() * (uniform(N, M, seed=2) < 0.5)).to_sparse_csr())


every_kind = pytest.mark.parametrize("kind", [dense, masked, sparse], ids=lambda kind: kind.__name__)


def net_of(X: Matrix, lags: int, shifts: int, strength: float, beta: float = 2.0, encoder: str = "table"):
    start = random(X, R, torch.Generator().manual_seed(0))
    decoder = Convolutive(start, Projected(), lags, shifts)
    begin, D = decoder.start_of_encoder(start), beta_divergence(beta)
    made = Table(begin, Projected()) if encoder == "table" else Convolutional(begin, D, lags, warm=1)
    between = [CrossOrthogonality(strength, lags, shifts)]
    return NonNegativeAutoencoder(made, decoder, D, Multiplicative, penalties_HW=between)


def values(net: NonNegativeAutoencoder, X: Matrix, steps: int) -> list[float]:
    optimizer, batch = net.configure_optimizers(), Batch(X, torch.arange(X.shape[0]))
    return [float(optimizer.step(lambda: net.objective(batch)).value()) for _ in range(steps)]


def by_the_formula(X: Tensor, H: Tensor, W: Tensor, lags: int, shifts: int) -> float:
    """Σ over motifs k ≠ l and moments less than `lags` apart of O_tk h_t'l; W is (lags, shifts, R, M)."""
    total = 0.0
    for t in range(N):
        for shift in range(shifts):
            for k in range(R):
                overlap = sum(float(X[t + lag] @ W[lag, shift, k]) for lag in range(lags) if t + lag < N)
                for near in range(max(0, t - lags + 1), min(N, t + lags)):
                    total += overlap * sum(float(H[near, c]) for c in range(R * shifts) if c % R != k)
    return total


@pytest.mark.parametrize(("n", "lags"), [(7, 3), (2, 5), (5, 1)])
def test_surroundings_are_sums_over_a_band(n, lags):
    band = (torch.arange(n)[:, None] - torch.arange(n)).abs() < lags
    H = uniform(n, 2)
    torch.testing.assert_close(surroundings(H, lags), band.double() @ H)


@every_model
@every_kind
def test_the_value_is_that_of_the_formula(kind, lags, shifts):
    X, H, W = kind(), uniform(N, R * shifts, seed=5), uniform(lags, shifts, R, M, seed=6)
    seen = X.dense() if X.weights is None else X.weights * X.values
    factors = Factorization(delayed(H, lags), W.reshape(-1, M), lags * shifts)
    value = CrossOrthogonality(0.7, lags, shifts).value(X, factors)
    assert float(value) == pytest.approx(0.7 * by_the_formula(seen, H, W, lags, shifts), rel=1e-12)


@every_model
@every_kind
def test_to_each_factor_it_is_a_price_that_says_the_same(kind, lags, shifts):
    X, H, W = kind(), uniform(N, R * shifts, seed=5), uniform(lags * shifts * R, M, seed=6)
    penalty, spread = CrossOrthogonality(0.7, lags, shifts), delayed(H, lags)
    value = penalty.value(X, Factorization(spread, W, lags * shifts))
    torch.testing.assert_close(penalty.given_W(X, W).value(spread), value)
    torch.testing.assert_close(penalty.given_H(X, spread).value(W.T), value)


@every_model
@every_kind
def test_the_split_gradient_of_a_net_is_that_of_autograd(kind, lags, shifts):
    X, net = kind(), net_of(kind(), lags, shifts, 0.7)
    thetas = [net.encoder.codes.theta, net.decoder.weight.theta]
    split = net.objective(Batch(X, torch.arange(N))).split_gradient(thetas)
    H, W = net.decoder.spread(net.encoder.codes.value), net.decoder.W
    errors = 0.5 * (H @ W - X.dense()).square()
    total = (errors if X.weights is None else X.weights * errors).sum()
    total = total + net.criterion.between[0].value(X, Factorization(H, W, lags * shifts))
    for (P, N_), expected in zip(split, torch.autograd.grad(total, thetas), strict=True):
        assert bool((P >= 0).all())
        assert bool((N_ >= 0).all())
        torch.testing.assert_close(P - N_, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0, 3.0])
@every_model
@every_kind
def test_no_multiplicative_step_raises_the_objective(kind, lags, shifts, beta):
    X = kind()
    seen = values(net_of(X, lags, shifts, 0.3, beta), X, 40)
    assert all(after <= before * (1 + 1e-12) for before, after in pairwise(seen))
    assert seen[-1] < 0.99 * seen[0]


@every_model
def test_one_warm_half_step_is_the_multiplicative_step_of_a_table(lags, shifts):
    X = dense()
    table, warm = (net_of(X, lags, shifts, 0.3, encoder=encoder) for encoder in ("table", "convolutional"))
    assert values(table, X, 5) == pytest.approx(values(warm, X, 5), rel=1e-12)
    torch.testing.assert_close(warm.encoder.kept, table.encoder.codes.value)
    torch.testing.assert_close(warm.decoder.W, table.decoder.W)


@pytest.mark.parametrize("c", [1e-8, 1e8])
@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_data_times_c_and_a_strength_in_their_units_give_factors_times_the_root_of_c(beta, c):
    X, scaled = dense(), as_matrix(c * dense().dense())
    one, many = net_of(X, 3, 1, 0.3, beta), net_of(scaled, 3, 1, 0.3 * c ** (beta - 2), beta)
    values(one, X, 10)
    values(many, scaled, 10)
    torch.testing.assert_close(many.decoder.W / c**0.5, one.decoder.W, rtol=1e-9, atol=1e-12)


def test_rows_that_were_not_trained_on_heed_none_of_it():
    net, other = (
        net_of(dense(), 3, 1, 1e3, encoder="convolutional"),
        net_of(dense(), 3, 1, 0.0, encoder="convolutional"),
    )
    X = as_matrix(uniform(12, M, seed=9))
    torch.testing.assert_close(net.factorize(X).H, other.factorize(X).H)
    rows = torch.arange(N)
    assert float(net.factorize(dense(), rows).H.sum()) < float(other.factorize(dense(), rows).H.sum())


def test_motifs_too_many_are_given_up():
    """Three motifs are in the data, seven are offered: the penalty leaves the work to fewer of them."""

    def at_work(strength: float) -> int:
        """How many motifs, in the order of what they explain, make 99 % of the reconstruction."""
        data = Motifs(n_samples=400, n_features=20, n_components=3, lags=6, dtype="float64", validation=0.0, test=0.0)
        data.setup()
        X = data.training
        start = random(X, 7, torch.Generator().manual_seed(0))
        decoder = Convolutive(start, Projected(), 9)
        encoder = Table(decoder.start_of_encoder(start), Projected())
        net = FrobeniusNMF(None, encoder, decoder, Multiplicative, penalties_HW=[CrossOrthogonality(strength, 9)])
        values(net, X, 300)
        sizes = encoder.codes.value.sum(0) * decoder.motifs.sum((1, 2))
        parts = sizes.sort(descending=True).values.cumsum(0) / sizes.sum()
        return int((parts < 0.99).sum()) + 1

    assert at_work(0.0) == 7
    assert at_work(1e-2) <= 4


@pytest.mark.parametrize("strength", [-1.0, float("nan"), pytest.param("much", marks=pytest.mark.untyped)])
def test_what_is_no_strength_is_refused(strength):
    with pytest.raises(Refusal, match="strength of CrossOrthogonality"):
        CrossOrthogonality(strength, 3)


def test_what_it_cannot_be_used_with_gets_a_sentence():
    X, start = dense(), random(dense(), R, torch.Generator().manual_seed(0))
    with pytest.raises(
        Refusal, match=r"cross_orthogonality is on motifs, but Linear has none; use decoder=convolutive"
    ):
        FrobeniusNMF(start, penalties_HW=[CrossOrthogonality(1.0, 3)])
    net = net_of(X, 3, 1, 1.0)
    net.criterion = Criterion(Frobenius(), between=(CrossOrthogonality(1.0, 3, 2),))
    with pytest.raises(Refusal, match="do not divide the columns"):
        values(net, X, 1)
    problem = Problem(X, Frobenius(), R, between=(CrossOrthogonality(1.0, 3),))
    with pytest.raises(Refusal, match="cannot heed cross_orthogonality"):
        refuse(Classical(Solver(HALS()), random), problem, start)
    assert not problem.plain

"""The laws of convolutive models: decoder, half-steps, encoder and training together."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import pytest
import scipy.sparse
import torch
from torch import Tensor

from nmf_nets.as_matrix import as_matrix
from nmf_nets.constraints.projected import Projected
from nmf_nets.constraints.softplus import Softplus
from nmf_nets.data.motifs import Motifs
from nmf_nets.decoders.base import Decoder
from nmf_nets.decoders.convolutive import Convolutive
from nmf_nets.decoders.linear import Linear
from nmf_nets.divergences.base import Divergence
from nmf_nets.divergences.beta import beta_divergence
from nmf_nets.divergences.frobenius import Frobenius
from nmf_nets.divergences.kullback_leibler import KullbackLeibler
from nmf_nets.encoders.base import Encoder
from nmf_nets.encoders.convolutional import Convolutional
from nmf_nets.encoders.exact import Exact
from nmf_nets.encoders.mlp import MLP
from nmf_nets.encoders.table import Table
from nmf_nets.encoders.unrolled import Unrolled
from nmf_nets.factorization import Factorization
from nmf_nets.heads.classifier import Classifier
from nmf_nets.inits.random import random
from nmf_nets.lags import delayed, gathered
from nmf_nets.loader import Batch, ResidentLoader
from nmf_nets.matrix import DenseMatrix, Matrix
from nmf_nets.metrics.dead_components import component_shares, dead_components
from nmf_nets.metrics.recovery import motif_cosines
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder
from nmf_nets.optimizers.adam import ProjectedAdam
from nmf_nets.optimizers.block import Block
from nmf_nets.optimizers.multiplicative import Multiplicative
from nmf_nets.penalties.l1 import L1
from nmf_nets.penalties.orthogonality import Orthogonality
from nmf_nets.refusal import Refusal
from nmf_nets.updates.hals import HALS

BETAS = [-1.0, 0.0, 0.5, 1.0, 2.0, 3.0]
MODELS = {"one lag": (1, 1), "1-D": (4, 1), "2-D": (3, 2), "shifts alone": (1, 3)}
every_model = pytest.mark.parametrize(("lags", "shifts"), MODELS.values(), ids=MODELS.keys())
every_beta = pytest.mark.parametrize("beta", BETAS)


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def data(zeros: float = 0.0) -> Tensor:
    X = (uniform(30, 4) @ uniform(4, 12, seed=1)) * (0.5 + uniform(30, 12, seed=2))
    return X * (uniform(30, 12, seed=3) >= zeros)


def weighted(X: Tensor) -> Matrix:
    return DenseMatrix(X, (uniform(30, 12, seed=4) < 0.7) * (0.5 + uniform(30, 12, seed=5)))


def sparse(X: Tensor) -> Matrix:
    return as_matrix(scipy.sparse.csr_array(X.numpy()))


def model(
    X: Matrix, lags: int, shifts: int, encoder: str = "table", r: int = 3, beta: float = 2.0, seed: int = 0
) -> tuple[Encoder, Convolutive]:
    start = random(X, r, torch.Generator().manual_seed(seed))
    decoder = Convolutive(start, Projected(), lags, shifts, seed)
    begin = decoder.start_of_encoder(start)
    table = encoder == "table"
    return Table(begin, Projected()) if table else Convolutional(begin, beta_divergence(beta), lags, warm=1), decoder


def net_of(X: Matrix, lags: int, shifts: int, beta: float, encoder: str = "table", **options) -> NonNegativeAutoencoder:
    penalties = {"penalties_H": options.pop("penalties_H", ()), "penalties_W": options.pop("penalties_W", ())}
    parts = model(X, lags, shifts, encoder, beta=beta, **options)
    return NonNegativeAutoencoder(*parts, beta_divergence(beta), Multiplicative, **penalties)


def values(net: NonNegativeAutoencoder, X: Matrix, steps: int) -> list[float]:
    optimizer, batch = net.configure_optimizers(), Batch(X, torch.arange(X.shape[0]))
    return [float(optimizer.step(lambda: net.objective(batch)).value()) for _ in range(steps)]


def gap(actual: Tensor, expected: Tensor) -> float:
    return float(((actual - expected).abs().max() / expected.abs().max()).detach())


# The model ------------------------------------------------------------------------------------------------------------


def test_gathering_is_the_adjoint_of_delaying():
    for n, lags in ((7, 3), (2, 5), (1, 1)):
        H, P = uniform(n, 2), uniform(n, 2 * lags, seed=1)
        assert float((delayed(H, lags) * P).sum()) == pytest.approx(float((H * gathered(P, lags)).sum()), rel=1e-14)


def test_the_reconstruction_is_that_of_conv_transpose1d():
    X = as_matrix(data())
    _, decoder = model(X, 4, 1)
    H = uniform(30, 3)
    expected = torch.nn.functional.conv_transpose1d(H.T[None], decoder.motifs.transpose(1, 2))[0, :, :30].T
    assert gap(decoder(H), expected) < 1e-14


def test_the_reconstruction_in_two_dimensions_is_that_of_conv_transpose2d():
    X = as_matrix(data())
    _, decoder = model(X, 3, 2)
    H = uniform(30, 6)
    image = H.reshape(30, 2, 3).permute(2, 0, 1)[None]  # (1, components, rows, shifts)
    expected = torch.nn.functional.conv_transpose2d(image, decoder.motifs[:, None])[0, 0, :30, :12]
    assert gap(decoder(H), expected) < 1e-14


@pytest.mark.parametrize("constraint", [Projected(), Softplus()], ids=lambda part: type(part).__name__)
@every_model
def test_the_start_is_that_of_plain_nmf_for_as_long_as_motifs_last(lags, shifts, constraint):
    X = as_matrix(data())
    start = random(X, 3, torch.Generator().manual_seed(0))
    decoder = Convolutive(start, constraint, lags, shifts)
    begin = decoder.start_of_encoder(start)
    assert begin.H.shape == (30, 3 * shifts)
    assert begin.W.shape == (3 * shifts, 12)
    assert decoder.W.shape == (3 * lags * shifts, 12)
    assert gap(decoder.motifs.sum(1), start.W) < 0.1
    assert 0.5 < float(decoder(begin.H).detach().mean() / X.mean) < 1.3
    again, other = (Convolutive(start, constraint, lags, shifts, seed).W for seed in (0, 1))
    assert torch.equal(decoder.W, again)
    assert torch.equal(decoder.W, other) == (lags == 1)


@pytest.mark.parametrize("optimizer", [Multiplicative, partial(ProjectedAdam, lr=0.03, net_lr=0.003)])
@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_one_lag_is_plain_nmf_to_the_bit(beta, optimizer):
    X = as_matrix(data())
    start = random(X, 3, torch.Generator().manual_seed(0))
    found = []
    for decoder in (Linear(start, Projected()), Convolutive(start, Projected(), lags=1)):
        net = NonNegativeAutoencoder(Table(start, Projected()), decoder, beta_divergence(beta), optimizer)
        values(net, X, 10)
        found.append(net.own_factors(X))
    assert torch.equal(found[0].H, found[1].H)
    assert torch.equal(found[0].W, found[1].W)


@every_model
def test_rescaled_components_leave_the_reconstruction(lags, shifts):
    X = as_matrix(data())
    encoder, decoder = model(X, lags, shifts)
    rows = torch.arange(30)
    before, sizes = decoder(encoder(X, decoder.W, rows)).detach(), decoder.sizes
    assert len(sizes) == encoder(X, decoder.W, rows).shape[1]
    decoder.rescale_(sizes)
    encoder.rescale_(sizes)
    assert gap(decoder(encoder(X, decoder.W, rows)), before) < 1e-14
    assert gap(decoder.sizes, torch.ones_like(sizes)) < 1e-12


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"lags": 0}, "lags must be an integer of at least 1, but is 0"),
        ({"lags": 31}, "no more than 30 rows"),
        ({"shifts": 13}, "no more than 12 features"),
    ],
)
def test_impossible_lags_and_shifts_are_refused(options, said):
    with pytest.raises(Refusal, match=said):
        Convolutive(random(as_matrix(data()), 3, torch.Generator().manual_seed(0)), Projected(), **options)


def test_a_component_is_dead_when_all_of_its_copies_are():
    H, W = torch.ones(5, 6), torch.ones(6, 4)
    W[[0, 2, 4]] = 0  # component 0 of 2, at three lags
    W[3] = 0  # component 1 at one
    assert dead_components(Factorization(H, W, copies=3)) == 1
    assert component_shares(Factorization(H, W, copies=3)).tolist() == [0, 1]
    assert dead_components(Factorization(H, W)) == 4
    assert Factorization(H, W, 3).detach().clone().to(torch.float64).balanced().copies == 3


# Training -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [as_matrix, weighted, sparse], ids=["dense", "weighted", "sparse"])
@every_beta
@every_model
def test_multiplicative_steps_on_a_table_never_raise_the_divergence(lags, shifts, beta, kind):
    X = kind(data(0.3 if beta > 0 and kind is not weighted else 0.0))
    seen = values(net_of(X, lags, shifts, beta), X, 60)
    assert all(after <= before * (1 + 1e-12) for before, after in pairwise(seen))
    assert seen[-1] < 0.95 * seen[0]


@pytest.mark.parametrize("beta", [0.0, 1.0, 2.0])
def test_penalties_on_spread_codes_and_stacked_components_keep_the_descent(beta):
    X = as_matrix(data())
    options = {"penalties_H": [L1(0.1), Orthogonality(0.1)], "penalties_W": [L1(0.1)]}
    for encoder in ("table", "convolutional"):
        seen = values(net_of(X, 3, 1, beta, encoder, **options), X, 60)
        assert all(after <= before * (1 + 1e-12) for before, after in pairwise(seen))


@every_beta
@every_model
def test_one_warm_half_step_is_the_multiplicative_step_of_a_table(lags, shifts, beta):
    X = as_matrix(data())
    table, warm = (net_of(X, lags, shifts, beta, encoder) for encoder in ("table", "convolutional"))
    values(table, X, 5)
    values(warm, X, 5)
    assert gap(warm.encoder.kept, table.encoder.codes.value) < 1e-12
    assert gap(warm.decoder.W, table.decoder.W) < 1e-12


@pytest.mark.parametrize("kind", [as_matrix, weighted, sparse], ids=["dense", "weighted", "sparse"])
@every_beta
@every_model
def test_the_split_gradient_is_that_of_autograd(lags, shifts, beta, kind):
    X = kind(data(0.3 if beta > 0 and kind is not weighted else 0.0))
    net, dense = net_of(X, lags, shifts, beta), X.dense()
    thetas = [net.encoder.codes.theta, net.decoder.weight.theta]
    split = net.objective(Batch(X, torch.arange(30))).split_gradient(thetas)
    X_hat = net.decoder(net.encoder.codes.value)
    entries = net.divergence.entries(dense, X_hat, torch.tensor(1e-300))
    total = (entries if X.weights is None else X.weights * entries).sum()
    for (P, N), expected in zip(split, torch.autograd.grad(total, thetas), strict=True):
        assert (P >= 0).all()
        assert (N >= 0).all()
        assert gap(P - N, expected) < 1e-9


@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_the_gradient_is_that_of_finite_differences(beta):
    X = data()
    encoder, decoder = model(as_matrix(X), 3, 2)
    H = encoder(as_matrix(X), decoder.W, torch.arange(30)).detach().requires_grad_()
    D = beta_divergence(beta)
    assert torch.autograd.gradcheck(lambda H: D(X, decoder(H)).sum(), (H,))


@every_model
def test_the_planted_truth_is_a_fixed_point(lags, shifts):
    encoder, decoder = model(as_matrix(data()), lags, shifts)
    H = encoder.codes.value.detach()
    X = as_matrix(decoder(H).detach())
    for beta in BETAS:
        net = NonNegativeAutoencoder(encoder, decoder, beta_divergence(beta), Multiplicative)
        values(net, X, 2)
        assert gap(net.own_factors(X).H, delayed(H, lags)) < 1e-12


@pytest.mark.parametrize("c", [1e-8, 1e8])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-11)], ids=str)
@pytest.mark.parametrize("encoder", ["table", "convolutional"])
def test_data_times_c_give_factors_times_the_root_of_c(encoder, dtype, tolerance, c):
    for beta in (1.0, 2.0):
        found = []
        for X in (as_matrix(data().to(dtype)), as_matrix(data().to(dtype) * c)):
            net = net_of(X, 3, 2, beta, encoder)
            values(net, X, 8)
            found.append(net.own_factors(X))
        assert gap(found[1].H / c**0.5, found[0].H) < tolerance
        assert gap(found[1].W / c**0.5, found[0].W) < tolerance


def test_zero_rows_zero_columns_and_silence_are_taken():
    X = data(0.3)
    X[10:20], X[:, 5] = 0, 0
    for encoder in ("table", "convolutional"):
        for M in (X, torch.zeros_like(X)):
            net = net_of(as_matrix(M), 3, 1, 1.0, encoder)
            values(net, as_matrix(M), 5)
            own = net.own_factors(as_matrix(M))
            assert own.H.isfinite().all()
            assert own.W.isfinite().all()
            assert (own.reconstruction[:, 5] <= 1e-12).all()


def test_planted_motifs_are_found_up_to_a_shift():
    data = Motifs(n_samples=400, n_features=30, validation=0, test=0, dtype="float64")
    data.setup()
    X = data.training
    start = random(X, 3, torch.Generator().manual_seed(0))
    decoder = Convolutive(start, Projected(), 15)
    encoder = Convolutional(decoder.start_of_encoder(start), KullbackLeibler(), 15)
    net = NonNegativeAutoencoder(encoder, decoder, KullbackLeibler(), Multiplicative)
    values(net, X, 100)
    assert motif_cosines(decoder.motifs.detach(), data.dataset.motifs).min() > 0.95
    assert float(net.divergence.total(X, net.own_factors(X))) < 0.003 * float(net.divergence.total(X, start))


# torchnmf -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_torchnmf_steps_the_same_way_where_its_reconstruction_is_the_same(beta):
    """It keeps no codes for the last lags − 1 rows, where ours are then zero and stay so; it adds float32's ε to both
    parts of a gradient, hence the tolerance; W goes first there, so we begin half a step later. For β = 1 its P of H
    forgets no border as it has none.
    """
    torchnmf = pytest.importorskip("torchnmf.nmf")
    X, lags = 100 * data(), 4
    start = random(as_matrix(X), 3, torch.Generator().manual_seed(0))
    H = start.H.clone()
    H[-lags + 1 :] = 0
    decoder = Convolutive(start, Projected(), lags)
    theirs = torchnmf.NMFD(W=decoder.motifs.detach().permute(2, 0, 1).clone(), H=H[: -lags + 1].T[None].clone())
    table = Table(decoder.start_of_encoder(Factorization(H, start.W)), Projected())
    net = NonNegativeAutoencoder(table, decoder, beta_divergence(beta), Multiplicative)
    batch = Batch(as_matrix(X), torch.arange(30))
    weights = (decoder.weight, table.codes)
    for _ in range(10):
        theirs.fit(X.T[None], beta=beta, tol=float("-inf"), max_iter=1)
        for weight in weights:  # in their order
            ((P, N),) = net.objective(batch).split_gradient([weight.theta])
            weight.assign_(weight.value.detach() * (N / P.where(P > 0, 1)))
        assert gap(decoder.motifs, theirs.W.detach().permute(1, 2, 0)) < 1e-6
        assert gap(table.codes.value[: -lags + 1], theirs.H.detach()[0].T) < 1e-6


# The encoder ----------------------------------------------------------------------------------------------------------


def fitted(beta: float, lags: int = 4, shifts: int = 1) -> tuple[Tensor, Convolutional, Convolutive]:
    X = as_matrix(data())
    net = net_of(X, lags, shifts, beta, "convolutional")
    values(net, X, 20)
    net.eval()
    return data(), net.encoder, net.decoder


@pytest.mark.parametrize("kind", [as_matrix, weighted, sparse], ids=["dense", "weighted", "sparse"])
@every_beta
def test_unseen_codes_come_nearer_with_momentum_than_without_and_end_stationary(beta, kind):
    X = kind(data(0.3 if beta > 0 and kind is not weighted else 0.0))
    _, encoder, decoder = fitted(beta)
    W, D = decoder.W.detach(), beta_divergence(beta)

    def value(steps: int) -> float:
        encoder.steps, encoder.progress = steps, 0.0
        return float(D.total(X, Factorization(decoder.spread(encoder(X, W)), W)))

    begin = Factorization(uniform(30, 3), W[:3])
    H = Convolutional(begin, D, decoder.lags)(X, W)
    plain = Convolutional(begin, D, decoder.lags, steps=1, progress=0)(X, W)
    table = Table(Factorization(plain, W[:3]), Projected())
    net = NonNegativeAutoencoder(table, decoder, D, Multiplicative)
    theta = table.codes.theta
    for _ in range(29):
        ((P, N),) = net.objective(Batch(X, torch.arange(30))).split_gradient([theta])
        table.codes.assign_(table.codes.value.detach() * (N / P.where(P > 0, 1)) ** D.exponent)
    without = float(D.total(X, Factorization(decoder.spread(table.codes.value.detach()), W)))
    assert value(30) <= without
    assert (H >= 0).all()
    far = value(2000)
    assert value(100) <= far * 1.02
    assert far <= value(30)


@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_a_shifted_sequence_has_shifted_codes(beta):
    X, encoder, decoder = fitted(beta)
    silent, W = torch.zeros(10, 12, dtype=X.dtype), decoder.W.detach()
    early = encoder(as_matrix(torch.cat([silent, X, silent, silent])), W)
    late = encoder(as_matrix(torch.cat([silent, silent, X, silent])), W)
    assert gap(late[10:], early[:-10]) < 1e-10
    assert (early[-20:] == 0).all()
    assert (early[:7] == 0).all()  # what begins so early does not last until X does


@every_beta
def test_codes_are_homogeneous(beta):
    X, encoder, decoder = fitted(beta)
    W = decoder.W.detach()
    for c in (1e-8, 1e8):
        assert gap(encoder(as_matrix(X * c), W) / c, encoder(as_matrix(X), W)) < 1e-8


def test_sequences_shorter_than_a_motif_have_codes():
    X, encoder, decoder = fitted(1.0, 4, 2)
    for n in (1, 2, 3):
        H = encoder(as_matrix(X[:n]), decoder.W.detach())
        assert H.shape == (n, 6)
        assert H.isfinite().all()


def test_codes_that_are_no_function_of_w_are_detached_and_without_memory_none_is_kept():
    X = as_matrix(data())
    encoder, decoder = model(X, 3, 1, "convolutional")
    assert not encoder(X, decoder.W, torch.arange(30)).requires_grad
    start = decoder.start_of_encoder(random(X, 3, torch.Generator().manual_seed(0)))
    cold = Convolutional(start, Frobenius(), 3, warm=0)
    assert cold.kept is None
    assert torch.equal(cold(X, decoder.W, torch.arange(30)), cold.eval()(X, decoder.W))


# Refusals -------------------------------------------------------------------------------------------------------------


def test_mini_batches_are_refused():
    X = as_matrix(data())
    net = net_of(X, 3, 1, 2.0)
    batch = next(iter(ResidentLoader(X, 10)))
    with pytest.raises(
        Refusal, match=r"Convolutive couples rows, but the batch has 10 of 30; use data.batch_size=null"
    ):
        net.objective(batch)


ROW_BY_ROW: list[Callable[[Factorization], Encoder]] = [
    lambda start: Unrolled(start, HALS()),
    lambda start: Exact(start, HALS()),
    lambda start: MLP(start, Frobenius()),
]


@pytest.mark.parametrize("encoder", ROW_BY_ROW, ids=["unrolled", "exact", "mlp"])
def test_encoders_that_code_row_by_row_are_refused(encoder):
    start = random(as_matrix(data()), 3, torch.Generator().manual_seed(0))
    decoder: Decoder = Convolutive(start, Projected(), 3)
    with pytest.raises(Refusal, match="couples rows; use encoder=convolutional or encoder=table"):
        NonNegativeAutoencoder(encoder(start), decoder, Frobenius(), Multiplicative)


def test_block_steps_heads_and_another_divergence_are_refused():
    X = as_matrix(data())
    encoder, decoder = model(X, 3, 1, "convolutional")
    with pytest.raises(Refusal, match="Convolutive makes it of other weights"):
        NonNegativeAutoencoder(encoder, decoder, Frobenius(), partial(Block, update=HALS())).configure_optimizers()
    head = Classifier(random(X, 3, torch.Generator().manual_seed(0)), 2)
    with pytest.raises(Refusal, match="couples rows"):
        NonNegativeAutoencoder(encoder, decoder, Frobenius(), Multiplicative, head)
    with pytest.raises(Refusal, match="was made for β = 2, but the divergence has β = 1"):
        NonNegativeAutoencoder(encoder, decoder, KullbackLeibler(), Multiplicative)


def test_a_start_that_the_decoder_has_not_seen_is_refused_by_its_encoder():
    X = as_matrix(data())
    start = random(X, 3, torch.Generator().manual_seed(0))
    decoder = Convolutive(start, Projected(), 3)
    divergence: Divergence = Frobenius()
    with pytest.raises(Refusal, match="start_of_encoder"):
        Convolutional(start, divergence, 2)(X, decoder.W)


@pytest.mark.parametrize(
    ("options", "said"), [({"steps": 0}, "steps must be"), ({"warm": -1}, "warm, unless it is 0, must")]
)
def test_impossible_numbers_of_half_steps_are_refused(options, said):
    start = random(as_matrix(data()), 3, torch.Generator().manual_seed(0))
    with pytest.raises(Refusal, match=said):
        Convolutional(start, Frobenius(), 3, **options)

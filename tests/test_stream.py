"""Batches that come once: the sums of a stream, and its equality with nets and with scikit-learn."""

import io
import pickle
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch
from sklearn.decomposition import MiniBatchNMF
from torch import Tensor

import nmf_nets
from nmf_nets.as_matrix import as_matrix
from nmf_nets.constraints.projected import Projected
from nmf_nets.criterion import Terms
from nmf_nets.decoders.linear import Linear
from nmf_nets.divergences.base import Divergence
from nmf_nets.divergences.beta import beta_divergence
from nmf_nets.encoders.unrolled import Unrolled
from nmf_nets.factorization import Factorization
from nmf_nets.fit import factorize
from nmf_nets.loader import Batch, ResidentLoader
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder
from nmf_nets.optimizers.block import Block
from nmf_nets.optimizers.online import Online
from nmf_nets.penalties.l1 import L1
from nmf_nets.penalties.l2 import L2
from nmf_nets.refusal import Refusal
from nmf_nets.stream import Stream
from nmf_nets.updates.base import Update
from nmf_nets.updates.hals import HALS
from nmf_nets.updates.multiplicative import Multiplicative
from nmf_nets.updates.pivoting import Pivoting
from nmf_nets.updates.scalar_newton import ScalarNewton

MEMBERS: dict[str, tuple[float, Update]] = {
    "frobenius, hals": (2.0, HALS()),
    "frobenius, pivoting": (2.0, Pivoting()),
    "frobenius, multiplicative": (2.0, Multiplicative(beta_divergence(2))),
    "kullback_leibler, newton": (1.0, ScalarNewton()),
    "kullback_leibler, multiplicative": (1.0, Multiplicative(beta_divergence(1))),
    "itakura_saito": (0.0, Multiplicative(beta_divergence(0))),
    "beta 0.5": (0.5, Multiplicative(beta_divergence(0.5))),
    "beta 3": (3.0, Multiplicative(beta_divergence(3))),
}
every_member = pytest.mark.parametrize(("beta", "update"), MEMBERS.values(), ids=MEMBERS)
with_zeros = pytest.mark.parametrize(
    ("beta", "update"), [pair for pair in MEMBERS.values() if pair[0] > 0], ids=[n for n, p in MEMBERS.items() if p[0]]
)
R, M = 4, 20


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rows(n: int = 120, zeros: float = 0.0) -> Tensor:
    X = (uniform(n, R) ** 2 @ uniform(R, M, seed=1)) * (0.8 + 0.4 * uniform(n, M, seed=2)) + 0.01
    return X * (uniform(n, M, seed=3) >= zeros)


def begun(beta: float, update: Update, scale: float = 1.0, **given: Any) -> Stream:
    W = scale * (0.1 + uniform(R, M, seed=7))
    return Stream(R, beta, update=update, W=W, **{"steps": 20, "progress": 0.0, **given})


def batches(X: Any, size: int = 15) -> Iterator[Any]:
    for start in range(0, X.shape[0], size):
        yield X[start : start + size]


def fed(stream: Stream, X: Any, size: int = 15) -> Tensor:
    for batch in batches(X, size):
        stream.partial_fit(batch)
    assert stream.W is not None
    return stream.W


def gap(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).abs().max() / expected.abs().max())


def value(X: Tensor, W: Tensor, divergence: Divergence) -> float:
    update = {2.0: HALS(), 1.0: ScalarNewton()}.get(divergence.beta, Multiplicative(divergence))
    data = as_matrix(X)
    return float(divergence.total(data, Factorization(update(data, None, W, 500, 1e-6), W)))


# Equalities -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 1.5, 2.0, 3.0])
def test_multiplicative_sums_are_those_of_scikit_learn(beta, kind):
    """From its sums, C = W and A = 1, with its codes: 30 steps from √(mean / r)."""
    X = rows(zeros=0.3 if beta >= 1 else 0.0)
    given = scipy.sparse.csr_array(X.numpy()) if kind == "sparse" else X.numpy()
    stream = begun(beta, Multiplicative(beta_divergence(beta)), steps=30, memory=0.7, aging=0.0)
    W = stream.W
    assert W is not None
    stream.known |= {"numerator": W.T.clone(), "denominator": torch.ones(M, R, dtype=torch.float64)}
    options: dict[str, Any] = {"beta_loss": beta, "forget_factor": 0.7, "tol": 0.0, "init": "custom"}
    theirs = MiniBatchNMF(R, batch_size=1000, **options)
    for batch in batches(given):
        theirs.partial_fit(batch, W=np.ones((batch.shape[0], R)), H=W.numpy().copy())
        flat = torch.full((batch.shape[0], R), (batch.mean() / R) ** 0.5, dtype=torch.float64)
        ours = stream.partial_fit(batch, flat)
        assert gap(ours.W, torch.from_numpy(theirs.components_)) < 1e-10


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize(("beta", "l1_ratio"), [(0.0, 1.0), (1.0, 1.0), (1.5, 1.0), (2.0, 0.4)])
def test_so_they_are_with_penalties(beta, l1_ratio, kind):
    """Scaled by the features for the codes and by the rows of a batch for W; where both have the same exponent."""
    X = rows(zeros=0.3 if beta > 0 else 0.0)
    given = scipy.sparse.csr_array(X.numpy()) if kind == "sparse" else X.numpy()
    alpha_W, alpha_H = 0.003, 0.05
    on_H, on_W = (
        Terms((L1(alpha * l1_ratio), *([L2(alpha * (1 - l1_ratio))] if l1_ratio < 1 else [])))
        for alpha in (alpha_W * M, alpha_H)
    )
    update = Multiplicative(beta_divergence(beta))
    stream = begun(beta, update, steps=30, memory=0.7, aging=0.0, on_H=on_H, on_W=on_W)
    W = stream.W
    assert W is not None
    stream.known |= {"numerator": W.T.clone(), "denominator": torch.ones(M, R, dtype=torch.float64)}
    options: dict[str, Any] = {"alpha_W": alpha_W, "alpha_H": alpha_H, "l1_ratio": l1_ratio, "init": "custom"}
    theirs = MiniBatchNMF(R, batch_size=1000, beta_loss=beta, forget_factor=0.7, tol=0.0, **options)
    for batch in batches(given):
        theirs.partial_fit(batch, W=np.ones((batch.shape[0], R)), H=W.numpy().copy())
        flat = torch.full((batch.shape[0], R), (batch.mean() / R) ** 0.5, dtype=torch.float64)
        assert gap(stream.partial_fit(batch, flat).W, torch.from_numpy(theirs.components_)) < 1e-10
    plain = begun(beta, update, steps=30, memory=0.7, aging=0.0, on_H=on_H)
    assert fed(plain, given).sum() > 1.02 * float(stream.W.sum())  # pyright: ignore


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@every_member
def test_a_net_on_a_stream_takes_its_steps(beta, update, kind):
    X = rows(zeros=0.3 if beta > 0 else 0.0)
    stream = begun(beta, update, memory=0.8, aging=1.5)
    assert stream.W is not None
    start = Factorization(uniform(1, R), stream.W)
    net = NonNegativeAutoencoder(
        Unrolled(start, update, steps=20, progress=0.0, warm=0),
        Linear(start, Projected()),
        beta_divergence(beta),
        partial(Online, update=update, memory=0.8, aging=1.5),
    )
    step = net.configure_optimizers()
    for batch in batches(X):
        batch = scipy.sparse.csr_array(batch.numpy()) if kind == "sparse" else batch
        objective = step.step(lambda batch=batch: net.objective(Batch(as_matrix(batch), None)))  # pyright: ignore
        factors = stream.partial_fit(batch)
        assert gap(net.decoder.W.detach(), factors.W) < 1e-10
        assert gap(objective.factors.H, factors.H) < 1e-10  # pyright: ignore


@with_zeros
def test_sparse_batches_are_dense_ones(beta, update):
    X = rows(zeros=0.5)
    dense, sparse = begun(beta, update), begun(beta, update)
    assert gap(fed(sparse, scipy.sparse.csr_array(X.numpy())), fed(dense, X)) < 1e-10


@pytest.mark.parametrize("c", [1e-8, 4.0**5, 1e8])
@every_member
def test_batches_times_c_give_components_times_its_root(beta, update, c):
    X = rows()
    assert gap(fed(begun(beta, update, c**0.5), c * X), c**0.5 * fed(begun(beta, update), X)) < 1e-9


@pytest.mark.parametrize("c", [1e-8, 1e8])
@every_member
def test_a_stream_that_begins_by_itself_follows_the_scale_in_float32(beta, update, c):
    X = rows()
    plain, scaled = (Stream(R, beta, update=update, init="random", steps=20, progress=0.0) for _ in range(2))
    for batch in batches(X.float()):
        plain.partial_fit(batch)
        scaled.partial_fit(c * batch)
    assert plain.W is not None
    assert scaled.W is not None
    assert gap(scaled.W, c**0.5 * plain.W) < 1e-3


@pytest.mark.parametrize("penalties", [(), (L1(0.5), L2(0.5))], ids=["plain", "penalised"])
@pytest.mark.parametrize("beta", [0.0, 1.0, 2.0, 3.0])
def test_multiplicative_steps_on_full_batches_are_those_of_block(beta, penalties):
    D = beta_divergence(beta)
    X, update = as_matrix(rows()), Multiplicative(D)
    start = Factorization(0.1 + uniform(120, R), 0.1 + uniform(R, M, seed=7))
    nets = []
    for optimizer in (partial(Online, update=update), partial(Block, update=update, repeats=1)):
        encoder = Unrolled(start, update, steps=5, progress=0.0, warm=0)
        net = NonNegativeAutoencoder(encoder, Linear(start, Projected()), D, optimizer, penalties_W=penalties)
        step = net.configure_optimizers()
        for _ in range(5):
            step.step(lambda net=net: net.objective(Batch(X, torch.arange(120), 120)))
        nets.append(net.decoder.W.detach())
    assert gap(*nets) < 1e-10


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
def test_multiplicative_mini_batches_end_near_where_full_batches_do(beta):
    D, X = beta_divergence(beta), rows()
    update, start = Multiplicative(D), Factorization(0.1 + uniform(120, R), 0.1 + uniform(R, M, seed=7))
    net = NonNegativeAutoencoder(
        Unrolled(start, update, steps=30, warm=0), Linear(start, Projected()), D, partial(Online, update=update)
    )
    step, loader = net.configure_optimizers(), ResidentLoader(as_matrix(X), 30)
    for epoch in range(100):
        loader.sampler.set_epoch(epoch)
        for batch in loader:
            step.step(lambda batch=batch: net.objective(batch))
    full = factorize(X, R, divergence=beta, solver="mu", start=start, max_iter=2000, tol=0)
    assert value(X, net.decoder.W.detach(), D) < 1.05 * full.divergence_value


@pytest.mark.parametrize("update", [HALS(), Pivoting()], ids=["hals", "pivoting"])
def test_what_a_stream_remembers_of_frobenius_is_the_sum_over_its_rows(update):
    """With nothing forgotten: of one batch of all rows, or of many with their codes."""
    X = rows()
    stream, H = begun(2.0, update, memory=1.0, aging=0.0), []
    for batch in batches(X):
        H.append(stream.partial_fit(batch).H)
    H = torch.cat(H)
    assert gap(stream.known["gram"], H.T @ H) < 1e-12
    assert gap(stream.known["products"], X.T @ H) < 1e-12


# What holds of every stream -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 3, 40])
@every_member
def test_a_stream_learns_and_stays_non_negative_whatever_the_size_of_its_batches(beta, update, size):
    X, D = rows(), beta_divergence(beta)
    stream = begun(beta, update)
    assert stream.W is not None
    before = value(X, stream.W, D)
    for batch in batches(X, size):
        factors = stream.partial_fit(batch)
        assert factors.H.shape == (len(batch), R)
        for part in (factors.H, factors.W):
            assert part.isfinite().all()
            assert (part >= 0).all()
    assert value(X, fed(stream, X, size), D) < 0.75 * before


@every_member
def test_the_same_batches_give_the_same_bits(beta, update):
    assert torch.equal(fed(begun(beta, update), rows()), fed(begun(beta, update), rows()))


@every_member
def test_what_is_held_does_not_grow_with_the_rows(beta, update):
    stream = begun(beta, update)

    def held() -> int:
        found = [stream.W, *stream.known.values()]
        found += [part for parts in found if isinstance(parts, list) for part in parts]
        return sum(part.untyped_storage().nbytes() for part in found if isinstance(part, Tensor))

    fed(stream, rows(15))
    first = held()
    for _ in range(5):
        fed(stream, rows(600))
    assert held() == first > 0


@with_zeros
def test_a_batch_of_zeros_gets_codes_of_zero_and_changes_no_component(beta, update):
    stream = begun(beta, update)
    before = fed(stream, rows()).clone()
    for n in (1, 5):
        factors = stream.partial_fit(torch.zeros(n, M, dtype=torch.float64))
        assert not factors.H.any()
    assert gap(factors.W, before) < (0.1 if isinstance(update, HALS | Pivoting) else 1e-12)
    zeros_first = begun(beta, update)
    zeros_first.partial_fit(torch.zeros(3, M, dtype=torch.float64))
    assert gap(fed(zeros_first, rows()), before) < 0.5


@with_zeros
def test_zero_rows_and_columns_leave_no_nan(beta, update):
    X = rows(zeros=0.3)
    X[::4] = 0
    X[:, 3] = 0
    stream = begun(beta, update)
    W = fed(stream, X)
    assert W.isfinite().all()
    assert (W[:, 3] < 0.6 * W.mean()).all()


def test_what_no_row_has_of_a_component_fades_from_it_with_newtons_sums():
    """Two kinds of rows that share no feature, and components that at first do."""
    order = torch.randperm(80, generator=torch.Generator().manual_seed(0))
    X = torch.block_diag(*[(1 + uniform(40, 1, seed=k)).expand(40, 5) for k in range(2)])[order]
    W = torch.block_diag(*torch.ones(2, 1, 5, dtype=torch.float64)) + 0.05
    stream = Stream(2, 1.0, update=ScalarNewton(), W=W, aging=0.0)
    apart = [[W[0, 5:].sum() / W[0].sum()]]
    for _ in range(10):
        W = fed(stream, X, 10)
        apart.append([W[0, 5:].sum() / W[0].sum(), W[1, :5].sum() / W[1].sum()])
    assert max(apart[1]) < 0.3 * apart[0][0]
    assert max(apart[10]) < 0.2 * max(apart[1])


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("beta", [0.0, 1.0, 2.0])
def test_what_was_not_observed_does_not_matter(beta, kind):
    """A mask, with nonsense below it; and a mask that hides nothing is none."""
    X, seen = rows(), uniform(120, M, seed=5) < 0.7
    W = []
    for nonsense in (0.0, 1e3):
        stream = begun(beta, Multiplicative(beta_divergence(beta)))
        hidden = torch.where(seen, X, nonsense)
        for start in range(0, 120, 15):
            V: Any = seen[start : start + 15].double()
            V = scipy.sparse.csr_array(V.numpy()) if kind == "sparse" else V
            stream.partial_fit(hidden[start : start + 15], weights=V)
        W.append(stream.W)
    assert torch.equal(*W)
    D, start = beta_divergence(beta), begun(beta, Multiplicative(beta_divergence(beta)))
    assert start.W is not None
    assert value(X, W[0], D) < 0.5 * value(X, start.W, D)
    # flat codes, as those of data with weights are
    whole, plain = (begun(beta, Multiplicative(D)) for _ in range(2))
    for batch in batches(X):
        flat = torch.ones(len(batch), R, dtype=torch.float64)
        whole.partial_fit(batch, flat, weights=torch.ones_like(batch))
        plain.partial_fit(batch, flat)
    assert whole.W is not None
    assert plain.W is not None
    assert gap(whole.W, plain.W) < 1e-10


@every_member
def test_a_stream_that_is_saved_or_pickled_goes_on_to_the_bit(beta, update):
    X = rows()
    whole = begun(beta, update)
    fed(whole, X[:60])
    saved = io.BytesIO()
    torch.save(whole.state_dict(), saved)
    saved.seek(0)
    loaded, pickled = begun(beta, update), pickle.loads(pickle.dumps(whole))
    loaded.load_state_dict(torch.load(saved, weights_only=True))
    expected = fed(whole, X[60:])
    assert torch.equal(fed(loaded, X[60:]), expected)
    assert torch.equal(fed(pickled, X[60:]), expected)


def test_a_stream_that_is_loaded_codes_rows_before_it_sees_a_batch():
    stream, loaded = Stream(R), Stream(R)
    fed(stream, rows())
    loaded.load_state_dict(stream.state_dict())
    assert torch.equal(loaded.codes(rows(7)), stream.codes(rows(7)))


def test_a_saved_state_is_a_copy():
    stream = begun(2.0, HALS())
    fed(stream, rows(30))
    state = stream.state_dict()
    gram = state["known"]["gram"].clone()
    fed(stream, rows())
    assert torch.equal(state["known"]["gram"], gram)


@pytest.mark.parametrize(("beta", "update"), [(2.0, HALS()), (1.0, ScalarNewton()), (1.0, None), (0.0, None)])
def test_where_the_source_changes_a_stream_that_forgets_follows(beta, update):
    D = beta_divergence(beta)
    sources = [uniform(600, R, seed=k) ** 2 @ (uniform(R, M, seed=k + 1) ** 6 + 1e-3) for k in (10, 20)]
    now = sources[1][-100:]
    reached = {}
    for memory in (0.8, 1.0):
        stream = Stream(R, D, memory=memory, aging=0.0, update=update, init="random", steps=30)
        for source in sources:
            for batch in batches(source, 20):
                stream.partial_fit(batch)
        assert stream.W is not None
        reached[memory] = value(now, stream.W, D)
    assert reached[0.8] < 0.7 * reached[1.0]


def test_aging_forgets_the_first_codes_sooner():
    X = torch.cat([rows()] * 4)
    reached = {aging: value(X, fed(begun(2.0, HALS(), aging=aging), X), beta_divergence(2)) for aging in (0.0, 10.0)}
    assert reached[10.0] < reached[0.0]


# Beginning, and refusals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [2, 1, 0, "frobenius", "kullback-leibler"])
def test_a_stream_begins_with_what_its_first_batch_gives(beta):
    stream = Stream(R, beta)
    X = rows(600)
    W = fed(stream, X.numpy(), 30)
    D = beta_divergence({"frobenius": 2, "kullback-leibler": 1}.get(beta, beta))
    full = factorize(X, R, divergence=D, max_iter=500)
    assert value(X, W, D) < (2.5 if D.beta == 0 else 1.3) * full.divergence_value
    assert torch.equal(stream.codes(X.numpy()), stream.codes(X))


def test_the_front_door_has_it():
    assert nmf_nets.Stream is Stream


def test_a_first_batch_of_one_row_will_do():
    assert fed(Stream(R), rows(), 1).isfinite().all()


def test_arrays_that_cannot_be_written_are_taken_and_left():
    X = rows().numpy()
    X.flags.writeable = False
    assert torch.equal(fed(begun(2.0, HALS()), X), fed(begun(2.0, HALS()), rows()))


def test_the_components_that_were_given_are_left_as_they_are():
    W = 0.1 + uniform(R, M)
    before = W.clone()
    stream = Stream(R, W=W)
    fed(stream, rows())
    assert torch.equal(W, before)


def other_features() -> None:
    fed(begun(2.0, HALS()), rows()[:, :5])


def codes_too_soon() -> None:
    Stream(R).codes(rows())


def zeros_first() -> None:
    Stream(R).partial_fit(np.zeros((3, M)))


def penalties_of_hals() -> None:
    begun(2.0, HALS(), on_W=Terms((L1(0.1),)))


def weights_of_hals() -> None:
    begun(2.0, HALS()).partial_fit(rows(15), weights=torch.ones(15, M))


REFUSED = {
    "the batch has 5 features, but the stream began with 20": other_features,
    "no components yet": codes_too_soon,
    "zero everywhere": zeros_first,
    "GramSums cannot heed weights": weights_of_hals,
    "running sums know no penalties on W": penalties_of_hals,
    "memory is 0": lambda: Stream(R, memory=0),
    "memory is nan": lambda: Stream(R, memory=float("nan")),
    "aging is -1": lambda: Stream(R, aging=-1),
    "n_components must be": lambda: Stream(0),
    "W has 5 rows, but n_components is 4": lambda: Stream(R, W=uniform(5, M)),
    "all components": lambda: Stream(R, W=torch.ones(R, M)),
    "does not minimise": lambda: Stream(R, "kullback_leibler", update=HALS()),
    "divergence is 'l2'": lambda: Stream(R, "l2"),
    "H must have the shape": lambda: begun(2.0, HALS()).partial_fit(rows(15), uniform(14, R)),
    "must be non-negative": lambda: Stream(R).partial_fit(-rows()),
    "needs X > 0": lambda: Stream(R, 0.0).partial_fit(torch.zeros(2, 3)),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_what_cannot_be_used_gets_a_sentence(sentence):
    with pytest.raises(Refusal, match=sentence):
        REFUSED[sentence]()
